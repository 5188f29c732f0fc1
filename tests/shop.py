"""A small shop to embed: one table, one tiny model, one embedding, and what tests ask about them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

Connection = psycopg.Connection[tuple[Any, ...]]

DOCUMENT = "select id, title as content from shop.products"


def run(db: Connection, statement: str, *arguments: object) -> None:
    db.execute(statement.encode(), arguments or None)


def value(db: Connection, query: str, *arguments: object) -> Any:
    row = db.execute(query.encode(), arguments or None).fetchone()
    assert row is not None
    return row[0]


def rows(db: Connection, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    return db.execute(query.encode(), arguments or None).fetchall()


def register(db: Connection, directory: Path, name: str = "tiny") -> None:
    db.execute("select vsync.register_model(%s, %s)", (name, f"file://{directory}"))


def open_shop(db: Connection, model: Path, products: int = 3, *, owner: str = "postgres") -> None:
    """Make table shop.products (id, title, hidden, tenant) of `owner` with rows 1 … products, and model tiny."""
    register(db, model)
    run(db, f"create schema shop authorization {owner}")
    db.execute("create table shop.products (id int primary key, title text, hidden text, tenant text)")
    run(db, f"alter table shop.products owner to {owner}")
    add(db, 1, products)


def add(db: Connection, first: int, last: int, tenant: str = "a") -> None:
    fill = (
        "insert into shop.products select i, 'product ' || i, 'secret', %s from generate_series(%s::int, %s::int) as i"
    )
    run(db, fill, tenant, first, last)


def declare(db: Connection, name: str = "catalog", document: str = DOCUMENT, **options: Any) -> None:
    named = "".join(f", {option} => %s" for option in options)
    run(db, f"select vsync.create_embedding(%s, %s, 'tiny'{named})", name, document, *options.values())


def refused(call: Callable[[], object], sqlstate: str) -> psycopg.errors.Diagnostic:
    """Run what must be refused with a VS error that has a detail and a hint; return its report."""
    with pytest.raises(psycopg.Error) as caught:
        call()
    report = caught.value.diag
    assert caught.value.sqlstate == sqlstate, f"{caught.value.sqlstate}: {report.message_primary}"
    assert report.message_detail
    assert report.message_hint
    return report


def denied(db: Connection, query: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(db, query)
