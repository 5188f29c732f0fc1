"""The semantics of rules in plain Python: what docs/reference/rules.md says, of items, categories and documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

Row = dict[str, Any]
Holds = Callable[[Row], bool | None]  # a case {"old", "new", "doc", "last", "op", "documents"}; None is SQL's null

DOCUMENT_COLUMNS = ("id", "cat", "title", "price", "status")
GATES = ("skip", "defer", "hold", "refresh")
LOOKED_AT = ("skip", "defer", "hold", "rejected")
_STRENGTH = {"hold": 4, None: 3, "approved": 3, "defer": 2, "skip": 1}


@dataclass(frozen=True)
class Condition:
    """A condition as SQL and as Python. reads: columns of the row. relation: whose row; None: it reads none."""

    sql: str
    stage: str
    holds: Holds
    reads: frozenset[str] = frozenset()
    relation: str | None = "items"


@dataclass(frozen=True)
class Rule:
    """A rule; enabled or not. serial: another rule of the same name has another one."""

    name: str
    condition: Condition
    action: str
    priority: int
    force: bool = False
    over: int | None = None
    enabled: bool = True
    serial: int = 0
    revision: int = 1

    @property
    def order(self) -> tuple[int, str]:
        """The first in this order decides."""
        return -self.priority, self.name

    @property
    def stage(self) -> str:
        """When it is asked."""
        return "document" if self.action in ("exclude", "refresh") else self.condition.stage

    def asks(self, relation: str) -> bool:
        """Tell whether it is asked of changes of a table."""
        return self.enabled and self.stage == "change" and self.condition.relation in (relation, None)


@dataclass(frozen=True)
class Change:
    """A changed row, committed and not yet folded. imaged: rules were there to ask for the row."""

    relation: str
    key: int
    old: Row | None
    new: Row | None
    op: str
    number: int
    imaged: bool
    documents: int | None = None


@dataclass
class Hold:
    """What waits for a yes or a no."""

    rule: tuple[int, int]  # serial and revision
    state: str = "waiting"


@dataclass
class Mark:
    """What waits for a document.

    rule: serial of who decided, or had deferred it; also: of who decided likewise. image: of the change stage;
    "several" cannot be decided on again. plain: besides, something changed that nobody holds
    back. due: its time has come.
    """

    verdict: str | None = None
    rule: int | None = None
    also: list[int] = field(default_factory=list[int])
    image: Change | str | None = None
    plain: bool = False
    hold: Hold | None = None
    due: bool = False

    @property
    def strength(self) -> int:
        """Which verdict stands when changes of one document meet."""
        if self.verdict == "skip" and self.image is None:
            return 0
        return _STRENGTH.get(self.verdict, 0)


class Model:
    """Items with their categories, the rules, and what is embedded."""

    def __init__(self) -> None:
        self.items: dict[int, Row] = {}
        self.categories: dict[int, Row] = {}
        self.rules: dict[str, Rule] = {}
        self.embedded: dict[int, Row] = {}
        self.written: set[int] = set()
        self.marks: dict[int, Mark] = {}
        self.holds: dict[tuple[int, int, int, str], Hold] = {}
        self.log: list[Change] = []
        self.touched: set[int] = set()
        self.begun: set[int] = set()
        self.refreshing: set[int] = set()
        self.counted = 0

    # what writers do

    def write(self, key: int, new: Row | None) -> None:
        """Insert, update or delete an item."""
        old = self.items.get(key)
        if new is None:
            self.items.pop(key, None)
        else:
            self.items[key] = new
        self._captured("items", key, old, new, {*DOCUMENT_COLUMNS})

    def write_category(self, key: int, new: Row) -> None:
        """Update a category."""
        old = self.categories[key]
        self.categories[key] = new
        self._captured("categories", key, old, new, {"id", "name"})

    def put(self, rule: Rule) -> None:
        """Create or change a rule."""
        before = self.rules.get(rule.name)
        rule = replace(rule, revision=before.revision + 1, serial=before.serial) if before else self._anew(rule)
        self.rules[rule.name] = rule
        self.touched.add(rule.serial)
        if rule.enabled:
            self.begun.add(rule.serial)

    def drop(self, name: str) -> None:
        """Drop a rule."""
        self.touched.add(self.rules.pop(name).serial)

    def decide_hold(self, key: int, verdict: str) -> None:
        """Say yes ("approved") or no ("rejected") to what holds a document back, and others with it."""
        hold = self.marks[key].hold
        assert hold is not None
        hold.state = verdict

    def let_pass(self, key: int) -> None:
        """Let the time come until which a document is deferred."""
        self.marks[key].due = True

    def come_round(self, name: str) -> None:
        """Let the schedule of a refresh rule come round."""
        self.refreshing.add(self.rules[name].serial)

    # what a worker does

    def work(self) -> None:
        """Work off everything that is due."""
        self.written = set()
        due = {key for key, mark in self.marks.items() if mark.due}
        folded, self.log = self.log, []
        # what no rule is asked of is marked at once
        asked = [change for change in folded if self._is_asked(change)]
        for change in folded:
            if change.relation == "items" and change not in asked:
                self._meet(change.key, Mark(), due)
        freed = self._free(due)
        for key, mark in self.marks.items():
            if mark.verdict == "hold" and mark.hold is not None and mark.hold.state != "waiting":
                mark.verdict, mark.hold = mark.hold.state, None
                due |= {key} if mark.verdict == "approved" else set()
        # of one row the older first
        for change in sorted((*freed, *asked), key=lambda change: change.number):
            if change.relation == "items":
                self._meet(change.key, self._decide(change), due)
        for change in folded:
            if change.relation == "categories" and change not in asked:
                self._follow(change, Mark(), due)
        for change in sorted((*freed, *asked), key=lambda change: change.number):
            if change.relation == "categories":
                self._follow(change, self._decide(change), due)
        self._refresh(due)
        for key in sorted(due):
            self._render(key)

    def visible(self) -> set[int]:
        """Return the keys of what is served now."""
        return {key for key in self.embedded if not self._excluded(key)}

    def held(self) -> dict[int, tuple[str | None, str | None]]:
        """Return verdict and rule of what waits; no rule where it was dropped."""
        names = {rule.serial: rule.name for rule in self.rules.values()}
        return {key: (mark.verdict, names.get(mark.rule or 0)) for key, mark in self.marks.items()}

    # how it is decided

    def _anew(self, rule: Rule) -> Rule:
        self.counted += 1
        return replace(rule, serial=self.counted)

    def _in_force(self) -> dict[int, Rule]:
        return {rule.serial: rule for rule in self.rules.values() if rule.enabled}

    def _captured(self, relation: str, key: int, old: Row | None, new: Row | None, watched: set[str]) -> None:
        asking = [rule for rule in self._in_force().values() if rule.asks(relation)]
        reading = [*asking, *(r for r in self._in_force().values() if r.stage == "document" and relation == "items")]
        watched = watched.union(*(rule.condition.reads for rule in reading))
        self.counted += 1
        if old is None or new is None or any(old[column] != new[column] for column in watched):
            op = "insert" if old is None else "delete" if new is None else "update"
            known = {"id"}.union(*(rule.condition.reads for rule in asking))
            before, after = _only(old, known), _only(new, known)
            self.log.append(Change(relation, key, before, after, op, self.counted, imaged=bool(asking)))

    def _is_asked(self, change: Change) -> bool:
        return change.imaged and any(rule.asks(change.relation) for rule in self.rules.values())

    def _asked(self, stage: str, case: Row) -> Iterator[Rule]:
        for rule in sorted(self._in_force().values(), key=lambda rule: rule.order):
            if rule.stage == stage and rule.condition.holds(case):
                yield rule

    def _decide(self, change: Change) -> Mark:
        rules = [rule for rule in self._in_force().values() if rule.asks(change.relation)]
        if change.documents is None and change.relation == "categories" and any(r.over is not None for r in rules):
            count = sum(item["cat"] == change.key for item in self.items.values())
            change = replace(change, documents=count)
        case = {"old": change.old, "new": change.new, "op": change.op}
        for rule in sorted(rules, key=lambda rule: rule.order):
            reached = rule.over is None or (change.documents or 0) > rule.over
            if rule.action in GATES and reached and rule.condition.holds(case):
                return self._decided(rule, change)
        return Mark()

    def _decided(self, rule: Rule, change: Change) -> Mark:
        if rule.action != "hold":
            return Mark(rule.action, rule.serial, image=change)
        named = (change.number, rule.serial, rule.revision, change.relation)
        hold = self.holds.setdefault(named, Hold((rule.serial, rule.revision)))
        if hold.state == "waiting":
            return Mark("hold", rule.serial, image=change, hold=hold)
        return Mark(hold.state, rule.serial)

    def _follow(self, change: Change, mark: Mark, due: set[int]) -> None:
        for key, item in self.items.items():
            if item["cat"] == change.key:
                self._meet(key, replace(mark), due)

    def _free(self, due: set[int]) -> list[Change]:
        """Free what rules that began, ended or changed hold back; return the changes to be decided on again."""
        ranked = sorted(self.rules.values(), key=lambda rule: rule.order)
        for place, rule in enumerate(ranked):
            if rule.serial in self.begun:
                self.touched |= {lower.serial for lower in ranked[place + 1 :]}
                if rule.action == "refresh":
                    self.refreshing.add(rule.serial)
        freed: list[Change] = []
        for key, mark in list(self.marks.items()):
            if mark.verdict in ("skip", "defer", "hold", "exclude") and self.touched & {mark.rule, *mark.also}:
                if isinstance(mark.image, Change):
                    freed += [mark.image] if mark.image not in freed else []
                    del self.marks[key]
                if not isinstance(mark.image, Change) or mark.plain:
                    self.marks[key] = Mark()
                    due.add(key)
        self.touched, self.begun = set(), set()
        return freed

    def _refresh(self, due: set[int]) -> None:
        for serial, rule in sorted(self._in_force().items()):
            if rule.action == "refresh" and serial in self.refreshing:
                self.refreshing.discard(serial)
                for key in self.embedded:
                    self._meet(key, Mark("refresh", serial), due)

    def _meet(self, key: int, mark: Mark, due: set[int]) -> None:
        self.marks[key] = _met(self.marks[key], mark) if key in self.marks else mark
        due.add(key)

    def _rendered(self, key: int) -> Row | None:
        item = self.items.get(key)
        if item is None or item["status"] == "deleted" or item["cat"] not in self.categories:
            return None
        content = f"{item['title']} / {self.categories[item['cat']]['name']} / {item['price']}"
        return {**{name: item[name] for name in ("id", "title", "price", "status")}, "content": content}

    def _excluded(self, key: int) -> bool:
        doc = self._rendered(key)
        case = {"doc": doc, "new": self.items.get(key)}
        return doc is not None and any(rule.action == "exclude" for rule in self._asked("document", case))

    def _render(self, key: int) -> None:
        mark, doc, last = self.marks[key], self._rendered(key), self.embedded.get(key)
        if mark.verdict == "defer" and mark.due:
            mark.verdict = None
        known, looking = self._in_force(), mark.verdict in LOOKED_AT
        if doc is None:
            self.embedded.pop(key, None)
            del self.marks[key]
            return
        standing = known.get(mark.rule or 0) if looking else None
        standing = standing if standing is not None and standing.stage == "change" else None
        found = [*self._asked("document", {"doc": doc, "last": last, "new": self.items.get(key)})]
        forced = mark.verdict == "refresh" and any(r.serial in {mark.rule, *mark.also} and r.force for r in found)
        matches = [rule for rule in found if _allows(mark, rule)]
        matches += [standing] if standing is not None else []
        ordered = sorted(matches, key=lambda rule: rule.order)
        gate = next((rule for rule in ordered if rule.action in GATES), None)
        hides = next((rule for rule in ordered if rule.action == "exclude"), None)
        deciding = gate if hides is None or (gate is standing and gate is not None and gate.action == "hold") else hides
        deciding = None if deciding is not None and deciding.action == "refresh" else deciding
        same = last is not None and last["content"] == doc["content"]
        if same and (not forced or (deciding is not None and deciding.action in ("skip", "exclude"))):
            del self.marks[key]
        elif looking and (deciding is standing if deciding else mark.rule not in known):
            pass
        elif deciding is None:
            self.embedded[key] = doc
            self.written.add(key)
            del self.marks[key]
        else:
            self._hold_back(mark, deciding, looking=looking)

    def _hold_back(self, mark: Mark, rule: Rule, *, looking: bool) -> None:
        if rule.action != "hold":
            mark.hold = None
        elif mark.hold is None or mark.hold.state != "waiting" or mark.hold.rule[0] != rule.serial:
            mark.hold = Hold((rule.serial, rule.revision))
        mark.verdict, mark.rule, mark.due = rule.action, rule.serial, False
        mark.image = mark.image if looking else None


def _allows(mark: Mark, rule: Rule) -> bool:
    """Tell whether a rule still counts: what was approved is not held, what was deferred until now is due."""
    if mark.verdict == "approved":
        return rule.action != "hold"
    return rule.action != "defer" or rule.serial != mark.rule or not mark.due


def _only(row: Row | None, known: set[str]) -> Row | None:
    return None if row is None else {name: row[name] if name in known else None for name in row}


def _met(before: Mark, after: Mark) -> Mark:
    if after.verdict == "refresh":
        keeps = before.verdict not in (None, "refresh", "exclude")
    elif before.verdict == "refresh":
        keeps = after.verdict is None or (before.plain and after.strength < 3)
    else:
        ties = before.strength == after.strength and before.verdict in ("hold", "defer")
        keeps = before.strength > after.strength or ties
    kept, other = (before, after) if keeps else (after, before)
    defers = after.verdict is None and before.verdict in (None, "defer")
    met = replace(kept, also=[], image=_image(before, after, keeps=keeps))
    if defers:
        met.rule, met.due = before.rule, before.due
    if keeps and before.verdict == "approved" and after.verdict != "refresh":
        met.verdict = None
    both_hold = min(before.strength, after.strength) > 0 and 3 not in (before.strength, after.strength)
    if both_hold or before.verdict == after.verdict == "refresh":
        met.also = [*before.also, *([other.rule] if other.rule != kept.rule and other.rule else [])]
    met.plain = _plain(before, after, keeps=keeps)
    return met


def _plain(before: Mark, after: Mark, *, keeps: bool) -> bool:
    """Tell whether a hold or a refresh has what nobody holds back below it."""
    if after.strength == 4:
        return before.strength == 3 or (before.verdict == "refresh" and before.plain) or (keeps and before.plain)
    if after.verdict == "refresh":
        return before.verdict is None or (before.plain and (keeps or before.verdict == "refresh"))
    if before.verdict == "refresh":
        return keeps
    return before.strength == 4 and (after.strength == 3 or before.plain)


def _is_of_item(image: Change | str | None) -> TypeGuard[Change]:
    return isinstance(image, Change) and image.relation == "items"


def _image(before: Mark, after: Mark, *, keeps: bool) -> Change | str | None:
    kept = before.image if keeps else after.image
    if before.image is None or after.image is None:
        return kept
    if _is_of_item(before.image) and _is_of_item(after.image):
        return replace(after.image, old=before.image.old)
    if before.strength == after.strength:
        return before.image if before.image == after.image else "several"
    return kept
