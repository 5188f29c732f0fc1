"""Fixtures of the race tests."""

from pathlib import Path

import pytest

from fix_cluster import Connection
from races import steps


@pytest.fixture
def items(db: Connection, tiny_model: Path) -> Connection:
    """A session; shop.items is empty and the embedding `found` reads its bodies."""
    steps.make_table(db, tiny_model)
    steps.declare(db)
    return db
