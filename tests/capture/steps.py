"""Reading the slot step by step, and the log as both captures wrote it."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import psycopg

from fix_cluster import Connection
from vsync_engine.capture.wal_reader import Reader
from vsync_engine.foundation.host import PsycopgHost

DOCUMENT = "select id, body as content from shop.items"


def declare(db: Connection, name: str, document: str = DOCUMENT, capture: str = "wal", options: str = "{}") -> None:
    """Create an embedding of model `tiny` without a vector index."""
    db.execute(
        "select vsync.create_embedding(%s, %s, 'tiny', %s, index => '{\"type\": \"none\"}', options => %s)",
        [name, document, capture, options],
    )


@contextmanager
def reader(dsn: str) -> Iterator[Reader]:
    """Give a reader with a session of its own."""
    with psycopg.connect(dsn) as session:
        yield Reader(PsycopgHost(session))


def read_all(dsn: str) -> None:
    """Read the slot up to what is committed now, as a worker does before it folds; it must be there and be read."""
    with psycopg.connect(dsn, autocommit=True) as session:
        before = session.execute(_STATE).fetchone()
        _read(dsn)
        after = session.execute(_STATE).fetchone()
    assert before is None or before[0] is None or before == after, (before, after)
    assert after is not None
    assert after[-1] is None, after


_STATE = "select made_at, ready, reason, error from vsync_internal.wal_state"


def _read(dsn: str) -> None:
    with reader(dsn) as own:
        target = own.target()
        assert target is not None, "nothing is captured by WAL"
        end = monotonic() + 60
        while not own.reached(target):
            assert monotonic() < end, "the slot is not read"
            own.look(urgent=True)
            sleep(0.002)


def logged(db: Connection, capture: str) -> set[tuple[str, str | None]]:
    """Return op and key of what one capture mode has logged; the key of a TRUNCATE is None."""
    return {(op, key) for op, key in _log(db, capture)}


def logged_keys(db: Connection, capture: str) -> list[str | None]:
    """Return the keys as often as they were logged."""
    return sorted((key for _, key in _log(db, capture)), key=str)


def _log(db: Connection, capture: str) -> list[tuple[Any, ...]]:
    return db.execute(
        "select l.op::text, k.key from vsync_internal.log as l join vsync_internal.feeds as f on f.id = l.feed_id "
        "left join unnest(l.keys) as k (key) on true where f.capture = %s",
        [capture],
    ).fetchall()


def forget(db: Connection) -> None:
    """Empty the log."""
    db.execute("delete from vsync_internal.log")


def slot(db: Connection, column: str = "slot_name") -> Any:
    """Return a column of this database's slot, None if there is none."""
    row = db.execute(
        f"select {column}::text from pg_replication_slots where slot_name = vsync_internal.slot_name()".encode()
    ).fetchone()
    return row and row[0]


def state(db: Connection, column: str) -> Any:
    """Return a column of the reader's state."""
    row = db.execute(f"select {column} from vsync_internal.wal_state".encode()).fetchone()
    return row and row[0]
