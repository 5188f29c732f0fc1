"""What asking rules came to, as counters and as decisions that can be looked up for a while."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import orjson

from vsync_engine.foundation.host import Host
from vsync_engine.rules import statements
from vsync_engine.rules.evaluate import Answer
from vsync_engine.rules.model import Match, Rule, Verdict


def record(
    host: Host,
    version_id: int,
    rules: Sequence[Rule],
    answer: Answer,
    decided: Iterable[tuple[str, Verdict]],
    saved: Mapping[int, int],
    relation: int | None = None,
) -> None:
    """Write down what rules of one stage said. decided: by key. saved: texts that were not sent, by rule id.

    relation: a dependency, whose tuples the keys are; None for documents.
    """
    if not rules:
        return
    kept: dict[tuple[int, str], list[str]] = defaultdict(list)
    for key, verdict in decided:
        for match in (verdict.gate, verdict.prioritize, verdict.exclude):
            if match is not None:
                kept[match.rule.id, _said(match)].append(key)
        for match in verdict.overruled:
            kept[match.rule.id, "overruled"].append(key)
    by_id = {rule.id: rule for rule in rules}
    tallies = [
        {
            "rule_id": rule.id,
            "revision": rule.revision,
            "asked": tally.asked,
            "matched": tally.matched,
            "failed": tally.failed,
            "seconds": tally.seconds,
            "saved": saved.get(rule.id, 0),
            "error": tally.error,
            "broken": tally.broken,
        }
        for rule in rules
        for tally in [answer.tallies[rule.id]]
    ]
    decisions = [
        {
            "rule_id": rule_id,
            "revision": by_id[rule_id].revision,
            "stage": by_id[rule_id].stage,
            "verdict": said,
            "relation": relation,
            "keys": keys,
        }
        for (rule_id, said), keys in kept.items()
    ]
    host.rows(statements.RECORD_RULES, version_id, orjson.dumps(tallies).decode(), orjson.dumps(decisions).decode())


def _said(match: Match) -> str:
    return "failed" if match.failed else match.rule.action
