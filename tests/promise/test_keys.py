"""Keys of every shape travel through log, queue and vectors unharmed, whatever the writer's session prints them as."""

from pathlib import Path

import pytest

from fix_cluster import Connect, Connection
from promise.oracle import Declared, assert_fresh, contents, declare, register
from promise.shapes import SHAPES, Shape
from promise.stage import FOREIGN
from races.steps import run


def declared(db: Connection, shape: Shape) -> Declared:
    return declare(db, shape.document, name=f"of_{shape.name}", schema=shape.schema, key=shape.key, chunk=shape.chunk)


def created(db: Connection, shape: Shape) -> Declared:
    db.execute(shape.create.encode())
    return declared(db, shape)


def test_every_shape_of_key_is_followed(db: Connection, connect: Connect, tiny_model: Path) -> None:
    register(db, tiny_model)
    foreign = connect()
    foreign.execute(FOREIGN)
    for shape in SHAPES:
        embedding = created(db, shape)
        columns = ", ".join((*shape.columns, "title", "body"))
        for number, key in enumerate(shape.keys):
            statement = (
                f"insert into {shape.root} ({columns}) values ({key}, 't', 'body {number}') on conflict do nothing"
            )
            (foreign if number % 2 else db).execute(statement.encode())
        assert_fresh(db, embedding)
        assert len(contents(db, embedding)) >= len(shape.keys) - 2
        foreign.execute(f"update {shape.root} set body = body || '.'".encode())
        assert_fresh(db, embedding)
        first = f"({', '.join(shape.columns)}) = ({shape.keys[0]})"
        foreign.execute(f"update {shape.root} set body = 'alone' where {first}".encode())
        assert_fresh(db, embedding)
        foreign.execute(f"delete from {shape.root} where {first}".encode())
        assert_fresh(db, embedding)
        foreign.execute(f"delete from {shape.root}".encode())
        assert_fresh(db, embedding)
        assert contents(db, embedding) == {}


def test_a_key_whose_equal_reads_differently_keeps_its_vector(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table notes (id numeric primary key, body text)")
    db.execute("insert into notes values (1.0, 'one'), (2, 'two')")
    embedding = declare(db, "select id, body as content from notes")
    assert_fresh(db, embedding)
    for literal in ("1.00", "1", "1.000"):
        db.execute(f"update notes set id = {literal}, body = body || '!' where id = 1".encode())
        db.execute("update notes set body = body || '?'")
        assert_fresh(db, embedding)
    db.execute("update notes set id = 2.0 where id = 2")
    assert_fresh(db, embedding)


@pytest.mark.parametrize("count", [3, 1100])
def test_a_large_statement_over_dates_is_followed(
    db: Connection, connect: Connect, tiny_model: Path, count: int
) -> None:
    register(db, tiny_model)
    foreign = connect()
    foreign.execute(FOREIGN)
    db.execute("create table days (day date, at timestamptz, body text, primary key (day, at))")
    embedding = declare(db, "select day, at, body as content from days", key=("day", "at"))
    foreign.execute(
        "insert into days select date '2001-01-01' + i, timestamptz '2001-01-01' + i * interval '7 hours', 'b'"
        " from generate_series(1, %s) as i",
        [count],
    )
    assert_fresh(db, embedding)
    foreign.execute("update days set body = 'c' || extract(dow from day)")
    assert_fresh(db, embedding)
    foreign.execute("update days set day = day + 1, at = at + interval '1 second'")
    assert_fresh(db, embedding)
    foreign.execute("delete from days where extract(day from day) > 12")
    assert_fresh(db, embedding)


def test_a_key_may_have_a_name_that_vsyncs_own_statements_use(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    for name in ("key", "hash", "text", "document", "vector", "verdict", "k1", "v"):
        run(db, f'create table t_{name} ("{name}" int, d int, body text, primary key ("{name}", d))')
        run(db, f"insert into t_{name} select i, i, 'text ' || i from generate_series(1, 3) as i")
        document = f'select "{name}", d, body as content from t_{name}'
        db.execute("select vsync.create_embedding(%s, %s, 'tiny')", [f"of_{name}", document])
        db.execute("call vsync.work()")
        assert run(db, f'select "{name}", content from of_{name} order by 1') == [(i, f"text {i}") for i in (1, 2, 3)]
        run(db, f"update t_{name} set body = body || '.' where d = 1; delete from t_{name} where \"{name}\" = 2")
        db.execute("call vsync.work()")
        assert run(db, f'select "{name}", content from of_{name} order by 1') == [(1, "text 1."), (3, "text 3")]
        assert run(db, f"select checked, missing, extra, stale, mixed from vsync.audit('of_{name}')") == [
            (2, 0, 0, 0, 0)
        ]


@pytest.mark.parametrize("columns", ["mood", "mood, place"])
def test_a_null_in_a_dependencys_tuple_is_no_empty_text(db: Connection, tiny_model: Path, columns: str) -> None:
    register(db, tiny_model)
    run(db, "create type mood as enum ('sad', 'happy')")
    run(db, "create table people (id int primary key, mood mood, place mood, body text)")
    run(db, "create table words (mood mood, place mood, word text)")
    run(db, "insert into people select i, 'happy', 'sad', 'body' from generate_series(1, 3) as i")
    run(db, "insert into words values ('happy', 'sad', 'word')")
    document = f"select p.id, p.body || w.word as content from people p join words w using ({columns})"
    embedding = declare(db, document)
    assert_fresh(db, embedding)
    for change in (
        "update words set mood = null",
        "update words set mood = 'happy', place = null",
        "delete from words",
    ):
        run(db, change)
        assert_fresh(db, embedding)
        assert db.execute("select count(*) from vsync_internal.pages").fetchone() == (0,)
    assert db.execute("select last_error from vsync_internal.progress").fetchall() == [(None,)]
