"""DDL of roles that have nothing to do with vsync waits for nothing of it, fails for nothing, and turns nothing off."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop import Connection, declare, denied, open_shop, rows, run, value

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

EXCLUSIVE = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and locktype = 'relation' and pid = %s"
CATALOGS = f"{EXCLUSIVE} and relation < 16384"
SPLIT = """
    create table shop.split (id int, body text, primary key (id)) partition by range (id);
    create table shop.split_low partition of shop.split for values from (0) to (100);
"""
SQUAT = """
    alter trigger vsync_insert on shop.products rename to moved;
    create function shop.nothing() returns trigger language plpgsql as 'begin return null; end';
    create constraint trigger vsync_insert after insert on shop.products for each row execute function shop.nothing();
"""


@pytest.fixture
def owner(make_role: MakeRole) -> str:
    return make_role("vsync_admin")


@pytest.fixture
def shop(db: Connection, connect: Connect, owner: str, tiny_model: Path) -> Connection:
    """A session of the owner of shop.products, who is no superuser; an embedding reads the table."""
    open_shop(db, tiny_model, owner=owner)
    session = connect(user=owner)
    declare(session)
    db.execute("call vsync.work()")
    return session


@pytest.fixture
def nobody(db: Connection, connect: Connect, make_role: MakeRole) -> Connection:
    """A session of a role with a schema of its own and nothing else; a statement may take two seconds."""
    role = make_role()
    run(db, f"create schema own authorization {role}")
    session = connect(user=role)
    session.execute("set statement_timeout = '2s'")
    return session


def test_who_may_drop_no_extension_locks_nothing_by_trying(
    shop: Connection, connect: Connect, make_role: MakeRole
) -> None:
    hostile = connect(user=make_role(), autocommit=False)
    hostile.execute('drop extension if exists "vsync-nope", vector_nope')
    assert value(shop, EXCLUSIVE, hostile.info.backend_pid) == 0
    with pytest.raises(Exception, match="must be owner of extension vsync"):
        hostile.execute("drop extension vsync cascade")
    hostile.rollback()


def test_drop_extension_locks_no_catalog(shop: Connection, connect: Connect) -> None:
    superuser = connect(autocommit=False)
    superuser.execute('drop extension if exists "vsync-nope"')
    assert value(shop, CATALOGS, superuser.info.backend_pid) == 0
    assert value(shop, EXCLUSIVE, superuser.info.backend_pid) > 0
    superuser.rollback()
    assert value(shop, "select count(*) from shop.catalog") == 3


def test_an_extension_is_dropped_whatever_an_owner_may_read(shop: Connection, db: Connection, owner: str) -> None:
    run(db, f"alter table shop.products owner to postgres; revoke all on shop.products from {owner}")
    db.execute("drop extension vsync cascade")


def test_the_guards_cannot_be_switched_off_by_a_setting(shop: Connection, db: Connection) -> None:
    shop.execute("set vsync.own_ddl = 'on'")
    shop.execute("alter table shop.products rename column title to name")
    shop.execute("drop trigger vsync_update on shop.products")
    shop.execute("update shop.products set name = 'changed' where id = 1")
    db.execute("call vsync.work()")
    assert value(db, "select content from shop.catalog where id = 1").startswith("changed")
    assert value(shop, "show vsync.own_ddl") == "on"


def test_a_trigger_named_like_ours_fails_nobody_and_is_reported(
    shop: Connection, db: Connection, nobody: Connection
) -> None:
    run(shop, SQUAT)
    run(nobody, "create table own.t (id int primary key)")
    run(nobody, "create function own.f() returns trigger language plpgsql as 'begin return null; end'")
    run(nobody, "create trigger x after insert on own.t execute function own.f(); drop trigger x on own.t")
    run(nobody, "alter table own.t add body text; drop function own.f(); drop table own.t")
    detail = value(db, "select string_agg(detail, ' ') from vsync.doctor() where name = 'capture triggers'")
    assert "shop.products has no enabled trigger vsync_insert" in detail
    run(shop, "drop trigger vsync_insert on shop.products")
    assert rows(db, "select detail from vsync.doctor() where name = 'capture triggers' and level = 'error'") == []


def test_ddl_of_others_waits_for_no_table_of_an_embedding(
    shop: Connection, db: Connection, nobody: Connection, connect: Connect
) -> None:
    run(shop, SPLIT)
    shop.execute("select vsync.create_embedding('parts', 'select id, body as content from shop.split', 'tiny')")
    holder = connect(autocommit=False)
    for table in ("shop.products", "shop.split", "shop.split_low", "vsync_data.catalog_v1"):
        holder.execute(f"lock table {table} in access exclusive mode".encode())
    run(nobody, "create temp table scratch (id int)")
    run(nobody, "create table own.t (id int primary key) partition by range (id)")
    run(nobody, "create table own.p partition of own.t for values from (0) to (9)")
    run(nobody, "alter table own.t add body text; create view own.v as select * from own.t")
    run(nobody, "create function own.f(int) returns int language sql as 'select 1'; alter function own.f(int) stable")
    run(nobody, "create function own.g() returns trigger language plpgsql as 'begin return null; end'")
    run(nobody, "create trigger x after insert on own.p execute function own.g(); drop trigger x on own.p")
    run(nobody, "drop view own.v; drop table own.t; drop function own.f(int)")
    denied(nobody, "drop table shop.products")
    holder.rollback()
