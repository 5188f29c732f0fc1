"""The semantics of rules in plain Python: what docs/reference/rules.md says, for one table and its documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

Row = dict[str, Any]
Holds = Callable[[Row], bool | None]  # a case {"old", "new", "doc", "last", "op"}; None is SQL's null

DOCUMENT_COLUMNS = ("id", "cat", "title", "price", "status")
GATES = ("skip", "defer", "hold", "refresh")
_STRENGTH = {"hold": 4, None: 3, "approved": 3, "defer": 2, "skip": 1}


@dataclass(frozen=True)
class Condition:
    """A condition as SQL and as Python. watches: columns of the table that it reads."""

    sql: str
    stage: str
    holds: Holds
    watches: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """A rule; enabled or not."""

    name: str
    condition: Condition
    action: str
    priority: int
    enabled: bool = True

    @property
    def order(self) -> tuple[int, str]:
        """The first in this order decides."""
        return -self.priority, self.name

    @property
    def stage(self) -> str:
        """When it is asked."""
        return "document" if self.action == "exclude" else self.condition.stage


@dataclass(frozen=True)
class Change:
    """A changed row, committed and not yet folded."""

    key: int
    old: Row | None
    new: Row | None
    op: str


@dataclass
class Mark:
    """What waits for a document. rules: who holds it back, the one that decides first. image: of the change stage."""

    verdict: str | None = None
    rules: list[str] = field(default_factory=list[str])
    image: Change | None = None

    @property
    def strength(self) -> int:
        """Which verdict stands when changes of one document meet."""
        if self.verdict == "skip" and self.image is None:
            return 0
        return _STRENGTH.get(self.verdict, 0)


class Model:
    """Table items with its categories, the rules, and what is embedded."""

    def __init__(self) -> None:
        self.items: dict[int, Row] = {}
        self.categories: dict[int, str] = {}
        self.rules: dict[str, Rule] = {}
        self.embedded: dict[int, Row] = {}
        self.marks: dict[int, Mark] = {}
        self.log: list[Change | int] = []
        self.touched: set[str] = set()
        self.dropped = 0

    # what writers do

    def write(self, key: int, new: Row | None) -> None:
        """Insert, update or delete an item."""
        old = self.items.get(key)
        op = "insert" if old is None else "delete" if new is None else "update"
        if new is None:
            self.items.pop(key, None)
        else:
            self.items[key] = new
        if old is None or new is None or any(old[column] != new[column] for column in self._watched()):
            self.log.append(Change(key, old, new, op))

    def rename(self, category: int, name: str) -> None:
        """Rename a category: its documents change, and no rule is asked of that change."""
        if self.categories[category] != name:
            self.categories[category] = name
            self.log += [key for key, item in self.items.items() if item["cat"] == category]

    def put(self, rule: Rule) -> None:
        """Create or change a rule."""
        before = self.rules.get(rule.name)
        self.rules[rule.name] = rule
        if before is None or before != rule:
            self.touched.add(rule.name)
            self._outranked(rule)

    def drop(self, name: str) -> None:
        """Drop a rule; another of its name is another rule."""
        del self.rules[name]
        self.dropped += 1
        gone = f"{name} {self.dropped}"
        for mark in self.marks.values():
            mark.rules = [gone if rule == name else rule for rule in mark.rules]
        self.touched.add(gone)

    def decide_hold(self, key: int, verdict: str) -> None:
        """Say yes ("approved") or no ("rejected") to what holds a document back."""
        self.marks[key].verdict = verdict

    # what a worker does

    def work(self) -> None:
        """Work off everything that is due."""
        freed = [key for key, mark in self.marks.items() if self.touched & {*mark.rules} and mark.verdict != "rejected"]
        self.touched = set()
        due = {key for key, mark in self.marks.items() if mark.verdict == "approved"}
        for key in freed:
            image = self.marks[key].image
            self.marks[key] = Mark()
            if image is not None:
                self.marks[key] = self._decide(image)
        for entry in self.log:
            key = entry if isinstance(entry, int) else entry.key
            mark = Mark() if isinstance(entry, int) else self._decide(entry)
            self.marks[key] = self._met(self.marks[key], mark) if key in self.marks else mark
            due.add(key)
        self.log = []
        for key in sorted(due | {*freed}):
            self._render(key)

    def visible(self) -> set[int]:
        """Return the keys of what is served now."""
        return {key for key in self.embedded if not self._excluded(key)}

    def held(self) -> dict[int, tuple[str | None, str | None]]:
        """Return verdict and rule of what waits; no rule where it was dropped."""
        return {
            key: (mark.verdict, next((rule for rule in mark.rules[:1] if rule in self.rules), None))
            for key, mark in self.marks.items()
        }

    # how it is decided

    def _watched(self) -> set[str]:
        return {*DOCUMENT_COLUMNS}.union(*(rule.condition.watches for rule in self.rules.values() if rule.enabled))

    def _asked(self, stage: str, case: Row) -> Iterator[Rule]:
        for rule in sorted(self.rules.values(), key=lambda rule: rule.order):
            if rule.enabled and rule.stage == stage and rule.condition.holds(case):
                yield rule

    def _outranked(self, rule: Rule) -> None:
        if rule.enabled:
            for mark in self.marks.values():
                holder = self.rules.get(mark.rules[0]) if mark.rules else None
                if holder is not None and rule.order < holder.order:
                    self.touched.add(holder.name)

    def _decide(self, change: Change) -> Mark:
        case = {"old": change.old, "new": change.new, "op": change.op}
        gate = next((rule for rule in self._asked("change", case) if rule.action in GATES), None)
        return Mark() if gate is None else Mark(gate.action, [gate.name], change)

    def _met(self, before: Mark, after: Mark) -> Mark:
        keeps = before.strength > after.strength or (
            before.strength == after.strength and before.verdict in ("hold", "defer")
        )
        kept, other = (before, after) if keeps else (after, before)
        met = replace(kept, verdict=None if kept.verdict == "approved" else kept.verdict)
        if after.image is not None and before.image is not None:
            met.image = replace(after.image, old=before.image.old)
        if min(before.strength, after.strength) > 0 and kept.rules and other.rules:
            met.rules = [*kept.rules, *other.rules]
        return met

    def _rendered(self, key: int) -> Row | None:
        item = self.items.get(key)
        if item is None or item["status"] == "deleted" or item["cat"] not in self.categories:
            return None
        content = f"{item['title']} / {self.categories[item['cat']]} / {item['price']}"
        return {**{name: item[name] for name in ("id", "title", "price", "status")}, "content": content}

    def _excluded(self, key: int) -> bool:
        doc = self._rendered(key)
        case = {"doc": doc, "new": self.items.get(key)}
        return doc is not None and any(rule.action == "exclude" for rule in self._asked("document", case))

    def _render(self, key: int) -> None:
        mark, doc, last = self.marks[key], self._rendered(key), self.embedded.get(key)
        if doc is None:
            self.embedded.pop(key, None)
            del self.marks[key]
            return
        if last is not None and last["content"] == doc["content"]:
            del self.marks[key]
            return
        standing = self.rules.get(mark.rules[0]) if mark.verdict in ("skip", "defer", "hold") else None
        standing = standing if standing is not None and standing.stage == "change" else None
        matches = [*self._asked("document", {"doc": doc, "last": last, "new": self.items.get(key)})]
        if mark.verdict == "approved":
            matches = [rule for rule in matches if rule.action != "hold"]
        if standing is not None:
            matches.append(standing)
        ordered = sorted(matches, key=lambda rule: rule.order)
        gate = next((rule for rule in ordered if rule.action in GATES), None)
        hides = next((rule for rule in ordered if rule.action == "exclude"), None)
        deciding = gate if hides is None or (gate is standing and gate is not None and gate.action == "hold") else hides
        if deciding is None:
            self.embedded[key] = doc
            del self.marks[key]
        elif deciding is not standing:
            self.marks[key] = Mark(deciding.action, [deciding.name], mark.image if standing else None)
