"""`vsync ddl`: migrations that change what documents read, from the shell."""

from pathlib import Path

import pytest

from admin.test_commands import answer, vsync
from fix_cluster import Connection
from promise.oracle import Declared, assert_fresh, declare, embedded_total, register
from vsync_admin.ddl import split
from vsync_admin.errors import CommandError


@pytest.fixture
def notes(db: Connection, tiny_model) -> Declared:
    register(db, tiny_model)
    db.execute("create schema app; create table app.notes (id int primary key, title varchar(50), hits int)")
    db.execute("insert into app.notes select i, 'title ' || i, 0 from generate_series(1, 20) as i")
    embedding = declare(db, "select id, title as content from app.notes", schema="app")
    assert_fresh(db, embedding)
    return embedding


def types(db: Connection) -> list[str]:
    query = "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'app.notes'::regclass"
    return [row[0] for row in db.execute(f"{query} and attnum in (1, 2) order by attnum".encode()).fetchall()]


def test_types_change_and_nothing_is_embedded_again(dsn: str, db: Connection, notes: Declared) -> None:
    before = embedded_total(db, notes)
    rows = answer(
        dsn,
        "ddl",
        "alter table app.notes alter column id type bigint; alter table app.notes alter column title type varchar(99)",
        "update app.notes set title = 'another' where id = 3",
    )
    assert [(row["embedding"], row["version"], row["state"]) for row in rows] == [("promised", 1, "active")]
    assert types(db) == ["bigint", "character varying(99)"]
    assert_fresh(db, notes)
    assert embedded_total(db, notes) == before + 1


