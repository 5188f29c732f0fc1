"""What follows from the rules that match: which of them decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
