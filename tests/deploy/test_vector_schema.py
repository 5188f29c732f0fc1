"""pgvector in a schema that is not open to everybody: readers search, or are told the grant that is missing."""

from collections.abc import Callable
from pathlib import Path

import psycopg

from shop import declare, open_shop, rows, run
from versions.rollout import work


def test_a_reader_searches_where_pgvector_has_a_closed_schema(
    empty_dsn: str, tiny_model: Path, make_role: Callable[..., str]
) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        run(db, "create schema extensions; create extension vector schema extensions; create extension vsync cascade")
        reader = make_role("vsync_reader")
        open_shop(db, tiny_model)
        declare(db)
        work(db)
        run(db, f"grant usage on schema shop to {reader}; grant select on shop.products to {reader}")
        search = "select content from vsync.search('catalog', 'product 2', 1)"
        run(db, f"set role {reader}")
        assert rows(db, search) == [("product 2",)]
        run(db, "reset role; revoke usage on schema extensions from vsync_reader")
        (found,) = rows(db, "select level, remediation from vsync.doctor() where name = 'pgvector' and level = 'error'")
        assert found == ("error", "grant usage on schema extensions to vsync_reader")
        run(db, found[1])
        run(db, f"set role {reader}")
        assert rows(db, search) == [("product 2",)]
