"""What rules say of rendered documents: the last word before a text goes to the model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from vsync_engine.foundation import statements as foundation_statements
from vsync_engine.foundation.host import Host, Row, value
from vsync_engine.rules import decision_log, evaluate, statements
from vsync_engine.rules.evaluate import Case
from vsync_engine.rules.model import Match, Rule, Verdict, resolve
from vsync_engine.rules.schedule import next_time

_NEVER_SENT = ("skip", "exclude")
_NEVER_HIDDEN = ("skip", "defer")  # they keep an old text in sight: no reason where nobody may see it


@dataclass(frozen=True)
class Ruled:
    """A rendered document that is to be embedded. forced: even where its text has a vector."""

    row: Row
    priority: float = 0.0
    forced: bool = False


@dataclass(frozen=True)
class _Mark:
    """What the mark of a document says: what was decided before it was rendered."""

    verdict: str | None
    rule_id: int | None
    also: list[int] | None
    held_until: str | None
    looking: bool
    forced: bool | None
    same: bool | None
    moved: bool | None

    def standing(self, known: dict[int, Rule]) -> Match | None:
        """Return the rule of stage change that holds the document back, to be weighed against the others."""
        rule = known.get(self.rule_id or 0) if self.looking else None
        return Match(rule) if rule is not None and rule.stage == "change" else None

    def is_lost(self, known: dict[int, Rule]) -> bool:
        """Tell whether it is held back by a rule that is not in force any more: a worker will look at it again."""
        return self.looking and self.rule_id not in known

    def allows(self, match: Match, now: datetime) -> bool:
        """Tell whether a match still counts: what was approved is not held, what was deferred until now is due."""
        if self.verdict == "approved":
            return match.action != "hold"
        return match.action != "defer" or match.rule.id != self.rule_id or self.until is None or self.until > now

    def forces(self, match: Match) -> bool:
        """Tell whether a match is of a rule that refreshes the document whether or not its text differs."""
        return match.rule.id in (self.rule_id, *(self.also or ())) and bool(match.rule.params.get("force"))

    @property
    def until(self) -> datetime | None:
        """Until when it was held back; None: not, or for good."""
        if self.held_until in (None, "infinity"):
            return None
        return datetime.fromisoformat(self.held_until)


def rule(host: Host, version_id: int, token: int, rows: list[Row], seconds: float) -> list[Ruled]:
    """Ask the rules of stage document, in the caller's transaction, and hand back what is not to be embedded now.

    rows: of render(). Returns the rest.
    """
    if not any(row["mark"] for row in rows):
        return [Ruled(row) for row in rows]
    known = {rule.id: rule for rule in evaluate.load(host, version_id)}
    rules = [rule for rule in known.values() if rule.stage == "document"]
    cases = [Case(key=row["key"], doc=row["doc"], last=row["last"]) for row in rows]
    answer = evaluate.ask(host, version_id, rules, cases, seconds)
    now = datetime.now(UTC)
    ruled: list[Ruled] = []
    out: list[dict[str, Any]] = []
    decided: list[tuple[str, Verdict]] = []
    for row, found in zip(rows, answer.matches, strict=True):
        mark = _Mark(**orjson.loads(row["mark"]))
        standing = mark.standing(known)
        verdict = resolve([match for match in found if mark.allows(match, now)] + ([standing] if standing else []))
        decided.append((row["key"], _own(verdict, standing)))
        deciding = _deciding(verdict, standing)
        if mark.moved and (deciding is None or deciding.action in _NEVER_HIDDEN):
            deciding, stands = None, False
        else:
            stands = mark.is_lost(known) if deciding is None else deciding is standing
        forced = bool(mark.forced) and any(mark.forces(match) for match in found)
        if mark.same and (not forced or (deciding is not None and deciding.action in _NEVER_SENT)):
            out.append({"key": row["key"], "verdict": "settle"})
        elif stands:
            out.append({"key": row["key"], "verdict": None})
        elif deciding is None:
            ruled.append(Ruled(row, verdict.priority, forced))
        else:
            until = _until(host, deciding, mark, now)
            out.append({"key": row["key"], "verdict": deciding.action, "held_until": until, **_named(deciding.rule)})
    if out:
        host.rows(statements.RULE_OUT, token, orjson.dumps(out).decode())
    saved = Counter(fields["rule_id"] for fields in out if fields["verdict"] in _NEVER_SENT)
    decision_log.record(host, version_id, rules, answer, decided, saved)
    return ruled


def _deciding(verdict: Verdict, standing: Match | None) -> Match | None:
    """Return what keeps the document from being embedded; None where nothing does."""
    gate = verdict.gate
    if gate is not None and gate is standing and gate.action == "hold":
        return gate
    if verdict.exclude is not None:
        return verdict.exclude
    return None if gate is None or gate.action == "refresh" else gate


def _until(host: Host, match: Match, mark: _Mark, now: datetime) -> datetime | None:
    """Return when a document that a rule defers is due: what it was deferred to before, where that is earlier."""
    if match.action != "defer":
        return None
    due = next_time(match.rule, now, value(host, foundation_statements.TIME_ZONE))
    earlier = mark.until if mark.rule_id == match.rule.id else None
    return due if earlier is None else min(due, earlier)


def _own(verdict: Verdict, standing: Match | None) -> Verdict:
    """Leave out what was recorded when the change was decided on."""
    overruled = tuple(match for match in verdict.overruled if match is not standing)
    return replace(verdict, gate=None if verdict.gate is standing else verdict.gate, overruled=overruled)


def _named(rule: Rule) -> dict[str, int]:
    return {"rule_id": rule.id, "revision": rule.revision}
