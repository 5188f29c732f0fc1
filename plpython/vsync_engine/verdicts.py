"""What follows from the rules that match: which of them decide, and until when a document waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

GATES = ("skip", "defer", "hold", "refresh")


@dataclass(frozen=True)
class Rule:
    """A rule in force. stage: change or document. numbered: it has an expression. delay: seconds of for or every."""

    id: int
    name: str
    revision: int
    stage: str
    action: str
    params: Mapping[str, Any]
    priority: int
    relation: int | None = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    numbered: bool = False
    delay: float | None = None

    @property
    def order(self) -> tuple[int, str]:
        """The first in this order decides: by priority, then by name."""
        return -self.priority, self.name


@dataclass(frozen=True)
class Match:
    """A rule that holds for a case. number: what its expression came to. failed: could not be asked, and holds then."""

    rule: Rule
    number: float | None = None
    failed: bool = False

    @property
    def action(self) -> str:
        """What follows for the document."""
        return "hold" if self.failed else self.rule.action


@dataclass(frozen=True)
class Verdict:
    """gate: whether to embed; prioritize: in which order; exclude: whether it is hidden; overruled: what is left."""

    gate: Match | None = None
    prioritize: Match | None = None
    exclude: Match | None = None
    overruled: tuple[Match, ...] = ()

    @property
    def priority(self) -> float:
        """The number that the order goes by."""
        return 0.0 if self.prioritize is None else priority_of(self.prioritize)


NOTHING = Verdict()


def priority_of(match: Match) -> float:
    """Return what a match of prioritize comes to: of its expression, else its params."""
    return float(match.rule.params.get("priority", 0)) if match.number is None else match.number


def resolve(matches: Iterable[Match]) -> Verdict:
    """Return what decides of all that matches: of each kind the first by priority and name; NOTHING where none does."""
    ordered = sorted(matches, key=lambda match: match.rule.order)
    if not ordered:
        return NOTHING
    gate = prioritize = exclude = None
    overruled: list[Match] = []
    for match in ordered:
        if match.action in GATES and gate is None:
            gate = match
        elif match.action == "prioritize" and prioritize is None:
            prioritize = match
        elif match.action == "exclude" and exclude is None:
            exclude = match
        else:
            overruled.append(match)
    return Verdict(gate, prioritize, exclude, tuple(overruled))


def next_time(rule: Rule, now: datetime, zone: str) -> datetime:
    """Return when what a rule defers is due, or a refresh comes next; zone: the database's time zone. In UTC."""
    if rule.delay is not None:
        return now.astimezone(UTC) + timedelta(seconds=rule.delay)
    there = now.astimezone(_zone(rule.params.get("timezone", zone)))
    if "cron" in rule.params:
        return next(CronSim(rule.params["cron"], there)).astimezone(UTC)
    hour, minute, second = (*(int(part) for part in rule.params["until"].split(":")), 0)[:3]
    wanted = time(hour, minute, second)
    for days in range(3):
        due = datetime.combine(there.date() + timedelta(days=days), wanted, there.tzinfo).astimezone(UTC)
        if due > now:
            return due
    raise AssertionError


def refreshed_next(
    rule_id: int, params: Mapping[str, Any], delay: float | None, zone: str, now: datetime | None = None
) -> datetime | None:
    """Return when a refresh rule's schedule comes round next; None where it has none."""
    if delay is None and "cron" not in params:
        return None
    return next_time(
        Rule(rule_id, "", 0, "document", "refresh", params, 0, delay=delay), now or datetime.now(UTC), zone
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # PostgreSQL knows more kinds of names
        return ZoneInfo("UTC")
