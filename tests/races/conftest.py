"""Fixtures of the race tests."""

from pathlib import Path

import pytest

from fix_cluster import Connection

pytest.register_assert_rewrite("races.steps")
from races import steps  # noqa: E402


@pytest.fixture
def items(db: Connection, tiny_model: Path) -> Connection:
    """A session; shop.items is empty and the embedding `found` reads its bodies."""
    steps.make_table(db, tiny_model)
    steps.declare(db)
    return db
