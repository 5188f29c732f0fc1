"""Decides on changes before anything is marked: takes pages of the fold, asks the rules, writes down what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from vsync_engine import judging, recording, statements
from vsync_engine.host import Host, Row, value
from vsync_engine.verdicts import Match, Rule, Verdict, next_time, resolve

_OPERATIONS = {"I": "insert", "U": "update", "D": "delete"}


@dataclass(frozen=True)
class _Change:
    """One changed row: its place, from 1, in its page."""

    page: Row
    place: int
    key: str
    image: str


def decide(host: Host, seconds: float, limit: int, taken: list[int]) -> int:
    """Decide on about `limit` changes, in the caller's transaction; return how many that were.

    seconds: for one asking. taken: receives the ids of the pages, to be put off where this fails.
    """
    pages = host.rows(statements.UNDECIDED, limit)
    taken[:] = [page["id"] for page in pages]
    if not pages:
        return 0
    version_id = pages[0]["version_id"]
    rules = [rule for rule in judging.load(host, version_id) if _concerns(rule, pages[0])]
    counted = _counted(host, rules, pages)
    if counted is None:
        host.rows(statements.PUT_OFF, taken, None)
        return len(pages)
    changes = [change for page in pages for change in _changes(page)]
    answer = judging.ask(host, version_id, rules, [_case(change, counted) for change in changes], seconds)
    verdicts = [
        resolve(match for match in found if _reaches(match, counted[change.page["id"]]))
        for change, found in zip(changes, answer.matches, strict=True)
    ]
    decisions = list(_decisions(host, changes, verdicts))
    host.rows(statements.DECIDE, taken, orjson.dumps(decisions).decode())
    decided = ((change.key, verdict) for change, verdict in zip(changes, verdicts, strict=True))
    relation = None if pages[0]["dependency"] is None else int(pages[0]["relation"])
    recording.record(host, version_id, rules, answer, decided, _saved(verdicts), relation)
    return len(changes)


def _concerns(rule: Rule, page: Row) -> bool:
    """Tell whether a rule is asked of changes of a page's relation, as vsync_internal.asks() does."""
    if rule.relation is not None or rule.stage != "change":
        return rule.stage == "change" and rule.relation == int(page["relation"])
    reads_no_row = "relation" not in rule.params and not (rule.columns["old"] or rule.columns["new"])
    return page["dependency"] is None or reads_no_row


def _counted(host: Host, rules: list[Rule], pages: list[Row]) -> dict[int, int | None] | None:
    """Return by page how many documents its transaction's change leads to; None where that cannot be found out now."""
    counted: dict[int, int | None] = {page["id"]: page["documents"] for page in pages}
    if not any("over" in rule.params or "documents" in rule.columns.get("change", ()) for rule in rules):
        return counted
    by_transaction: dict[str, int] = {}
    for page in pages:
        xid = page["xid"]
        if page["documents"] is None and page["dependency"] is not None:
            if xid not in by_transaction:
                found = value(host, statements.COUNT_CHANGE, page["version_id"], page["dependency"], xid)
                if found is None:
                    return None
                by_transaction[xid] = found
            counted[page["id"]] = by_transaction[xid]
    return counted


def _changes(page: Row) -> Iterator[_Change]:
    for place, (key, image) in enumerate(zip(page["keys"], page["images"], strict=True), start=1):
        yield _Change(page, place, key, image)


def _case(change: _Change, counted: Mapping[int, int | None]) -> judging.Case:
    page = change.page
    facts = {
        "op": _OPERATIONS[page["op"]],
        "relation": str(page["relation"]),
        "at": page["at"],
        "documents": counted[page["id"]],
    }
    return judging.Case(image=change.image, change=orjson.dumps(facts).decode())


def _reaches(match: Match, documents: int | None) -> bool:
    """Tell whether a hold of changes over a size applies to one that leads to so many documents."""
    over = match.rule.params.get("over")
    return over is None or match.failed or (documents or 0) > over


def _saved(verdicts: list[Verdict]) -> dict[int, int]:
    return Counter(verdict.gate.rule.id for verdict in verdicts if verdict.gate and verdict.gate.action == "skip")


def _decisions(host: Host, changes: list[_Change], verdicts: list[Verdict]) -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC)
    zone: str | None = None
    for change, verdict in zip(changes, verdicts, strict=True):
        gate = verdict.gate
        if gate is None and verdict.prioritize is None:
            continue
        fields: dict[str, Any] = {
            "page": change.page["id"],
            "place": change.place,
            "verdict": gate and (None if gate.action == "refresh" else gate.action),
            "rule_id": gate and gate.rule.id,
            "revision": gate and gate.rule.revision,
            "priority": verdict.priority,
        }
        if gate is not None and gate.action == "defer":
            zone = zone if zone is not None else str(value(host, statements.TIME_ZONE))
            fields["held_until"] = next_time(gate.rule, now, zone)
        yield fields
