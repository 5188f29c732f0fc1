"""Capture by WAL: what it costs writers, and how fast the slot is read into the log."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Connection, Figure, database, median, seconds
from tests.bench.writers import CLIENTS, RELEVANT, ROUNDS, ROWS, TABLE, pgbench
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import Cluster

_DECLARE = """
select vsync.create_embedding('captured_search', 'select id, body as content from captured', 'tiny', 'wal',
    index => '{"type": "none"}')
"""
# what a worker does before it folds, in its place: inside the server
_READ = """
create procedure read_slot() language plpython3u as $py$
from vsync_engine.host import PlpyHost
from vsync_engine.wal import Reader
own = Reader(PlpyHost())
target = own.target()
while not own.reached(target):
    own.look(urgent=True)
$py$
"""


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure two tables alike, one of them published, in turn; no worker runs while they are written."""
    with tempfile.TemporaryDirectory() as directory, database(cluster, "wal") as session:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
        session.execute(_READ)
        for table in ("plain", "captured"):
            session.execute(TABLE.format(table).encode())
            session.execute(f"alter table {table} add primary key (id)".encode())
            session.execute(f"vacuum analyze {table}".encode())
        session.execute(_DECLARE)
        session.execute("call read_slot()")
        ratios: list[float] = []
        rates: list[float] = []
        for i in range(ROUNDS):
            took: dict[str, float] = {}
            for table in _in_turn(i):
                _let_go(session)
                took[table] = _bulk(session, table, i)
                if table == "captured":
                    rates.append(ROWS / seconds(session, "call read_slot()"))
            ratios.append(took["captured"] / took["plain"])
            logged = session.execute("select sum(cardinality(keys)) from vsync_internal.log").fetchone()
            assert logged == (ROWS,), logged
            session.execute("truncate vsync_internal.log")
        yield Figure("wal: 1,000,000-row update, time ÷ without", median(ratios), "ratio", 1.05, at_most=True)
        yield Figure("wal: slot into log, one transaction", median(rates), "rows/s", note="1,000,000 rows")
        yield from _single_rows(cluster, session, Path(directory))


def _single_rows(cluster: Cluster, session: Connection, directory: Path) -> Iterator[Figure]:
    ratios: list[float] = []
    rates: list[float] = []
    count = "select transactions from vsync_internal.wal_state"
    for i in range(ROUNDS):
        reached: dict[str, float] = {}
        for table in _in_turn(i):
            path = directory / f"{table}.sql"
            path.write_text(RELEVANT.format(table), encoding="utf-8")
            _let_go(session)
            before = session.execute(count).fetchone()
            reached[table] = pgbench(cluster, path, "wal")
            if table == "captured":
                took = seconds(session, "call read_slot()")
                after = session.execute(count).fetchone()
                assert before is not None
                assert after is not None
                rates.append((after[0] - before[0]) / took)
        ratios.append(reached["captured"] / reached["plain"])
        session.execute("truncate vsync_internal.log")
    yield Figure("wal: single-row update, TPS ÷ without", median(ratios), "ratio", 0.97, note=f"{CLIENTS} clients")
    yield Figure("wal: slot into log, single rows", median(rates), "transactions/s")


def _in_turn(turn: int) -> list[str]:
    return ["plain", "captured"] if turn % 2 == 0 else ["captured", "plain"]


def _let_go(session: Connection) -> None:
    """Let the server use its WAL files again: what the slot holds back is not the statement's cost."""
    session.execute("checkpoint")
    session.execute("call read_slot()")
    session.execute("select vsync_internal.wal_advance()")
    session.execute("checkpoint")


def _bulk(session: Connection, table: str, turn: int) -> float:
    session.execute(f"vacuum {table}".encode())
    return seconds(session, f"update {table} set body = left(body, 90) || '{turn}'")
