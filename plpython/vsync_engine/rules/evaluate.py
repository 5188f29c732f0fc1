"""Asking rules of changes and documents: all at once, and where that fails, each alone and then of fewer at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from vsync_engine.foundation.errors import QUERY_CANCELED
from vsync_engine.foundation.host import Host, HostError, OverrunError, Row, Statement
from vsync_engine.rules import statements
from vsync_engine.rules.model import Match, Rule

_PATIENCE = 4  # times the time limit that one rule may take up in a batch while its bad rows are looked for
_SHORTEST = 0.01  # seconds
_SQL_ERRORS = "42"  # class of errors of the statement itself, whatever the rows
_INSUFFICIENT_PRIVILEGE = "42501"  # may be granted again
_NOT_GRANTED = "55P03"


Question = tuple[Statement, tuple[object, ...]]


class Case(NamedTuple):
    """What rules are asked of, each part as JSON text. image: old and new. key: whose row of the root is `new`."""

    key: str | None = None
    image: str | None = None
    doc: str | None = None
    last: str | None = None
    change: str | None = None


@dataclass
class Tally:
    """What asking one rule came to. error: the last. broken: it cannot be asked at all, and why."""

    asked: int = 0
    matched: int = 0
    failed: int = 0
    seconds: float = 0.0
    error: str | None = None
    broken: str | None = None


@dataclass
class Answer:
    """matches: by case, in the order given. tallies: by rule id."""

    matches: list[list[Match]]
    tallies: dict[int, Tally] = field(default_factory=dict[int, Tally])


def load(host: Host, version_id: int) -> list[Rule]:
    """Return the rules in force for a version, the one that decides first first."""
    return [
        Rule(
            id=row["id"],
            name=row["name"],
            revision=row["revision"],
            stage=row["stage"],
            action=row["action"],
            params=_json(row["params"]),
            priority=row["priority"],
            relation=None if row["relation"] is None else int(row["relation"]),
            columns=_json(row["columns"]),
            numbered=row["numbered"],
            delay=row["delay"],
        )
        for row in host.rows(statements.RULES, version_id)
    ]


def matches(
    host: Host, version_id: int, rules: Sequence[Rule], cases: Sequence[Case], seconds: float
) -> list[list[Match]]:
    """Return the rules that hold for each case, of one stage and one relation; see ask()."""
    return ask(host, version_id, rules, cases, seconds).matches


def ask(host: Host, version_id: int, rules: Sequence[Rule], cases: Sequence[Case], seconds: float) -> Answer:
    """Ask rules of cases, all of one stage and one relation, within a time limit.

    What cannot be asked counts as not matching, or holds where params.on_error says so. HostError only where the
    session itself was cancelled or lost.
    """
    encoded = [_encoded(i, case) for i, case in enumerate(cases)]

    def question(rule_ids: list[int], places: range) -> Question:
        return statements.JUDGE, (version_id, rule_ids, f"[{','.join(encoded[places.start : places.stop])}]")

    return ask_by(host, rules, len(cases), question, seconds)


def ask_by(
    host: Host,
    rules: Sequence[Rule],
    count: int,
    question: Callable[[list[int], range], Question],
    seconds: float,
) -> Answer:
    """Ask rules of so many cases, as ask(). question: the statement that asks rules, by id, of cases, by place."""
    answer = Answer([[] for _ in range(count)], {rule.id: Tally(asked=count) for rule in rules})
    if rules and count:
        _Batch(host, count, question, seconds, answer).ask(rules)
    return answer


class _Batch:
    def __init__(
        self,
        host: Host,
        count: int,
        question: Callable[[list[int], range], Question],
        seconds: float,
        answer: Answer,
    ) -> None:
        self._host = host
        self._count = count
        self._question = question
        self._seconds = seconds
        self._answer = answer

    def ask(self, rules: Sequence[Rule]) -> None:
        """Ask all of them; one by one where that fails."""
        everything = range(self._count)
        if len(rules) > 1:
            try:
                self._attempt(rules, everything, self._seconds)
                return
            except HostError as error:
                raise_if_cancelled(error)
        for rule in rules:
            self._ask_alone(rule, everything)

    def _ask_alone(self, rule: Rule, places: range) -> None:
        started = time.monotonic()
        try:
            self._attempt([rule], places, self._seconds)
        except HostError as error:
            raise_if_cancelled(error)
            tally = self._answer.tallies[rule.id]
            if not isinstance(error, OverrunError) and (useless := self._fails_without_rows(rule)):
                if useless.sqlstate.startswith(_SQL_ERRORS) and useless.sqlstate != _INSUFFICIENT_PRIVILEGE:
                    tally.broken = useless.message
                self._give_up(rule, places, useless)
                return
            self._halve(rule, places, error, started + _PATIENCE * self._seconds)

    def _halve(self, rule: Rule, places: range, error: HostError, until: float) -> None:
        if len(places) == 1 or time.monotonic() > until:
            self._give_up(rule, places, error)
            return
        middle = len(places) // 2
        for half in (places[:middle], places[middle:]):
            try:
                share = self._seconds * len(half) / self._count
                self._attempt([rule], half, max(_SHORTEST, share))
            except HostError as narrower:
                raise_if_cancelled(narrower)
                self._halve(rule, half, narrower, until)

    def _fails_without_rows(self, rule: Rule) -> HostError | None:
        try:
            self._attempt([rule], range(0), self._seconds)
        except HostError as error:
            raise_if_cancelled(error)
            return error
        return None

    def _give_up(self, rule: Rule, places: range, error: HostError) -> None:
        tally = self._answer.tallies[rule.id]
        tally.failed += len(places)
        tally.error = error.message
        if rule.params.get("on_error") == "hold":
            for place in places:
                self._answer.matches[place].append(Match(rule, failed=True))

    def _attempt(self, rules: Sequence[Rule], places: range, seconds: float) -> None:
        started = time.monotonic()
        try:
            statement, arguments = self._question([rule.id for rule in rules], places)
            found = self._host.attempt(seconds, statement, *arguments)
        finally:
            spent = (time.monotonic() - started) / len(rules)
            for rule in rules:
                self._answer.tallies[rule.id].seconds += spent
        by_id = {rule.id: rule for rule in rules}
        for row in found:
            self._note(rules, by_id, row)

    def _note(self, rules: Sequence[Rule], by_id: Mapping[int, Rule], row: Row) -> None:
        numbers = dict(zip((rule.id for rule in rules if rule.numbered), row["numbers"] or (), strict=False))
        found = [Match(by_id[rule_id], numbers.get(rule_id)) for rule_id in row["rules"]]
        for place in row["places"]:
            self._answer.matches[int(place)].extend(found)
        for rule_id in row["rules"]:
            self._answer.tallies[rule_id].matched += len(row["places"])


def raise_if_cancelled(error: HostError) -> None:
    """Raise an error that is the session's, or a lock's, and not a rule's."""
    if error.sqlstate in ("", QUERY_CANCELED, _NOT_GRANTED) and not isinstance(error, OverrunError):
        raise error


def _encoded(place: int, case: Case) -> str:
    # the parts stay text: a number of 30 digits would not survive Python
    fields = [f'{{"place":{place}']
    if case.key is not None:
        fields.append(f'"key":{orjson.dumps(case.key).decode()}')
    if case.doc is not None:
        fields.append(f'"doc":{case.doc}')
    if case.last is not None:
        fields.append(f'"last":{case.last}')
    if case.change is not None:
        fields.append(f'"change":{case.change}')
    if case.image is not None:
        return f"{','.join(fields)},{case.image[1:]}"
    return ",".join(fields) + "}"


def _json(document: Any) -> Any:
    return orjson.loads(document) if isinstance(document, str) else document
