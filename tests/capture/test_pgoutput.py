"""The parser of pgoutput: against the server's own messages, and byte by byte."""

import struct

import pytest

from fix_cluster import Connection
from races.steps import run, scalar
from vsync_engine.capture.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Message,
    ProtocolError,
    Relation,
    Truncate,
    Update,
    parse,
)

PEEK = """select data from pg_logical_slot_get_binary_changes(current_database()::name, null, null,
'proto_version', '1', 'publication_names', 'p')"""


@pytest.fixture
def published(db: Connection) -> Connection:
    """A session; everything in schema s is published, and read by `messages`."""
    run(db, "set synchronous_commit = 'local'")
    run(db, "create schema s; create publication p for tables in schema s")
    run(db, "create table s.t (id int primary key, a text, b text default 'b')")
    run(db, "alter table s.t alter column a set storage external")
    run(db, "select pg_create_logical_replication_slot(current_database()::name, 'pgoutput')")
    return db


def messages(db: Connection, *statements: str) -> list[Message | None]:
    for statement in statements:
        run(db, statement)
    return [parse(row[0]) for row in run(db, PEEK)]


def rows(found: list[Message | None]) -> list[Message | None]:
    return [message for message in found if not isinstance(message, (Begin, Commit, Relation))]


def test_a_transaction_has_its_xid_time_and_positions(published: Connection) -> None:
    run(published, "begin")
    xid = scalar(published, "select pg_current_xact_id()::text::bigint")
    found = messages(published, "insert into s.t values (1, 'x')", "commit")
    begin, relation, insert, commit = found
    assert isinstance(begin, Begin)
    assert isinstance(commit, Commit)
    assert (begin.xid, begin.lsn, begin.time) == (xid, commit.lsn, commit.time)
    assert commit.end > commit.lsn
    age = "select extract(epoch from now() - ('2000-01-01 00:00+00'::timestamptz + %s * interval '1 us'))"
    assert 0 <= scalar(published, age, begin.time) < 60
    oid = scalar(published, "select 's.t'::regclass::oid::bigint")
    assert relation == Relation(oid, "s", "t", "d", ("id", "a", "b"), (True, False, False))
    assert insert == Insert(oid, [b"1", b"x", b"b"])


def test_rows_under_the_default_identity(published: Connection) -> None:
    run(published, "insert into s.t values (1, 'x', null), (2, repeat('long ', 5000), '')")
    messages(published)
    found = messages(
        published,
        "update s.t set b = 'ü' where id = 1",
        "update s.t set id = 3, b = 'c' where id = 2",
        "delete from s.t where id = 1",
        "truncate s.t",
    )
    oid = scalar(published, "select 's.t'::regclass::oid::bigint")
    assert rows(found) == [
        Update(oid, None, [b"1", b"x", "ü".encode()]),
        Update(oid, [b"2", None, None], [b"3", UNCHANGED, b"c"]),
        Delete(oid, [b"1", None, None]),
        Truncate((oid,)),
    ]


def test_rows_under_the_full_identity(published: Connection) -> None:
    run(published, "alter table s.t replica identity full; insert into s.t values (1, repeat('long ', 5000), '')")
    messages(published)
    found = messages(published, "update s.t set b = null", "delete from s.t")
    oid = scalar(published, "select 's.t'::regclass::oid::bigint")
    long = b"long " * 5000
    assert rows(found) == [Update(oid, [b"1", long, b""], [b"1", UNCHANGED, None]), Delete(oid, [b"1", long, None])]
    relations = [message for message in found if isinstance(message, Relation)]
    assert [relation.identity for relation in relations] == ["f"]


def test_a_truncate_names_all_its_tables(published: Connection) -> None:
    run(published, "create table s.u (id int primary key references s.t)")
    [found] = rows(messages(published, "truncate s.t cascade"))
    assert isinstance(found, Truncate)
    assert len(found.relations) == 2


def test_types_origins_and_logical_messages_say_nothing_about_rows(published: Connection) -> None:
    run(published, "create type s.mood as enum ('so'); create table s.v (id int primary key, m s.mood)")
    found = messages(published, "insert into s.v values (1, 'so')", "select pg_logical_emit_message(true, 'x', 'y')")
    assert found.count(None) == 1  # the type
    assert isinstance(rows([message for message in found if message])[0], Insert)


@pytest.mark.parametrize(
    "data",
    [
        b"Z",
        b"",
        b"U" + struct.pack(">I", 1) + b"X",
        b"I" + struct.pack(">I", 1) + b"N" + struct.pack(">H", 1) + b"b",
    ],
)
def test_what_is_not_protocol_version_1_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(data)
