"""What the slot tells operators: the columns that embeddings read, and no others."""

from pathlib import Path

import pytest

from capture.steps import declare, read_all
from fix_cluster import Connect, Connection, MakeRole
from races.steps import make_table, scalar, stored
from vsync_engine.capture.pgoutput import Delete, Insert, Relation, Update, parse

SECRET = "HASH-SECRET"


def peeked(session: Connection) -> list[bytes]:
    with session.transaction():
        end = scalar(session, "select pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
        return [row[0] for row in session.execute("select vsync_internal.wal_peek(%s::bigint)", [end])]


@pytest.mark.parametrize("partitioned", [False, True])
def test_columns_that_no_document_reads_are_not_told(
    db: Connection, dsn: str, tiny_model: Path, connect: Connect, make_role: MakeRole, partitioned: bool
) -> None:
    make_table(db, tiny_model)
    db.execute("set synchronous_commit = 'local'")
    db.execute("create schema app")
    kind = "partition by range (id)" if partitioned else ""
    db.execute(f"create table app.users (password_hash text, id int primary key, bio text, note text) {kind}".encode())
    if partitioned:
        db.execute("create table app.first partition of app.users for values from (0) to (100)")
        db.execute("create table app.rest (note text, bio text, password_hash text, id int primary key)")
        db.execute("alter table app.rest alter id set not null")
        db.execute("alter table app.users attach partition app.rest for values from (100) to (1000)")
    leaves = ("app.first", "app.rest") if partitioned else ("app.users",)
    for leaf in leaves:
        db.execute(f"alter table {leaf} replica identity full".encode())
    declare(db, "people", "select id, bio as content from app.users")
    read_all(dsn)
    long = "é" * 50_000
    for key in (1, 200):
        db.execute("insert into app.users values (%s, %s, 'bio', null)", [SECRET, key])
        db.execute("update app.users set bio = %s, note = %s where id = %s", ["new " + long, SECRET + long, key])
        db.execute("update app.users set password_hash = %s where id = %s", [SECRET + "2", key])
        db.execute("delete from app.users where id = %s", [key])
    messages = peeked(connect(user=make_role("vsync_operator")))
    assert len([m for m in map(parse, messages) if isinstance(m, Insert | Update | Delete)]) == 8
    assert not [m for m in messages if SECRET.encode() in m]
    texts = b"".join(messages)
    assert texts.count(("new " + long).encode()) >= 2
    names = {m.oid: m.columns for m in map(parse, messages) if isinstance(m, Relation)}
    for message in map(parse, messages):
        if isinstance(message, Insert):
            row = dict(zip(names[message.relation], message.new, strict=True))
            assert row == {"id": row["id"], "bio": b"bio", "password_hash": None, "note": None}


def test_what_rules_read_is_told_to_them(db: Connection, dsn: str, tiny_model: Path) -> None:
    make_table(db, tiny_model)
    db.execute("alter table shop.items replica identity full")
    declare(db, "found")
    db.execute("select vsync.create_rule('cheap', 'found', 'new.price < 10', 'skip')")
    read_all(dsn)
    db.execute("insert into shop.items values (1, 'one', 50), (2, 'two', 60)")
    db.execute("call vsync.work()")
    db.execute("update shop.items set body = body || '!', price = 5 where id = 1")
    db.execute("update shop.items set body = 'TWO' where id = 2")
    db.execute("call vsync.work()")
    assert stored(db) == {1: "one", 2: "TWO"}


def test_a_table_that_somebody_adds_to_the_publication_tells_nothing(
    db: Connection, dsn: str, tiny_model: Path, connect: Connect, make_role: MakeRole
) -> None:
    make_table(db, tiny_model)
    db.execute("set synchronous_commit = 'local'")
    declare(db, "found")
    read_all(dsn)
    db.execute("create table shop.other (id int primary key, secret text)")
    db.execute("alter publication vsync add table shop.other")
    db.execute("insert into shop.other values (1, %s)", [SECRET])
    messages = peeked(connect(user=make_role("vsync_operator")))
    assert not [m for m in messages if SECRET.encode() in m]
    assert [m for m in map(parse, messages) if isinstance(m, Insert)]
