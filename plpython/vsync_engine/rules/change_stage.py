"""Decides on changes before anything is marked: takes pages of the fold, asks the rules, writes down what they say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from vsync_engine.foundation import statements as foundation_statements
from vsync_engine.foundation.host import Host, Row, value
from vsync_engine.rules import decision_log, evaluate, statements
from vsync_engine.rules.model import NOTHING, Match, Rule, Verdict, resolve
from vsync_engine.rules.schedule import next_time

TOGETHER = 5_000  # changes that rules are asked about at once
_TIMED = 1_000  # changes that the time limit is meant for


class _Decided(NamedTuple):
    """A changed row that rules said something of: its place in its page, and what."""

    page: Row
    place: int
    verdict: Verdict


def decide(host: Host, seconds: float, limit: int, taken: list[int]) -> int:
    """Decide on about `limit` changes, in the caller's transaction; return how many that were.

    seconds: for asking about a thousand. taken: receives the ids of the pages, to be put off where this fails.
    """
    pages = host.rows(statements.UNDECIDED, limit)
    taken[:] = [page["id"] for page in pages]
    if not pages:
        return 0
    version_id = pages[0]["version_id"]
    rules = [rule for rule in evaluate.load(host, version_id) if _concerns(rule, pages[0])]
    counted = _counted(host, rules, pages)
    if counted is None:
        host.rows(foundation_statements.PUT_OFF, taken, None)
        return len(pages)
    places = [(page, place) for page in pages for place in range(len(page["keys"]))]

    def question(rule_ids: list[int], asked: range) -> evaluate.Question:
        return statements.JUDGE_PAGES, (version_id, rule_ids, taken, asked.start, asked.stop)

    seconds *= max(1.0, len(places) / _TIMED)
    answer = evaluate.ask_by(host, rules, len(places), question, seconds)
    verdict_of = _resolving()
    decided = [
        _Decided(page, place, verdict)
        for (page, place), found in zip(places, answer.matches, strict=True)
        if found and (verdict := verdict_of(found, counted[page["id"]])) is not NOTHING
    ]
    host.rows(statements.DECIDE, taken, orjson.dumps(list(_decisions(host, decided))).decode())
    relation = None if pages[0]["dependency"] is None else int(pages[0]["relation"])
    by_key = ((each.page["keys"][each.place], each.verdict) for each in decided)
    decision_log.record(host, version_id, rules, answer, by_key, _saved(decided), relation)
    return len(places)


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


def _resolving() -> Callable[[list[Match], int | None], Verdict]:
    """Resolve what many changes have in common once."""
    known: dict[tuple[int | None, ...], Verdict] = {}

    def verdict_of(found: list[Match], documents: int | None) -> Verdict:
        same = (documents, *map(id, found))
        if same not in known:
            known[same] = resolve(match for match in found if _reaches(match, documents))
        return known[same]

    return verdict_of


def _reaches(match: Match, documents: int | None) -> bool:
    """Tell whether a hold of changes over a size applies to one that leads to so many documents."""
    over = match.rule.params.get("over")
    return over is None or match.failed or (documents or 0) > over


def _saved(decided: list[_Decided]) -> dict[int, int]:
    gates = (each.verdict.gate for each in decided)
    return Counter(gate.rule.id for gate in gates if gate and gate.action == "skip")


def _decisions(host: Host, decided: list[_Decided]) -> Iterator[dict[str, Any]]:
    now = datetime.now(UTC)
    zone: str | None = None
    alike: dict[int, list[_Decided]] = defaultdict(list)
    for each in decided:
        alike[id(each.verdict)].append(each)
    for group in alike.values():
        verdict = group[0].verdict
        gate = verdict.gate
        if gate is None and verdict.prioritize is None:
            continue
        fields: dict[str, Any] = {
            "pages": [each.page["id"] for each in group],
            "places": [each.place + 1 for each in group],
            "verdict": gate and (None if gate.action == "refresh" else gate.action),
            "rule_id": gate and gate.rule.id,
            "revision": gate and gate.rule.revision,
            "priority": verdict.priority,
        }
        if gate is not None and gate.action == "defer":
            zone = zone if zone is not None else str(value(host, foundation_statements.TIME_ZONE))
            fields["held_until"] = next_time(gate.rule, now, zone)
        yield fields
