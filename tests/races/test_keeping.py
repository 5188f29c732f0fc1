"""Vectors stay: while a document is embedded anew, when an embedding is declared again, when its table is altered."""

from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connect, Connection, MakeRole
from races.steps import (
    assert_fresh,
    claim,
    declare,
    fold,
    make_table,
    publish,
    put,
    release,
    render,
    run,
    scalar,
    settle_down,
    stored,
)


def test_a_document_is_found_at_every_step_of_its_update(items: Connection, connect: Connect) -> None:
    reader = connect()
    found = "select content from shop.found where id = 1"
    put(items, 1, "old")
    settle_down(items)
    put(items, 1, "new")
    assert scalar(reader, found) == "old"
    fold(items)
    assert scalar(reader, found) == "old"
    claimed = claim(items)
    assert scalar(reader, found) == "old"
    documents = render(items, claimed)
    assert scalar(reader, found) == "old"
    with items.transaction():
        publish(items, claimed, documents)
        assert scalar(reader, found) == "old"
    assert scalar(reader, found) == "new"
    release(items, claimed)


def test_declaring_an_embedding_again_keeps_its_vectors(items: Connection, tiny_model: Path) -> None:
    put(items, 1, "text")
    settle_down(items)
    before = items.execute("select embedding::text, token, embedded_at from vsync_data.found_v1").fetchall()
    document = "select id, body as content from shop.items"
    items.execute("select vsync.create_embedding('found', %s, 'tiny', if_not_exists => true)", [document])
    with pytest.raises(psycopg.Error, match="already exists"):
        items.execute("select vsync.create_embedding('found', %s, 'tiny')", [document])
    items.execute("select vsync.register_model('tiny', %s)", [f"file://{tiny_model}"])
    items.execute("call vsync.work()")
    after = items.execute("select embedding::text, token, embedded_at from vsync_data.found_v1").fetchall()
    assert after == before


def test_altering_the_source_keeps_the_vectors(items: Connection) -> None:
    put(items, 1, "text")
    settle_down(items)
    before = items.execute("select embedding::text, token, embedded_at from vsync_data.found_v1").fetchall()
    for change in (
        "alter table shop.items add column note text default 'x'",
        "alter table shop.items rename column body to words",
        "alter table shop.items rename to things",
        "alter table shop.things alter column price type numeric(12, 4)",
        "select vsync.repair_capture('found')",
        "select vsync.refresh('found')",
    ):
        run(items, change)
        settle_down(items)
    after = items.execute("select embedding::text, token, embedded_at from vsync_data.found_v1").fetchall()
    assert after == before
    items.execute("update shop.things set words = 'new text'")
    assert_fresh(items, "select id, words from shop.things")


def test_the_index_is_built_although_changes_keep_coming(db: Connection, tiny_model: Path) -> None:
    make_table(db, tiny_model)
    put(db, 1, "backlog")
    declare(db, index="hnsw")
    put(db, 2, "a change that is always waiting")
    fold(db)
    assert scalar(db, "select vsync_internal.build_index(1)") is True
    assert scalar(db, "select to_regclass('vsync_data.found_v1_ann')") is not None
    assert_fresh(db)


def test_the_index_waits_for_the_backlog(db: Connection, tiny_model: Path) -> None:
    make_table(db, tiny_model)
    put(db, 1, "backlog")
    db.execute("select vsync.create_embedding('found', 'select id, body as content from shop.items', 'tiny')")
    for _ in range(3):
        assert scalar(db, "select vsync_internal.build_index(1)") is False
        scalar(db, "select vsync_internal.backfill(1)")
    db.execute("call vsync.work()")
    assert scalar(db, "select to_regclass('vsync_data.found_v1_ann')") is not None
    assert stored(db) == {1: "backlog"}


@pytest.mark.parametrize("role", ["vsync_reader", "vsync_operator", "vsync_admin"])
@pytest.mark.parametrize(
    "reach",
    [
        "select vsync.register_model('mine', 'file:///etc')",
        "select vsync.configure('threads', '64')",
        "select vsync_internal.inspect_model('file:///etc', '{}')",
        "update vsync_internal.models set source = 'file:///etc'",
        "insert into vsync_internal.settings values ('threads', '64')",
    ],
    ids=["register", "configure", "inspect", "models", "settings"],
)
def test_nobody_but_a_superuser_reaches_model_paths(
    connect: Connect, make_role: MakeRole, role: str, reach: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        connect(user=make_role(role)).execute(reach.encode())
    assert caught.value.sqlstate in ("VS002", "42501")
