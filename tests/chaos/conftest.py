"""Fixtures of the tests with real workers."""

from pathlib import Path

import pytest

from fix_cluster import Connection

pytest.register_assert_rewrite("races.steps", "chaos.rest")
from races import steps  # noqa: E402


@pytest.fixture
def items(db: Connection, tiny_model_poison: Path) -> Connection:
    """A session; the embedding `found` reads the bodies of shop.items, with the model that can be poisoned."""
    steps.make_table(db, tiny_model_poison)
    db.execute("create function shop.body_of(id int, body text) returns text language sql immutable as 'select body'")
    db.execute(
        "select vsync.create_embedding('found', 'select id, shop.body_of(id, body) as content from shop.items', 'tiny')"
    )
    return db
