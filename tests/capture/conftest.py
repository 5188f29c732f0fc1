"""Fixtures of the capture tests."""

from pathlib import Path

import pytest

from capture import steps
from fix_cluster import Connection
from races.steps import make_table


@pytest.fixture
def both(db: Connection, dsn: str, tiny_model: Path) -> Connection:
    """A session; shop.items is read by `by_trigger` and `by_wal`, whose slot is made; the log is empty."""
    make_table(db, tiny_model)
    db.execute("alter table shop.items replica identity full")
    steps.declare(db, "by_trigger", capture="trigger")
    steps.declare(db, "by_wal")
    steps.read_all(dsn)
    return db
