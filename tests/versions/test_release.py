"""A table is released for a change of its types, and followed again: at COMMIT, by a worker, by hand."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connect, Connection, MakeRole
from promise.oracle import Declared, assert_fresh, contents, declare, embedded_total, register, work
from shop import refused, rows, run, value

RELEASE = "select vsync.release_table('notes')"


@pytest.fixture
def notes(db: Connection, tiny_model: Path) -> Declared:
    register(db, tiny_model)
    db.execute("create table notes (id int primary key, body varchar(50), hits int)")
    db.execute("insert into notes select i, 'body ' || i, i from generate_series(1, 9) as i")
    embedding = declare(db, "select id, body as content from notes")
    assert_fresh(db, embedding)
    return embedding


def state(db: Connection) -> str:
    return value(db, "select state from vsync.stat_embeddings")


@pytest.mark.parametrize(
    "change",
    [
        "alter table notes alter column body type text",
        "alter table notes alter column id type bigint",
        "alter table notes alter id type bigint; alter table notes alter body type text, alter hits type bigint",
        "alter table notes alter column id type numeric(10)",
    ],
)
def test_types_change_in_one_transaction_and_nothing_is_embedded_again(
    db: Connection, notes: Declared, change: str
) -> None:
    before = embedded_total(db, notes)
    db.execute("create role app; grant select on promised to app")
    run(
        db,
        f"begin; {RELEASE}; {change}; update notes set body = 'new' where id = 1;"
        " delete from notes where id = 2; commit",
    )
    assert state(db) == "active"
    assert_fresh(db, notes)
    assert embedded_total(db, notes) == before + 1
    assert value(db, "select has_table_privilege('app', 'promised', 'select')") is True
    db.execute("drop owned by app; drop role app")
    db.execute("update notes set body = 'followed' where id = 3; delete from notes where id = 4")
    assert_fresh(db, notes)


def test_all_columns_are_renamed_while_released(db: Connection, notes: Declared) -> None:
    before = embedded_total(db, notes)
    run(
        db,
        f"begin; {RELEASE}; alter table notes rename column id to x; alter table notes rename column body to id;"
        " alter table notes rename column x to body; alter table notes alter column id type text;"
        " alter table notes rename to papers; commit",
    )
    assert state(db) == "active"
    document = "select body as id, id as content from papers"
    assert_fresh(db, notes, document=document)
    assert embedded_total(db, notes) == before
    db.execute("update papers set id = 'new' where body = 1; delete from papers where body = 2")
    assert_fresh(db, notes, document=document)


def test_a_table_is_dropped_and_made_again(db: Connection, notes: Declared) -> None:
    before = embedded_total(db, notes)
    run(
        db,
        f"begin; {RELEASE}; create temp table kept as table notes; drop table notes;"
        " create table notes (id bigint primary key, body text, hits int); insert into notes select * from kept;"
        " commit",
    )
    assert state(db) == "active"
    assert_fresh(db, notes)
    assert embedded_total(db, notes) == before
    db.execute("update notes set body = 'new' where id = 1; delete from notes where id = 2")
    assert_fresh(db, notes)


def test_a_release_alone_is_resumed_by_a_worker_once_the_table_is_altered(db: Connection, notes: Declared) -> None:
    db.execute(RELEASE)
    work(db)
    assert state(db) == "released"
    assert value(db, "select bool_and(stale) from vsync.search('promised', 'body')") is True
    assert value(db, "select pending is null from vsync.stat_embeddings") is True
    db.execute("delete from notes where id = 1; update notes set body = 'waits' where id = 2")
    work(db)
    assert "1" not in contents(db, notes)
    assert "resume_table" in rows(db, "select remediation from vsync.doctor() where name = 'embeddings'")[0][0]
    db.execute("alter table notes alter column id type bigint")
    db.execute("delete from notes where id = 3")
    assert_fresh(db, notes)
    assert state(db) == "active"


def test_a_second_release_undoes_nothing_for_what_was_altered_since_the_first(db: Connection, notes: Declared) -> None:
    db.execute(RELEASE)
    db.execute("alter table notes alter column body type text")
    db.execute(RELEASE)
    assert state(db) == "released"
    run(db, f"begin; {RELEASE}; alter table notes alter column id type bigint; {RELEASE}; commit")
    assert state(db) == "active"
    assert_fresh(db, notes)


def test_resume_by_hand(db: Connection, notes: Declared) -> None:
    db.execute(RELEASE)
    assert value(db, "select vsync.resume_table('notes')") == 1
    assert value(db, "select vsync.resume_table()") == 0
    assert_fresh(db, notes)
    db.execute(RELEASE)
    assert value(db, "select vsync.resume_table()") == 1
    assert_fresh(db, notes)


def test_what_cannot_be_followed_stays_released_and_the_migration_commits(db: Connection, notes: Declared) -> None:
    run(db, f"begin; {RELEASE}; alter table notes drop column body; commit")
    assert state(db) == "released"
    work(db)
    assert "body" in rows(db, "select detail from vsync.doctor() where name = 'embeddings'")[0][0]
    db.execute("alter table notes add column body text default 'back'")
    assert_fresh(db, notes)


def test_several_versions_embeddings_and_joined_tables(db: Connection, notes: Declared) -> None:
    db.execute("create table tags (id int primary key, note int, name varchar(9)); insert into tags values (1, 1, 'a')")
    tagged = declare(
        db, "select n.id, n.body || t.name as content from notes n join tags t on t.note = n.id", name="tagged"
    )
    hits = declare(db, "select id, hits::text as content from notes", name="hits")
    db.execute("select vsync.add_version('promised', document => 'select id, body || hits as content from notes')")
    assert_fresh(db, notes, tagged, hits)
    run(
        db,
        f"begin; {RELEASE}; select vsync.release_table('tags'); alter table notes alter column id type bigint;"
        " alter table tags alter column note type bigint; alter table tags alter column name type text;"
        " alter table notes alter column hits type numeric; commit",
    )
    assert rows(db, "select distinct state from vsync.stat_embeddings where embedding <> 'promised'") == [("active",)]
    assert_fresh(db, notes, tagged, hits)
    db.execute("update tags set name = 'b'; update notes set hits = 100 where id = 2")
    assert_fresh(db, notes, tagged, hits)
    db.execute("select vsync.activate_version('promised', 2)")
    assert value(db, "select content from promised where id = 2") == "body 2100"


def test_a_view_over_the_serving_view_keeps_a_new_key_type_out_and_is_named(db: Connection, notes: Declared) -> None:
    db.execute("create view mine as select id from promised")
    run(db, f"begin; {RELEASE}; alter table notes alter column body type text; commit")
    assert_fresh(db, notes)
    run(db, f"begin; {RELEASE}; alter table notes alter column id type bigint; commit")
    assert state(db) == "released"
    with pytest.raises(psycopg.Error) as caught:
        db.execute("select vsync.resume_table('notes')")
    assert caught.value.sqlstate == "VS303"
    assert "mine" in str(caught.value.diag.message_detail)
    db.execute("drop view mine")
    assert_fresh(db, notes)


def test_a_view_between_document_and_table_is_made_again(db: Connection, notes: Declared) -> None:
    db.execute("create view shown as select id, upper(body) as body from notes")
    viewed = declare(db, "select id, body as content from shown", name="viewed")
    assert_fresh(db, viewed)
    before = embedded_total(db, viewed)
    run(
        db,
        f"begin; {RELEASE}; drop view shown; alter table notes alter column body type text;"
        " create view shown as select id, upper(body) as body from notes; commit",
    )
    assert state(db) == "active"
    assert_fresh(db, notes, viewed)
    assert embedded_total(db, viewed) == before


def test_by_wal(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table notes (id int primary key, body varchar(50)); insert into notes values (1, 'a'), (2, 'b')")
    notes = declare(db, "select id, body as content from notes", capture="wal")
    assert_fresh(db, notes)
    run(db, f"begin; {RELEASE}; alter table notes alter column id type bigint; update notes set body = 'c'; commit")
    db.execute("delete from notes where id = 2")
    assert_fresh(db, notes)
    db.execute("update notes set body = 'd'")
    assert_fresh(db, notes)


def test_who_may(db: Connection, connect: Connect, make_role: MakeRole, notes: Declared) -> None:
    other = connect(user=make_role("vsync_admin"))
    for call in ("release_table('notes')", "resume_table('notes')"):
        refused(lambda call=call: other.execute(f"select vsync.{call}"), "VS002")
    owner = make_role("vsync_reader")
    run(db, f"alter table notes owner to {owner}; grant create on schema public to {owner}")
    session = connect(user=owner)
    run(session, f"begin; {RELEASE}; alter table notes alter column id type bigint; commit")
    assert state(db) == "active"
    assert value(db, "select owner from vsync.embeddings") == "postgres"
    owned = "select distinct pg_get_userbyid(proowner) from pg_proc where pronamespace = 'vsync_data'::regnamespace"
    assert rows(db, owned) == [("postgres",)]
    assert_fresh(db, notes)


def test_what_the_input_of_a_literal_may_run_waits_for_its_owner(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    register(db, tiny_model)
    role = make_role("vsync_admin")
    run(db, f"create schema s authorization {role}")
    owner = connect(user=role)
    owner.execute("create type s.pair as (x text); create table s.trace (who text)")
    owner.execute("grant usage on schema s to public; grant all on s.trace to public")
    owner.execute("create table s.t (id int primary key, body varchar(9)); insert into s.t values (1, 'a')")
    owner.execute(
        "select vsync.create_embedding('e', 'select id, body || ((''(x)''::s.pair).x) as content from s.t', 'tiny')"
    )
    owner.execute("create function s.note() returns void language sql as 'insert into s.trace values (current_user)'")
    owner.execute(
        "create function s.spy(text) returns boolean language plpgsql immutable as "
        "$$ begin perform s.note(); return true; end $$"
    )
    db.execute("select vsync.release_table('s.t')")
    owner.execute("create domain s.d as text check (s.spy(value)); alter type s.pair alter attribute x type s.d")
    owner.execute("truncate s.trace")
    owner.execute("alter table s.t alter column body type text")
    work(db)
    with pytest.raises(psycopg.Error):
        db.execute("select vsync.resume_table('s.t')")
    assert rows(db, "select * from s.trace") == []
    assert value(owner, "select vsync.resume_table('s.t')") == 1
    assert rows(db, "select distinct who from s.trace") == [(role,)]
    work(db)
    assert value(db, "select content from s.e") == "ax"


def test_a_writer_that_began_before_the_resume_is_waited_for(db: Connection, connect: Connect, notes: Declared) -> None:
    db.execute(RELEASE)
    writer = connect(autocommit=False)
    writer.execute("update notes set body = 'late' where id = 1")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        db.execute("select vsync.resume_table('notes')")
    writer.commit()
    db.execute("select vsync.resume_table('notes')")
    assert_fresh(db, notes)


def test_a_session_that_died_after_its_release_is_made_up_for(
    db: Connection, connect: Connect, notes: Declared
) -> None:
    session = connect()
    session.execute(RELEASE)
    session.close()
    db.execute(
        "update notes set body = 'x' where id = 1; update vsync_internal.releases set at = at - interval '6 minutes'"
    )
    assert_fresh(db, notes)
    assert state(db) == "active"


def test_a_claim_that_is_at_work_survives_a_release(db: Connection, connect: Connect, notes: Declared) -> None:
    db.execute("update notes set body = 'new' where id = 1; select vsync_internal.fold()")
    worker = connect()
    token, keys = rows(worker, "select token, keys from vsync_internal.claim(1, 10)")[0]
    run(db, f"begin; {RELEASE}; alter table notes alter column id type bigint; commit")
    rows(worker, "select * from vsync_internal.render(%s, %s)", token, keys)
    worker.close()
    assert_fresh(db, notes)


def test_rules_over_what_was_altered_go_on(db: Connection, notes: Declared) -> None:
    db.execute("select vsync.create_rule('few', 'promised', 'new.hits < 3', 'exclude')")
    db.execute("select vsync.create_rule('same', 'promised', 'old.hits = new.hits', 'skip')")
    work(db)
    run(db, f"begin; {RELEASE}; alter table notes alter column hits type bigint, alter column id type bigint; commit")
    work(db)
    assert sorted(int(key) for key in contents(db, notes)) == list(range(3, 10))
    db.execute("update notes set body = 'skipped' where id = 5; update notes set body = 'seen', hits = 10 where id = 6")
    work(db)
    assert (contents(db, notes)["5"], contents(db, notes)["6"]) == (["body 5"], ["seen"])


def test_partitions(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table notes (id int primary key, body varchar(9)) partition by range (id)")
    db.execute("create table low partition of notes for values from (0) to (10)")
    db.execute("insert into notes select i, 'b ' || i from generate_series(1, 5) as i")
    notes = declare(db, "select id, body as content from notes")
    assert_fresh(db, notes)
    run(db, f"begin; {RELEASE}; alter table notes alter column body type text; commit")
    assert_fresh(db, notes)
    db.execute("update low set body = 'x' where id = 1; delete from low where id = 2")
    assert_fresh(db, replace(notes, document="select id, body as content from notes"))
