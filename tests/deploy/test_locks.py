"""A table that somebody has locked stops its own embeddings and nothing else, and the doctor names who has it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, open_shop, rows, run, value
from versions.rollout import assert_clean, work
from vsync_engine.foundation.host import PsycopgHost
from vsync_engine.refresh import worker

Connect = Callable[..., Connection]
DEPENDENT = (
    "select p.id, p.title || ' ' || c.name as content from shop.products as p "
    "join shop.categories as c on c.name = p.hidden"
)


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    """Embedding catalog of shop.products, joined of it and shop.categories, other of shop.others."""
    open_shop(db, tiny_model)
    run(db, "create table shop.categories (name text primary key, note text)")
    run(db, "insert into shop.categories values ('secret')")
    run(db, "create table shop.others (id int primary key, title text)")
    run(db, "insert into shop.others values (1, 'first')")
    declare(db)
    declare(db, "joined", DEPENDENT)
    declare(db, "other", "select id, title as content from shop.others")
    work(db)
    return db


@pytest.fixture
def holder(connect: Connect) -> Iterator[Connection]:
    session = connect(autocommit=False, application_name="rewriter")
    yield session
    session.rollback()


def work_outside(db: Connection) -> None:
    with psycopg.connect(db.info.dsn) as session:
        worker.work(PsycopgHost(session), None, None)


@pytest.mark.parametrize("drain", [work, work_outside])
@pytest.mark.parametrize("table", ["shop.products", "vsync_data.catalog_v1", "shop.categories"])
def test_the_other_embeddings_go_on_while_a_table_is_locked(
    shop: Connection, holder: Connection, table: str, drain: Callable[[Connection], None]
) -> None:
    run(shop, "update shop.products set title = 'changed' where id = 1")
    run(shop, "update shop.others set title = 'changed'")
    run(shop, "update shop.categories set name = 'secret' where false; insert into shop.categories values ('new')")
    run(holder, f"lock table {table} in access exclusive mode")
    drain(shop)
    assert value(shop, "select content from shop.other") == "changed"
    if table != "shop.categories":
        assert value(shop, "select last_error from vsync_internal.progress where version_id = 1") is not None
        assert value(shop, "select count(*) from vsync_internal.marks where version_id = 1 and attempts > 0") == 0
    holder.rollback()
    work(shop)
    assert value(shop, "select content from shop.catalog where id = 1") == "changed"
    assert_clean(shop, 1)
    assert rows(shop, "select sum(missing + extra + stale) from vsync.audit('joined')") == [(0,)]
    assert value(shop, "select count(*) from vsync_internal.marks") == 0
    assert value(shop, "select sum(failed_total) from vsync.stat_embeddings") == 0


def test_a_rule_is_asked_again_where_a_lock_kept_it_from_being_asked(shop: Connection, holder: Connection) -> None:
    run(shop, "select vsync.create_rule('never', 'other', 'new.title = ''no''', 'skip')")
    run(shop, "update shop.others set title = 'no'")
    run(holder, "lock table shop.others in access exclusive mode")
    work(shop)
    holder.rollback()
    work(shop)
    assert value(shop, "select content from shop.other") == "first"


def test_a_dependency_that_is_locked_is_followed_once_the_lock_is_gone(shop: Connection, holder: Connection) -> None:
    run(shop, "update shop.categories set name = name || '' where name = 'secret'")
    run(shop, "update shop.products set hidden = 'x' where id = 3; insert into shop.categories values ('x')")
    run(holder, "lock table shop.products in access exclusive mode")
    work(shop)
    assert value(shop, "select count(*) from shop.joined") == 3
    holder.rollback()
    work(shop)
    assert rows(shop, "select content from shop.joined where id = 3") == [("product 3 x",)]
    assert value(shop, "select count(*) from vsync_internal.pages") == 0


@pytest.mark.parametrize(
    ("table", "mode"),
    [
        ("shop.products", "access exclusive"),
        ("shop.categories", "access exclusive"),
        ("vsync_data.catalog_v1", "share"),
    ],
)
def test_the_doctor_does_not_wait_and_names_the_lock(
    shop: Connection, holder: Connection, table: str, mode: str
) -> None:
    run(shop, "alter table shop.others rename to renamed; alter table shop.renamed rename to others")
    run(holder, f"lock table {table} in {mode} mode")
    run(shop, "set statement_timeout = '20s'; set lock_timeout = '10s'")
    (found,) = rows(shop, "select level, detail, remediation from vsync.doctor() where name = 'locks'")
    level, detail, remedy = found
    assert level == "warning"
    assert table in detail
    assert "rewriter" in detail
    assert str(holder.info.backend_pid) in detail
    assert str(holder.info.backend_pid) in remedy
    assert rows(shop, "select detail from vsync.doctor() where detail like '%could not be looked at%'") == []
    holder.rollback()
    assert rows(shop, "select level from vsync.doctor() where name = 'locks'") == [("ok",)]


def test_a_check_that_meets_a_lock_is_reported_and_the_others_go_on(shop: Connection, holder: Connection) -> None:
    run(holder, "lock table vsync_internal.rules in access exclusive mode")
    found = dict(rows(shop, "select name, detail from vsync.doctor()"))
    assert "could not be looked at" in found["rules"]
    assert found["capture triggers"] == "nothing to report"


def test_the_caller_keeps_its_lock_timeout(shop: Connection) -> None:
    run(shop, "set lock_timeout = '123s'")
    work(shop)
    assert value(shop, "show lock_timeout") == "123s"
