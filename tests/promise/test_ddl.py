"""Tables change shape while changes flow: renames are followed, what is gone is said to be gone, workers go on."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connect, Connection
from promise.oracle import Declared, assert_fresh, contents, declare, embedded_total, register, work


@pytest.fixture
def notes(db: Connection, tiny_model: Path) -> Declared:
    register(db, tiny_model)
    db.execute("create table notes (id int primary key, body text, hits int)")
    db.execute("insert into notes select i, 'body ' || i from generate_series(1, 5) as i")
    embedding = declare(db, "select id, body as content from notes")
    assert_fresh(db, embedding)
    return embedding


def test_a_before_trigger_that_changes_the_text_is_followed(db: Connection, notes: Declared) -> None:
    db.execute("""create function louder() returns trigger language plpgsql as
        $$ begin new.body := upper(new.body) || coalesce(new.hits, 0); return new; end $$""")
    db.execute("create trigger louder before insert or update on notes for each row execute function louder()")
    db.execute("update notes set hits = 7 where id = 1")
    db.execute("insert into notes values (6, 'six')")
    assert_fresh(db, notes)
    assert contents(db, notes)["1"] == ["BODY 17"]


def test_a_cascade_is_followed(db: Connection, notes: Declared) -> None:
    db.execute("create table authors (id int primary key, name text)")
    db.execute("insert into authors values (1, 'a'), (2, 'b'), (3, 'c')")
    db.execute("alter table notes add column author int references authors on delete cascade on update cascade")
    db.execute("alter table notes add column editor int references authors on delete set null")
    edited = declare(db, "select id, body || ' ' || coalesce(editor, 0) || author as content from notes", name="edited")
    db.execute("update notes set author = 1, editor = 2")
    db.execute("update notes set author = 3 where id > 3")
    assert_fresh(db, notes, edited)
    db.execute("delete from authors where id = 2")
    assert_fresh(db, notes, edited)
    db.execute("update authors set id = 9 where id = 3")
    assert_fresh(db, notes, edited)
    db.execute("delete from authors where id = 1")
    assert_fresh(db, notes, edited)
    assert contents(db, edited) == {"4": ["body 4 09"], "5": ["body 5 09"]}


def test_a_cascading_key_is_followed(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table parents (id int primary key)")
    db.execute("create table kids (id int primary key references parents on update cascade on delete cascade, t text)")
    db.execute("insert into parents values (1), (2), (3)")
    db.execute("insert into kids values (1, 'a'), (2, 'b'), (3, 'c')")
    kids = declare(db, "select id, t as content from kids")
    work(db)
    db.execute("update parents set id = id + 10 where id > 1; delete from parents where id = 1")
    assert_fresh(db, kids)
    db.execute("truncate parents cascade")
    assert_fresh(db, kids)
    assert contents(db, kids) == {}


def test_a_generated_column_is_followed(db: Connection, notes: Declared) -> None:
    db.execute("alter table notes add column shown text generated always as (body || '/' || coalesce(hits, 0)) stored")
    shown = declare(db, "select id, shown as content from notes", name="shown")
    assert_fresh(db, shown)
    db.execute("update notes set hits = 3 where id = 2")
    assert_fresh(db, notes, shown)
    assert contents(db, shown)["2"] == ["body 2/3"]


def test_a_whole_row_reference_is_followed(db: Connection, notes: Declared) -> None:
    whole = declare(db, "select id, notes::text as content from notes", name="whole")
    named = declare(db, "select id, to_jsonb(n)::text as content from notes as n", name="named")
    db.execute("update notes set hits = 3 where id = 2")
    assert_fresh(db, notes, whole, named)
    db.execute("alter table notes add column remark text default 'none'")
    assert_fresh(db, notes, whole, named)
    db.execute("update notes set remark = 'some' where id = 2")
    assert_fresh(db, notes, whole, named)
    db.execute("alter table notes rename column remark to comment")
    assert_fresh(db, notes, whole, named)
    db.execute("alter table notes alter column hits type numeric(6, 2)")
    assert_fresh(db, notes, whole, named)
    db.execute("alter table notes drop column hits")
    assert_fresh(db, notes, whole, named)
    assert contents(db, whole)["2"] == ['(2,"body 2",some)']


def test_renames_are_followed_while_changes_flow(db: Connection, connect: Connect, notes: Declared) -> None:
    writer = connect()
    for count, (rename, table, key, text) in enumerate(
        (
            ("alter table notes rename to papers", "papers", "id", "body"),
            ("alter table papers rename column body to words", "papers", "id", "words"),
            ("alter table papers rename column id to number", "papers", "number", "words"),
            ("alter table papers rename column hits to id", "papers", "number", "words"),
            ("alter table papers rename column words to hits", "papers", "number", "hits"),
        )
    ):
        db.execute(rename.encode())
        writer.execute(f"update {table} set {text} = {text} || '.' where {key} = 1".encode())
        writer.execute(f"insert into {table} ({key}, {text}) values ({100 + count}, 'row {count}')".encode())
        writer.execute(f"delete from {table} where {key} = {99 + count}".encode())
        writer.execute(f"update {table} set {key} = {key} + 10 where {key} = {2 + count}".encode())
        assert_fresh(db, notes, document=f"select {key} as id, {text} as content from {table}")


def test_columns_that_change_places_in_one_transaction_are_followed(
    db: Connection, connect: Connect, tiny_model: Path
) -> None:
    register(db, tiny_model)
    db.execute("create table pairs (a int, b int, body text, primary key (a, b) include (body))")
    db.execute("insert into pairs select i, 10 - i, 'body ' || i from generate_series(1, 5) as i")
    pairs = declare(db, "select a as first, b as second, body as content from pairs", key=("first", "second"))
    work(db)
    other = connect(autocommit=False)
    other.execute("alter table pairs rename column a to c")
    other.execute("update pairs set body = 'in between' where c = 1")
    other.execute("alter table pairs rename column b to a")
    other.execute("alter table pairs rename column c to b")
    other.execute("update pairs set body = 'after' where b = 2")
    other.commit()
    document = "select b as first, a as second, body as content from pairs"
    assert_fresh(db, pairs, document=document)
    db.execute("update pairs set b = b + 1 where b = 5; delete from pairs where b = 3")
    assert_fresh(db, pairs, document=document)


def test_another_primary_key_does_not_change_the_embeddings_key(db: Connection, notes: Declared) -> None:
    db.execute("alter table notes add column code int generated by default as identity (start 1000)")
    db.execute("alter table notes drop constraint notes_pkey, add unique (id), add primary key (code)")
    db.execute("update notes set body = 'recoded' where id = 2")
    db.execute("delete from notes where id = 3")
    assert_fresh(db, notes)


def test_columns_of_no_concern_come_and_go(db: Connection, notes: Declared) -> None:
    before = embedded_total(db, notes)
    db.execute("alter table notes add column extra text default 'x'")
    db.execute("alter table notes alter column hits type bigint using hits::bigint + 1")
    db.execute("update notes set extra = 'y'")
    db.execute("alter table notes drop column extra")
    db.execute("update notes set hits = 2")
    assert_fresh(db, notes)
    assert embedded_total(db, notes) == before
    db.execute("update notes set body = 'still followed' where id = 1")
    assert_fresh(db, notes)


WHERE = "select relnamespace::regnamespace::text from pg_class where relname = 'promised'"


def test_a_root_that_moves_to_another_schema_is_followed(db: Connection, notes: Declared) -> None:
    db.execute('create schema "Else Where"; alter table notes set schema "Else Where"')
    assert db.execute(WHERE).fetchall() == [('"Else Where"',)]
    db.execute("""update "Else Where".notes set body = 'moved' where id = 1""")
    moved = replace(notes, schema="Else Where")
    assert_fresh(db, moved, document='select id, body as content from "Else Where".notes')
    served = db.execute(
        """select body, content from "Else Where".notes join "Else Where".promised using (id)"""
    ).fetchall()
    assert len(served) == 5
    assert all(body == content for body, content in served)
    db.execute("select vsync.add_version('promised')")
    assert db.execute(WHERE).fetchall() == [('"Else Where"',)]
    db.execute("select vsync.drop_embedding('promised')")
    assert_nothing_left(db)


GONE = {
    "table": "drop table notes cascade",
    "column": "alter table notes drop column body cascade",
    "schema": "drop schema s cascade",
    "vectors": "drop table vsync_data.promised_v1 cascade",
}


@pytest.mark.parametrize("drop", GONE.values(), ids=GONE.keys())
def test_workers_go_on_when_what_a_document_reads_is_gone(
    db: Connection, connect: Connect, tiny_model: Path, drop: str
) -> None:
    register(db, tiny_model)
    db.execute("create schema s; set search_path = s, public; create table notes (id int primary key, body text)")
    db.execute("create table others (id int primary key, body text)")
    db.execute("alter table others set schema public; create table public.texts (id int primary key, body text)")
    db.execute("insert into notes select i, 'body ' || i from generate_series(1, 5) as i")
    declare(db, "select id, body as content from notes", schema="s")
    other = declare(db, "select id, body as content from public.others", name="other")
    work(db)
    db.execute("insert into notes select i, 'body ' || i from generate_series(6, 2500) as i")
    db.execute("truncate notes; insert into notes values (1, 'one')")
    db.execute("select vsync_internal.fold()")
    db.execute("insert into notes values (2, 'two')")
    db.execute("select vsync.refresh('promised')")
    db.execute(drop.encode())
    db.execute("insert into others values (1, 'still')")
    connect().execute("call vsync.work()")
    assert contents(db, other) == {"1": ["still"]}
    # vectors are made again, since what they are made of is there
    expected = "active" if "vsync_data" in drop else "broken"
    assert db.execute("select state from vsync.stat_embeddings where embedding = 'promised'").fetchone() == (expected,)
    if drop.startswith("alter"):
        db.execute("insert into notes values (3); update notes set id = id + 10; delete from notes where id = 13")
    db.execute("select vsync.drop_embedding('promised')")
    assert_fresh(db, other)
    db.execute("select vsync.drop_embedding('other')")
    assert_nothing_left(db)


def assert_nothing_left(db: Connection) -> None:
    left = db.execute("""select c.oid::regclass::text from pg_class as c
        where c.relnamespace = 'vsync_data'::regnamespace or c.relname in ('promised', 'other')
        union all select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'vsync_data'::regnamespace
        union all select t.tgname from pg_trigger as t where t.tgname like 'vsync%%'
        union all select 'marks' from vsync_internal.marks union all select 'pages' from vsync_internal.pages
        union all select 'captures' from vsync_internal.captures""").fetchall()
    assert left == []


def test_a_dropped_table_says_what_to_drop(db: Connection, notes: Declared) -> None:
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        db.execute("drop table notes")
    assert_fresh(db, notes)
