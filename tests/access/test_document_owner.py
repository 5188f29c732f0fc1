"""Whose embedding it is does not follow from who owns what is called like its document's view."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shop import Connection, open_shop, refused, rows, run, value

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]


@pytest.fixture
def hostile(db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path) -> Connection:
    """A session of an admin who owns schema shop, over whose table t2 the superuser has an embedding."""
    role = make_role("vsync_admin")
    open_shop(db, tiny_model, owner=role)
    session = connect(user=role)
    session.execute("create table shop.trace (who text)")
    session.execute("grant usage on schema shop to public; grant all on shop.trace to public")
    session.execute(
        "create function shop.spy() returns text immutable language plpgsql as "
        "$$ begin perform shop.note(); return 'x'; end $$"
    )
    session.execute(
        "create function shop.note() returns void language sql as $$ insert into shop.trace values (current_user) $$"
    )
    session.execute("create table shop.t2 (id int primary key, body text); insert into shop.t2 values (1, 'b')")
    db.execute("select vsync.create_embedding('su_emb', 'select id, body as content from shop.t2', 'tiny')")
    db.execute("call vsync.work()")
    return session


READERS = "select proname::text from pg_proc where pronamespace = 'vsync_data'::regnamespace and proname like 'su_emb%'"


def test_a_view_called_like_a_lost_document_is_nobodys(hostile: Connection, db: Connection, connect: Connect) -> None:
    hostile.execute("alter table shop.t2 drop column body cascade")
    assert rows(db, READERS) == [("su_emb_v1_missing",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        hostile.execute("create view vsync_data.su_emb_v1_document as select id, shop.spy() as content from shop.t2")
    # should it ever get there
    db.execute("create view vsync_data.su_emb_v1_document as select id, shop.spy() as content from shop.t2")
    run(db, f"alter view vsync_data.su_emb_v1_document owner to {hostile.info.user}")
    assert value(db, "select owner from vsync.embeddings") == "postgres"
    for call in ("refresh('su_emb')", "repair_embedding('su_emb')", "drop_embedding('su_emb')"):
        refused_or_nothing(hostile, f"select vsync.{call}")
    db.execute("select vsync.refresh('su_emb')")
    db.execute("call vsync.work()")
    db.execute("select * from vsync.search('su_emb', 'x')")
    hostile.execute("delete from shop.t2")
    db.execute("call vsync.work()")
    assert rows(db, "select * from vsync.search('su_emb', 'x')") == []
    assert rows(db, "select who from shop.trace") == []


def refused_or_nothing(session: Connection, statement: str) -> None:
    try:
        session.execute(statement.encode())
    except psycopg.Error as error:
        assert error.sqlstate in {"VS002", "VS303"}  # noqa: PT017


def test_nobody_creates_in_the_shared_schema(hostile: Connection, db: Connection) -> None:
    granted = (
        "select r.rolname from pg_roles as r where has_schema_privilege(r.oid, 'vsync_data', 'create') and not rolsuper"
    )
    assert rows(db, granted) == []
    for statement in (
        "create view vsync_data.x_v1_document as select 1",
        "create table vsync_data.x_v1 (id int)",
        "create function vsync_data.x() returns int language sql as 'select 1'",
        "create type vsync_data.t as (x int)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            hostile.execute(statement.encode())
    hostile.execute("select vsync.create_embedding('mine', 'select id, id::text as content from shop.t2', 'tiny')")
    assert rows(db, granted) == []
    assert rows(db, "select nspname from pg_namespace where nspname like 'vsync_stage%'") == []
    hostile.execute("begin")
    stage = value(hostile, "select vsync_internal.open_stage(current_user)")
    hostile.execute(f"create view {stage}.other_v1_document as select 1 as id, ''::text as content".encode())
    hostile.execute("commit")
    assert value(db, "select to_regclass('vsync_data.other_v1_document') is null") is True


def test_nobody_opens_a_stage_for_another(hostile: Connection) -> None:
    refused(lambda: hostile.execute("select vsync_internal.open_stage('postgres')"), "VS002")


def test_who_may_not_see_a_row_does_not_see_its_vectors_while_it_is_broken(
    hostile: Connection, db: Connection, connect: Connect, make_role: MakeRole
) -> None:
    reader = make_role("vsync_reader")
    hostile.execute("insert into shop.t2 select i, 'b' || i from generate_series(2, 5) as i")
    db.execute("call vsync.work()")
    run(hostile, f"grant select on shop.t2 to {reader}")
    hostile.execute("alter table shop.t2 enable row level security")
    hostile.execute("create policy low on shop.t2 for select using (id <= 2)")
    seen = "select key ->> 'id' from vsync.search('su_emb', 'b') order by 1"
    session = connect(user=reader)
    assert rows(session, seen) == [("1",), ("2",)]
    hostile.execute("alter table shop.t2 drop column body cascade")
    assert rows(session, seen) == [("1",), ("2",)]
    run(hostile, f"revoke select on shop.t2 from {reader}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(session, seen)
