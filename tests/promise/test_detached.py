"""Migrations that leave an embedding with another table, column or view than its document names are reported."""

from pathlib import Path

import pytest
from psycopg import errors, sql

from fix_cluster import Connect, Connection, MakeRole
from promise.oracle import Declared, assert_fresh, contents, declare, embedded_total, register, work
from races.steps import blocked, in_background, wait_until


@pytest.fixture
def notes(db: Connection, tiny_model: Path, request: pytest.FixtureRequest) -> Declared:
    register(db, tiny_model)
    db.execute("create table notes (id int primary key, body text)")
    db.execute("insert into notes values (1, 'a'), (2, 'b')")
    embedding = declare(db, "select id, body as content from notes", capture=getattr(request, "param", "trigger"))
    assert_fresh(db, embedding)
    return embedding


def found(db: Connection, name: str) -> list[tuple[str, str, str]]:
    """Level, detail and remediation of what one check of the doctor has found."""
    query = "select level, detail, remediation from vsync.doctor() where name = %s and level <> 'ok' order by detail"
    return db.execute(query, [name]).fetchall()


def stale(db: Connection) -> set[bool]:
    return {row[0] for row in db.execute("select stale from vsync.search('promised', 'a')").fetchall()}


def pending(db: Connection) -> int | None:
    row = db.execute("select pending from vsync.stat_embeddings where embedding = 'promised'").fetchone()
    assert row is not None
    return row[0]


SWAPS = {
    "tables": """create table notes_new (like notes including all);
        insert into notes_new select id, body || '!' from notes;
        alter table notes rename to notes_old; alter table notes_new rename to notes""",
    "a schema": """create schema aside; create table aside.notes (like notes including all);
        alter table notes set schema aside_old; alter table aside.notes set schema public""",
    "columns": """alter table notes add column body_new varchar(99); update notes set body_new = body;
        alter table notes rename column body to body_old; alter table notes rename column body_new to body""",
    "keys": """alter table notes add column id_new bigint; update notes set id_new = id;
        alter table notes drop constraint notes_pkey; alter table notes rename column id to id_old;
        alter table notes rename column id_new to id; alter table notes add primary key (id)""",
    "partitions": """alter table notes rename to notes_old;
        create table notes (id int primary key, body text) partition by range (id);
        alter table notes attach partition notes_old for values from (0) to (1000)""",
}


@pytest.mark.parametrize("notes", ["trigger", "wal"], indirect=True)
@pytest.mark.parametrize("swap", SWAPS)
def test_a_swap_by_rename_is_reported_with_what_binds_the_document_again(
    db: Connection, notes: Declared, swap: str
) -> None:
    db.execute("create schema aside_old")
    assert found(db, "documents") == []
    with db.transaction():
        db.execute(SWAPS[swap].encode())
    findings = found(db, "documents")
    assert {level for level, _, _ in findings} == {"error"}
    assert stale(db) == {True}
    work(db)
    assert stale(db) == {True}
    assert pending(db) is None
    (remedy, *_) = (remedy for _, detail, remedy in findings if " names " in detail)
    before = embedded_total(db, notes)
    db.execute(remedy.partition(": ")[2].encode())
    assert found(db, "documents") == found(db, "capture triggers") == []
    assert_fresh(db, notes)
    assert embedded_total(db, notes) == before + (2 if swap == "tables" else 0)
    if swap == "keys":
        db.execute("alter table notes drop column id_old")
    db.execute("insert into notes (id, body) values (7, 'new'); update notes set body = 'after' where id = 1")
    db.execute("delete from notes where id = 2")
    assert_fresh(db, notes)
    assert stale(db) == {False}
    assert pending(db) == 0
    assert found(db, "documents") == found(db, "capture triggers") == []


