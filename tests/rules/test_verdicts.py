"""Which of the rules that match decide, and until when a document waits: pure functions."""

from datetime import UTC, datetime
from typing import Any

import pytest

from vsync_engine.rules.model import Match, Rule, resolve
from vsync_engine.rules.schedule import next_time


def rule(name: str, action: str, priority: int = 0, delay: float | None = None) -> Rule:
    return Rule(len(name), name, 1, "change", action, {}, priority, delay=delay)


def match(name: str, action: str, priority: int = 0, **options: Any) -> Match:
    return Match(rule(name, action, priority), **options)


def test_the_highest_priority_decides_then_the_name() -> None:
    low, high, later = match("a", "skip"), match("z", "defer", 5), match("b", "refresh")
    verdict = resolve([low, later, high])
    assert verdict.gate == high
    assert verdict.overruled == (low, later)
    assert resolve([later, low]).gate == low


def test_gate_order_and_visibility_are_decided_apart() -> None:
    hide, first, gate = match("hide", "exclude", -1), match("vip", "prioritize", 3, number=7.0), match("g", "skip")
    second = match("zip", "prioritize", 3, number=9.0)
    verdict = resolve([second, gate, hide, first])
    assert (verdict.gate, verdict.prioritize, verdict.exclude, verdict.overruled) == (gate, first, hide, (second,))
    assert verdict.priority == 7.0


def test_a_rule_that_could_not_be_asked_holds() -> None:
    failed = match("hide", "exclude", failed=True)
    verdict = resolve([failed, match("skip", "skip", -1)])
    assert verdict.gate is failed
    assert failed.action == "hold"
    assert verdict.exclude is None


def test_nothing_matches() -> None:
    assert resolve([]) == resolve(())
    assert resolve([]).gate is None
    assert resolve([]).priority == 0


@pytest.mark.parametrize(
    ("params", "now", "due"),
    [
        ({"until": "18:00"}, "2026-03-02T09:00+00:00", "2026-03-02T17:00+00:00"),
        ({"until": "9:30"}, "2026-03-02T17:00+00:00", "2026-03-03T08:30+00:00"),
        ({"until": "18:00"}, "2026-03-02T17:00+00:00", "2026-03-03T17:00+00:00"),
        ({"until": "18:00:30", "timezone": "UTC"}, "2026-03-02T18:00+00:00", "2026-03-02T18:00:30+00:00"),
        ({"until": "18:00"}, "2026-03-28T20:00+00:00", "2026-03-29T16:00+00:00"),  # the clocks go forward that night
        ({"cron": "0 2 * * *"}, "2026-03-02T09:00+00:00", "2026-03-03T01:00+00:00"),
        ({"cron": "*/15 * * * *", "timezone": "UTC"}, "2026-03-02T09:01+00:00", "2026-03-02T09:15+00:00"),
        ({"cron": "0 0 1 * *", "timezone": "UTC"}, "2026-03-02T09:01+00:00", "2026-04-01T00:00+00:00"),
        ({"until": "12:00", "timezone": "no such zone"}, "2026-03-02T09:00+00:00", "2026-03-02T12:00+00:00"),
    ],
)
def test_the_next_time(params: dict[str, str], now: str, due: str) -> None:
    moment = datetime.fromisoformat(now)
    answer = next_time(Rule(1, "r", 1, "change", "defer", params, 0), moment, "Europe/Berlin")
    assert answer == datetime.fromisoformat(due)
    assert answer.utcoffset() == moment.astimezone(UTC).utcoffset()


def test_an_interval_counts_from_now() -> None:
    now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert next_time(rule("r", "defer", delay=90.0), now, "UTC") == datetime(2026, 3, 2, 9, 1, 30, tzinfo=UTC)
