"""A shop whose embedding gets further versions, and what tests ask about them."""

from pathlib import Path
from typing import Any

import pytest

from shop import Connection, declare, open_shop, register, rows, run, value

VIEW = "select id, content, version from shop.catalog order by id"
NEAREST = (
    "select id, version from shop.catalog order by embedding <=> vsync.query_vector('catalog', 'product 9'), id limit 1"
)
SEARCH = "select key ->> 'id', version from vsync.search('catalog', 'product 9', 1)"
PREPARED = f"""prepare nearest as {NEAREST};
prepare searched as {SEARCH};
prepare dimensions as select vector_dims(vsync.query_vector('catalog', 'product 9'))"""


def add_version(db: Connection, **options: Any) -> int:
    named = "".join(f", {option} => %s" for option in options)
    return value(db, f"select vsync.add_version('catalog'{named})", *options.values())


def work(db: Connection) -> None:
    run(db, "call vsync.work()")


def activate(db: Connection, version: int) -> None:
    assert value(db, "select vsync.activate_version('catalog', %s)", version) == version


def state(db: Connection, version: int) -> Any:
    query = "select state from vsync.versions where embedding = 'catalog' and version = %s"
    return value(db, query, version)


def totals(db: Connection) -> dict[int, tuple[int, int, int]]:
    """Return by version: texts embedded, texts sent to the model, texts copied."""
    query = "select version, embedded_total, inference_total, reused_total from vsync.stat_embeddings"
    return {version: (embedded, sent, reused) for version, embedded, sent, reused in rows(db, query)}


def assert_clean(db: Connection, *versions: int) -> None:
    """Nothing differs in exactly these versions, which follow changes."""
    query = "select version, missing + extra + stale + mixed from vsync.audit('catalog') order by version"
    assert rows(db, query) == [(version, 0) for version in versions]


def assert_serves(db: Connection, version: int, dimensions: int = 8, nearest: int | None = 9) -> None:
    """View, search, query_vector and prepared statements (see PREPARED) agree on a version."""
    assert {row[2] for row in rows(db, VIEW)} == {version}
    found = rows(db, NEAREST)
    assert found[0][1] == version
    assert rows(db, "execute nearest") == found
    searched = rows(db, SEARCH)
    assert rows(db, "execute searched") == searched
    assert searched[0][1] == version
    if nearest is not None:  # None: several are as near
        assert (found[0][0], searched[0][0]) == (nearest, str(nearest))
    assert rows(db, "execute dimensions") == [(dimensions,)]


@pytest.fixture
def shop(db: Connection, tiny_model: Path, tiny_model_other: Path, tiny_model_16: Path) -> Connection:
    """Table shop.products of 20 rows, embedding catalog with one version, models tiny, other (same size) and wide."""
    open_shop(db, tiny_model, 20)
    register(db, tiny_model_other, "other")
    register(db, tiny_model_16, "wide")
    declare(db)
    work(db)
    run(db, PREPARED)
    return db
