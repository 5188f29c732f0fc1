"""Capture by WAL: what it costs writers, and how fast the slot is read into the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.bench import switched
from tests.bench.measure import Connection, Figure, median, seconds
from tests.bench.switched import CLIENTS, RELEVANT, bulk, figure, pgbench, ratios
from vsync_admin.cluster import Cluster

_READ = "select transactions, keys from vsync_internal.wal_state"


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure with a slot and without in turn; the slot is read after each statement, and not while it runs."""
    with switched.switched(cluster, "wal") as session:
        rates: list[float] = []

        def everything(turn: int, capture: str) -> float:
            took = bulk(session, turn)
            if capture == "wal":
                _, keys, reading = _catch_up(session)
                assert keys == switched.ROWS
                rates.append(keys / reading)
            return took

        pairs = ratios(session, "wal", everything)
        yield figure("wal: 1,000,000-row update, time ÷ without", pairs, 1.05, at_most=True)
        yield Figure("wal: slot into log, one transaction", median(rates), "rows/s", note="1,000,000 rows")
        rates.clear()

        def single(turn: int, capture: str) -> float:
            reached = pgbench(cluster, "wal", RELEVANT, turn)
            if capture == "wal":
                transactions, _, reading = _catch_up(session)
                rates.append(transactions / reading)
            return reached

        pairs = ratios(session, "wal", single)
        yield figure(f"wal: single-row update, {CLIENTS} clients, TPS ÷ without", pairs, 0.97)
        yield Figure("wal: slot into log, single rows", median(rates), "transactions/s")


def _catch_up(session: Connection) -> tuple[int, int, float]:
    """Read the slot to its end; return the transactions, the keys and the seconds."""
    before = _read(session)
    took = seconds(session, "call read_slot()")
    after = _read(session)
    return after[0] - before[0], after[1] - before[1], took


def _read(session: Connection) -> tuple[Any, ...]:
    row = session.execute(_READ).fetchone()
    assert row is not None
    return row