def test_a_swap_of_schemas_and_of_a_joined_table_is_reported(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    tables = """create schema {0}; create table {0}.brands (id int primary key, name text);
        create table {0}.goods (id int primary key, brand int);"""
    db.execute(tables.format("app").encode())
    document = "select g.id, b.name as content from app.goods as g join app.brands as b on b.id = g.brand"
    declare(db, document, schema="app")
    work(db)
    db.execute("alter table app.brands rename to brands_old; create table app.brands (like app.brands_old)")
    ((_, detail, _),) = found(db, "documents")
    assert "names app.brands, which is another relation now: it still reads app.brands_old" in detail
    db.execute("drop table app.brands; alter table app.brands_old rename to brands")
    assert found(db, "documents") == []
    db.execute("alter schema app rename to app_old")
    assert found(db, "documents") == []
    db.execute(tables.format("app").encode())
    assert len(found(db, "documents")) == 2


def test_names_that_change_places_are_reported(db: Connection, notes: Declared) -> None:
    db.execute("create table others (id int primary key, body text)")
    declare(db, "select n.id, n.body || o.body as content from notes as n join others as o using (id)", name="both")
    db.execute("alter table notes rename to x; alter table others rename to notes; alter table x rename to others")
    assert len([detail for _, detail, _ in found(db, "documents") if "of both" in detail]) == 2


@pytest.mark.parametrize("renamed", [True, False], ids=["worker after the rename", "none"])
@pytest.mark.parametrize("visited", [True, False], ids=["worker between", "no worker"])
def test_a_swap_after_a_rename_and_in_two_transactions_is_bound_again(
    db: Connection, notes: Declared, visited: bool, renamed: bool
) -> None:
    db.execute("alter table notes rename to papers; alter table papers rename column body to words")
    if renamed:
        work(db)
    db.execute("create table papers_new (like papers including all); insert into papers_new select * from papers")
    db.execute("alter table papers rename to papers_old")
    if visited:
        work(db)
    db.execute("alter table papers_new rename to papers")
    assert [detail for _, detail, _ in found(db, "documents") if "names public.papers," in detail]
    before = embedded_total(db, notes)
    db.execute("select vsync.repair_embedding('promised'); drop table papers_old")
    document = "select id, words as content from papers"
    assert_fresh(db, notes, document=document)
    assert embedded_total(db, notes) == before
    db.execute("update papers set words = 'after' where id = 1")
    assert_fresh(db, notes, document=document)
    assert found(db, "documents") == []


def test_a_name_that_was_given_for_a_while_may_be_used_again(db: Connection, notes: Declared) -> None:
    for between in (lambda: None, lambda: work(db)):
        db.execute("alter table notes rename to papers")
        between()
        db.execute("alter table papers rename to notes")
        between()
        db.execute("create table papers (id int)")
        assert found(db, "documents") == []
        db.execute("drop table papers")
    db.execute(
        "alter table notes rename to passing; alter table passing rename to papers; create table passing (id int)"
    )
    assert found(db, "documents") == []
    db.execute("create table notes (id int)")
    assert len(found(db, "documents")) == 1


def test_names_are_read_while_a_table_is_released(db: Connection, connect: Connect, notes: Declared) -> None:
    releasing = connect(autocommit=False)
    releasing.execute("select vsync.release_table('notes')")
    reader = connect()
    reading = in_background(lambda: reader.execute("select vsync_internal.record_names(1)").fetchall())
    wait_until(lambda: blocked(db, reader), "the reader at the view")
    releasing.execute("alter table notes alter column body type varchar(90)")
    releasing.commit()
    assert reading.result(30) == [(0,)]
    assert_fresh(db, notes)


def test_a_mere_rename_is_not_reported(db: Connection, notes: Declared) -> None:
    db.execute("alter table notes rename to papers; alter table papers rename column body to words")
    db.execute("create schema else_where; alter table papers set schema else_where")
    assert found(db, "documents") == []


def test_a_dropped_primary_key_is_recorded_until_it_is_back(db: Connection, notes: Declared) -> None:
    db.execute("alter table notes drop constraint notes_pkey")
    ((level, detail, _),) = found(db, "documents")
    assert level == "error"
    assert "primary key" in detail
    db.execute("update notes set body = 'still captured' where id = 1")
    work(db)
    assert contents(db, notes)["1"] == ["still captured"]
    db.execute("alter table notes add primary key (id)")
    assert found(db, "documents") == []
    assert_fresh(db, notes)


PARENTS = {
    "a partition": """create table parent (id int primary key, body text) partition by range (id);
        alter table parent attach partition notes for values from (0) to (1000)""",
    "a child": "create table parent (id int, body text); alter table notes inherit parent",
}


@pytest.mark.parametrize("made", PARENTS)
def test_a_table_that_became_a_child_is_reported_stale_and_audited_when_it_is_free(
    db: Connection, notes: Declared, made: str
) -> None:
    db.execute(PARENTS[made].encode())
    db.execute("update parent set body = 'through the parent' where id = 1")
    work(db)
    assert contents(db, notes)["1"] == ["a"]
    ((level, detail, remedy),) = found(db, "capture triggers")
    assert level == "error"
    assert f"notes is {made}" in detail
    assert stale(db) == {True}
    assert db.execute("select unseen from vsync.stat_capture").fetchone() == (detail,)
    db.execute(remedy.encode())
    assert stale(db) == {True}
    assert_fresh(db, notes)
    assert stale(db) == {False}
    assert found(db, "capture triggers") == []


ENABLE = (
    "enable trigger all",
    "enable trigger user",
    "enable always trigger vsync_update",
    "enable trigger vsync_update",
)


@pytest.mark.parametrize("enable", ENABLE)
@pytest.mark.parametrize("followed", [True, False], ids=["event triggers", "none"])
def test_what_was_missed_while_triggers_were_disabled_is_audited_when_they_are_back(
    db: Connection, notes: Declared, enable: str, followed: bool
) -> None:
    if not followed:
        db.execute("alter event trigger vsync_follow_ddl disable; alter event trigger vsync_notice_drop disable")
    what = "all" if "vsync" not in enable else "vsync_update"
    db.execute(f"alter table notes disable trigger {what}".encode())
    if not followed:
        work(db)
    db.execute("update notes set body = 'unseen' where id = 2")
    assert stale(db) == {True}
    assert {level for level, _, _ in found(db, "capture triggers")} == {"error"}
    db.execute(f"alter table notes {enable}".encode())
    assert "error" not in {level for level, _, _ in found(db, "capture triggers")}
    assert_fresh(db, notes)
    assert contents(db, notes)["2"] == ["unseen"]
    assert stale(db) == {False}
    assert found(db, "capture triggers") == []
    db.execute("set session_replication_role = replica")
    db.execute("update notes set body = 'always'; reset session_replication_role")
    assert_fresh(db, notes)


@pytest.mark.parametrize("followed", [True, False], ids=["event triggers", "none"])
def test_triggers_disabled_and_enabled_in_one_transaction_lose_nothing(
    db: Connection, notes: Declared, followed: bool
) -> None:
    if not followed:
        db.execute("alter event trigger vsync_follow_ddl disable")
    with db.transaction():
        db.execute("alter table notes disable trigger all")
        db.execute("update notes set body = 'loaded' where id = 2; insert into notes values (3, 'new')")
        db.execute("delete from notes where id = 1; alter table notes enable trigger all")
    assert "error" not in {level for level, _, _ in found(db, "capture triggers")}
    assert_fresh(db, notes)
    assert found(db, "capture triggers") == []


def test_what_a_joined_table_missed_is_audited(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table brands (id int primary key, name text); insert into brands values (1, 'x')")
    db.execute("create table goods (id int primary key, brand int); insert into goods values (1, 1), (2, 1)")
    goods = declare(db, "select g.id, b.name as content from goods as g join brands as b on b.id = g.brand")
    assert_fresh(db, goods)
    db.execute("alter table brands disable trigger all; update brands set name = 'y'")
    assert stale(db) == {True}
    db.execute("alter table brands enable trigger all")
    assert_fresh(db, goods)


def test_a_trigger_function_that_was_dropped_is_made_again(db: Connection, notes: Declared) -> None:
    db.execute("drop function vsync_data.capture_1 cascade")
    assert stale(db) == {True}
    (_, _, remedy), *_ = found(db, "capture triggers")
    db.execute("update notes set body = 'unseen' where id = 1")
    db.execute(remedy.encode())
    assert_fresh(db, notes)
    db.execute("update notes set body = 'seen' where id = 1")
    assert_fresh(db, notes)
    assert found(db, "capture triggers") == []


def test_documents_stay_stale_until_the_audit_has_passed(db: Connection, connect: Connect, notes: Declared) -> None:
    db.execute("alter table notes disable trigger all; alter table notes enable trigger all")
    db.execute("select vsync_internal.fold()")
    assert stale(db) == {True}
    assert found(db, "capture triggers")
    work(db)
    assert stale(db) == {False}
    assert found(db, "capture triggers") == []


def test_a_dropped_serving_view_is_reported_and_repaired(db: Connection, notes: Declared) -> None:
    db.execute("drop view promised")
    ((level, detail, remedy),) = found(db, "documents")
    assert (level, detail) == ("error", "the serving view public.promised of promised is gone")
    db.execute(remedy.encode())
    assert found(db, "documents") == []
    assert_fresh(db, notes)


def test_a_name_of_the_serving_view_that_something_else_has_is_said(db: Connection, notes: Declared) -> None:
    db.execute("alter view promised rename to kept; create view promised as select 1 as one")
    ((_, detail, remedy),) = found(db, "documents")
    assert "is gone" in detail
    with pytest.raises(Exception, match="promised"):
        db.execute(remedy.encode())
    db.execute("drop view promised")
    db.execute(remedy.encode())
    assert_fresh(db, notes)


def test_a_swap_is_bound_again_only_to_a_table_that_the_owner_may_read(
    db: Connection, connect: Connect, tiny_model: Path, make_role: MakeRole
) -> None:
    register(db, tiny_model)
    owner = make_role("vsync_admin")
    db.execute(sql.SQL("create schema app authorization {}").format(sql.Identifier(owner)))
    own = connect(user=owner)
    own.execute("create table app.notes (id int primary key, body text); insert into app.notes values (1, 'a')")
    notes = declare(own, "select id, body as content from app.notes", schema="app")
    assert_fresh(db, notes)
    db.execute("create table app.notes_new (like app.notes including all); insert into app.notes_new values (1, 'b')")
    db.execute(sql.SQL("grant trigger on app.notes_new to {}").format(sql.Identifier(owner)))
    db.execute("alter table app.notes rename to notes_old; alter table app.notes_new rename to notes")
    with pytest.raises(errors.Error, match="permission denied for table") as refused:
        own.execute("select vsync.repair_embedding('promised')")
    assert contents(db, notes)["1"] == ["a"]
    assert db.execute(
        "select root::text, broken from vsync.embeddings join vsync.versions on name = embedding"
    ).fetchone() == (
        "app.notes_old",
        None,
    )
    assert refused.value.diag.message_hint is not None
    db.execute(refused.value.diag.message_hint.encode())
    own.execute("select vsync.repair_embedding('promised')")
    assert_fresh(db, notes)
    assert contents(db, notes)["1"] == ["b"]