def test_what_fails_changes_nothing(dsn: str, db: Connection, notes: Declared) -> None:
    done = vsync(dsn, "ddl", "alter table app.notes alter column id type bigint", "select 1 / 0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "division by zero" in done.stderr
    assert types(db) == ["integer", "character varying(50)"]
    assert db.execute("select state from vsync.stat_embeddings").fetchone() == ("active",)
    assert_fresh(db, notes)


def test_a_lock_that_somebody_holds_is_not_waited_for_longer(
    dsn: str, connect, db: Connection, notes: Declared
) -> None:
    holder = connect(autocommit=False)
    holder.execute("lock table app.notes in access share mode")
    done = vsync(dsn, "ddl", "--lock-timeout", "100ms", "alter table app.notes alter column title type text")
    assert done.returncode == 1
    assert "lock timeout" in done.stderr
    holder.rollback()
    assert types(db) == ["integer", "character varying(50)"]


def test_a_table_that_no_document_reads_is_not_released(dsn: str, db: Connection, notes: Declared) -> None:
    done = vsync(dsn, "ddl", "create table app.others (id int)", "alter table app.others alter id type text")
    assert done.returncode == 0
    assert "2 statements committed; no table had to be released" in done.stderr


def test_a_table_that_only_a_function_names_is_given(dsn: str, db: Connection, notes: Declared) -> None:
    block = "do $$ begin alter table app.notes alter column title type text; end $$"
    done = vsync(dsn, "ddl", block)
    assert done.returncode == 1
    assert "--table" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert vsync(dsn, "ddl", "--table", "app.no_such", block).returncode == 1
    assert vsync(dsn, "ddl", "--table", "app.notes", block).returncode == 0
    assert types(db) == ["integer", "text"]
    assert_fresh(db, notes)


def test_a_document_that_cannot_be_followed_is_said(dsn: str, db: Connection, notes: Declared) -> None:
    done = vsync(dsn, "ddl", "alter table app.notes drop column title")
    assert done.returncode == 4
    assert "1 statement committed, but not followed again: promised version 1" in done.stderr
    assert "title" in done.stderr.partition("DETAIL")[2]
    db.execute("alter table app.notes add column title text")
    db.execute("update app.notes set title = 'title ' || id")
    assert_fresh(db, notes)


def test_what_somebody_else_released_stays_released(dsn: str, db: Connection, notes: Declared) -> None:
    db.execute("create table app.tags (id int primary key, name varchar(9)); insert into app.tags values (1, 'a')")
    tags = declare(db, "select id, name as content from app.tags", name="labels", schema="app")
    assert_fresh(db, tags)
    db.execute("select vsync.release_table('app.notes')")
    rows = answer(
        dsn, "ddl", "alter table app.tags alter name type text", "alter table app.notes alter title type text"
    )
    assert [(row["embedding"], row["state"], row["reason"]) for row in rows] == [("labels", "active", None)]
    states = db.execute("select embedding, state from vsync.stat_embeddings order by 1").fetchall()
    assert states == [("labels", "active"), ("promised", "released")]
    db.execute("select vsync.resume_table('app.notes')")
    assert_fresh(db, notes, tags)


def test_a_file_of_statements_that_build_on_each_other(
    dsn: str, db: Connection, notes: Declared, tmp_path: Path
) -> None:
    before = embedded_total(db, notes)
    script = tmp_path / "change.sql"
    script.write_text(
        """alter table app.notes rename to papers; -- the next statement names what this one made
        alter table app.papers alter column title type text;
        create table app.kept as select * from app.papers; drop table if exists app.others cascade;
        insert into app.papers values (21, 'title 21')""",
        "utf-8",
    )
    done = vsync(dsn, "ddl", "--file", str(script))
    assert done.returncode == 0, done.stderr
    assert "5 statements committed; released and followed again: app.notes" in done.stderr
    assert_fresh(db, notes, document="select id, title as content from app.papers")
    assert embedded_total(db, notes) == before + 1


def test_a_table_that_is_dropped_and_made_again_keeps_its_vectors(dsn: str, db: Connection, notes: Declared) -> None:
    before = embedded_total(db, notes)
    script = """create table app.kept as select * from app.notes; drop table app.notes;
        create table app.notes (id bigint primary key, title text);
        insert into app.notes select id, title from app.kept"""
    done = vsync(dsn, "ddl", "-f", "-", stdin=script)
    assert done.returncode == 0, done.stderr
    assert_fresh(db, notes)
    assert embedded_total(db, notes) == before


def test_nothing_to_run_is_wrong_usage(dsn: str) -> None:
    assert vsync(dsn, "ddl").returncode == 2
    assert vsync(dsn, "ddl", " -- nothing").returncode == 2
    done = vsync(dsn, "ddl", "alter table t alter column a type text using 'x")
    assert done.returncode == 2
    assert "string that does not end" in done.stderr


@pytest.mark.parametrize(
    "refused",
    [
        "create index concurrently i on t (a)",
        "reindex table concurrently t",
        "vacuum full t",
        "alter table p detach partition q concurrently",
        "alter system set work_mem = '1MB'",
        "create database d",
        "alter table t add column a int; commit",
        "begin",
        "Rollback",
        "call vsync.work()",
    ],
)
def test_what_cannot_run_in_a_transaction_block_is_refused_before_anything_ran(refused: str) -> None:
    with pytest.raises(CommandError, match=r"transaction") as caught:
        split(refused)
    assert caught.value.code == 2
    assert caught.value.hint


@pytest.mark.parametrize(
    ("script", "tables"),
    [
        ("alter table a alter column t type text; drop table b, x.c cascade", [("a",), ("b", "x.c")]),
        ('alter table only shop."Pro ducts" alter "commit" type int', [('shop."Pro ducts"',)]),
        ("/* a; b */ ALTER TABLE IF EXISTS x . y ALTER c SET DATA TYPE int -- ;", [("x.y",)]),
        ("alter table t add foreign key (a) references u; alter table t drop column a", [("t",), ("t",)]),
        ("alter foreign table f alter a type int; drop materialized view if exists v, w", [("f",), ("v", "w")]),
        ("comment on table t is 'commit; begin';;", [()]),
        ("do $$ begin; commit; end $$", [()]),
        ("update t set a = 1; truncate t", [(), ()]),
        (
            "create function f() returns int begin atomic select case 1 when 1 then 1 end; end; drop table u",
            [(), ("u",)],
        ),
        ('alter table "alter" drop constraint p, alter column b type int', [('"alter"',)]),
    ],
)
def test_the_tables_that_statements_alter_are_found(script: str, tables: list[tuple[str, ...]]) -> None:
    assert [part.tables for part in split(script)] == tables


def test_only_what_a_document_may_stand_in_the_way_of_needs_a_release() -> None:
    script = """alter table t add column a int; alter table t rename a to b; alter table t alter b set default 1;
        alter table t alter b type text; alter table t drop constraint t_pkey; drop table t"""
    assert [part.needs_release for part in split(script)] == [False, False, False, True, True, True]
