"""Versions that are served no more: kept for a while, then following no more, then dropped; never too early."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, open_shop, refused, register, rows, run, value
from versions.rollout import PREPARED, VIEW, activate, add_version, assert_clean, assert_serves, state, totals, work
from vsync_admin.cluster import Cluster

_HELD = "select relname from pg_class where relnamespace = 'vsync_data'::regnamespace and relname like 'catalog_v1%%'"
_READERS = "select proname from pg_proc where pronamespace = 'vsync_data'::regnamespace and proname like 'catalog_v1%%'"


def drop(db: Connection, version: int = 1) -> None:
    assert value(db, "select vsync.drop_version('catalog', %s)", version) == version


def reason(db: Connection, version: int = 1) -> str:
    report = refused(lambda: drop(db, version), "VS404")
    return report.message_primary or ""


def gone(db: Connection) -> bool:
    return rows(db, _HELD) == [] and rows(db, _READERS) == []


@pytest.fixture
def switched(shop: Connection) -> Connection:
    """Version 2, of another model, is served; version 1 is retired."""
    add_version(shop, model="other")
    work(shop)
    activate(shop, 2)
    return shop


@pytest.fixture
def brief(db: Connection, tiny_model: Path, tiny_model_other: Path) -> Connection:
    """The same with a rollback window that is over at once."""
    open_shop(db, tiny_model, 20)
    register(db, tiny_model_other, "other")
    declare(db, options='{"rollback_window": "0 seconds"}')
    add_version(db, model="other")
    work(db)
    run(db, PREPARED)
    activate(db, 2)
    return db


def test_the_active_version_and_the_one_to_roll_back_to_are_not_dropped(switched: Connection) -> None:
    assert reason(switched, 2) == 'version 2 of "catalog" is being served'
    assert reason(switched, 1) == 'version 1 of "catalog" is what a rollback would serve'
    refused(lambda: drop(switched, 3), "VS401")
    assert value(switched, "select vsync.end_rollback('catalog')") is True
    drop(switched)
    assert gone(switched)
    assert_serves(switched, 2)
    refused(lambda: drop(switched), "VS401")
    refused(lambda: run(switched, "select vsync.rollback_version('catalog')"), "VS403")
    assert rows(switched, "select version, state from vsync.versions order by version") == [
        (1, "dropped"),
        (2, "active"),
    ]
    run(switched, "update shop.products set title = 'after' where id = 1")
    work(switched)
    assert_clean(switched, 2)
    assert add_version(switched, model="tiny") == 3


def test_a_version_that_was_never_served_can_be_dropped_at_any_time(shop: Connection) -> None:
    add_version(shop, model="wide")
    run(shop, "update shop.products set title = 'x' where id = 1; select vsync_internal.fold()")
    drop(shop, 2)
    assert value(shop, "select count(*) from vsync_internal.marks where version_id = 2") == 0
    add_version(shop, model="wide")
    work(shop)
    drop(shop, 3)
    work(shop)
    assert_clean(shop, 1)
    assert_serves(shop, 1)


def test_a_version_that_an_open_snapshot_sees_being_served_is_not_dropped(
    switched: Connection, connect: Callable[..., Connection]
) -> None:
    run(switched, "select vsync.rollback_version('catalog')")
    old = connect()
    run(old, "begin isolation level repeatable read")
    run(old, "select 1")
    activate(switched, 2)
    run(switched, "select vsync.end_rollback('catalog')")
    assert reason(switched) == 'version 1 of "catalog" may still be seen'
    assert {row[2] for row in rows(old, VIEW)} == {1}
    run(old, "commit")
    drop(switched)
    assert {row[2] for row in rows(old, VIEW)} == {2}


def test_a_version_is_not_dropped_in_the_transaction_that_retires_it(shop: Connection) -> None:
    add_version(shop)
    work(shop)
    run(shop, "begin")
    activate(shop, 2)
    run(shop, "select vsync.end_rollback('catalog')")
    assert reason(shop) == 'version 1 of "catalog" may still be seen'
    run(shop, "rollback")


def test_a_retired_version_follows_for_its_rollback_window_and_no_longer(brief: Connection) -> None:
    following = "select following from vsync.versions where version = 1"
    assert value(brief, following) is True
    work(brief)
    assert value(brief, following) is False
    before = totals(brief)[1]
    run(brief, "update shop.products set title = 'missed' where id = 1")
    assert value(brief, "select vsync.refresh('catalog')") == 20
    work(brief)
    assert totals(brief)[1] == before
    assert_clean(brief, 2)
    report = refused(lambda: run(brief, "select vsync.rollback_version('catalog')"), "VS403")
    assert "resume_version('catalog', 1)" in (report.message_hint or "")
    refused(lambda: activate(brief, 1), "VS402")


def test_a_version_that_stopped_following_catches_up_where_asked(brief: Connection) -> None:
    work(brief)
    run(brief, "update shop.products set title = 'missed' where id = 1; delete from shop.products where id = 2")
    work(brief)
    assert value(brief, "select vsync.resume_version('catalog', 1)") is True
    report = refused(lambda: activate(brief, 1), "VS402")
    assert "it is still catching up" in (report.message_detail or "")
    before = totals(brief)[1]
    work(brief)
    assert state(brief, 1) == "ready"
    assert totals(brief)[1][1] == before[1] + 1
    assert_clean(brief, 1, 2)
    activate(brief, 1)
    assert_serves(brief, 1)
    assert value(brief, "select content from shop.catalog where id = 1") == "missed"


def test_after_its_retention_a_worker_drops_a_version_that_nobody_can_see(
    db: Connection, connect: Callable[..., Connection], tiny_model: Path
) -> None:
    open_shop(db, tiny_model, 20)
    declare(db, options='{"rollback_window": "0 seconds", "retention": "0 seconds"}')
    work(db)
    add_version(db)
    work(db)
    old = connect()
    run(old, "begin isolation level repeatable read")
    run(old, "select 1")
    activate(db, 2)
    for _ in range(3):
        work(db)
    assert state(db, 1) == "retired"
    assert {row[2] for row in rows(old, VIEW)} == {1}
    run(old, "commit")
    run(old, "begin")
    assert {row[2] for row in rows(old, VIEW)} == {2}
    work(db)  # waits for no reader
    assert state(db, 1) == "retired"
    run(old, "commit")
    work(db)
    assert state(db, 1) == "dropped"
    assert gone(db)
    assert {row[2] for row in rows(db, VIEW)} == {2}
    assert_clean(db, 2)


def test_what_hinders_a_drop_is_told_and_hinders_nothing_else(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model, 20)
    declare(db, options='{"rollback_window": "0 seconds", "retention": "0 seconds"}')
    work(db)
    run(db, "create view shop.mine as select * from vsync_data.catalog_v1")
    add_version(db)
    work(db)
    activate(db, 2)
    for _ in range(3):
        work(db)
    assert state(db, 1) == "retired"
    assert "other objects depend on it" in value(db, "select last_error from vsync.stat_embeddings where version = 1")
    run(db, "drop view shop.mine")
    work(db)
    assert state(db, 1) == "dropped"


def test_a_paused_target_is_no_rollback(switched: Connection) -> None:
    run(switched, "select vsync.pause_version('catalog', 1)")
    run(switched, "update shop.products set title = 'waits' where id = 1")
    work(switched)
    refused(lambda: run(switched, "select vsync.rollback_version('catalog')"), "VS403")
    run(switched, "select vsync.resume_version('catalog', 1)")
    work(switched)
    assert value(switched, "select vsync.rollback_version('catalog')") == 1
    assert_clean(switched, 1, 2)


def test_dropping_the_embedding_leaves_nothing_of_any_version(switched: Connection) -> None:
    add_version(switched, model="wide")
    run(switched, "select vsync.drop_embedding('catalog')")
    assert rows(switched, "select relname from pg_class where relnamespace = 'vsync_data'::regnamespace") == []
    assert rows(switched, "select proname from pg_proc where pronamespace = 'vsync_data'::regnamespace") == []
    for table in ("versions", "activations", "comparisons", "serving", "progress", "dependencies", "marks"):
        assert value(switched, f"select count(*) from vsync_internal.{table}") == 0, table


@pytest.fixture
def copy(shop: Connection, cluster: Cluster) -> Iterator[Callable[[], Connection]]:
    """Dump the database and restore it into another one of the same cluster; a session in that."""
    name = f"{shop.info.dbname}_copy"
    sessions: list[Connection] = []

    def make() -> Connection:
        bindir = cluster.server.bindir
        dump = subprocess.run(
            [bindir / "pg_dump", "-d", cluster.dsn(shop.info.dbname)], check=True, capture_output=True
        )
        with psycopg.connect(cluster.dsn(), autocommit=True) as session:
            run(session, f'create database "{name}"')
        load = [bindir / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", cluster.dsn(name)]
        subprocess.run(load, check=True, input=dump.stdout, capture_output=True)
        sessions.append(psycopg.connect(cluster.dsn(name), autocommit=True))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()
    with psycopg.connect(cluster.dsn(), autocommit=True) as session:
        run(session, f'drop database if exists "{name}" with (force)')


def test_a_dump_in_the_middle_of_a_rollout_continues_it(shop: Connection, copy: Callable[[], Connection]) -> None:
    add_version(shop, model="other")
    work(shop)
    activate(shop, 2)
    run(shop, "select vsync.end_rollback('catalog')")
    run(shop, "insert into shop.products select i, 'product ' || i from generate_series(21, 40) as i")
    add_version(shop, model="wide")
    run(shop, "call vsync.work(interval '50 milliseconds')")
    run(shop, "update shop.products set title = 'pending' where id = 1")
    restored = copy()
    run(restored, PREPARED)
    same = "select version, state, label, following, paused, model from vsync.versions order by version"
    assert rows(restored, same) == rows(shop, same)
    history = "select version, previous, action, at, by from vsync.activations order by at"
    assert rows(restored, history) == rows(shop, history)
    assert_serves(restored, 2)
    before = totals(restored)
    missing = 40 - value(restored, "select count(*) from vsync_data.catalog_v3 where id <> 1")
    work(restored)
    assert state(restored, 3) == "ready"
    after = totals(restored)
    assert after[1] == before[1]
    assert after[3][0] - before[3][0] == missing
    assert_clean(restored, 2, 3)
    activate(restored, 3)
    assert_serves(restored, 3, 16)
    drop(restored)
    assert value(restored, "select vsync.rollback_version('catalog')") == 2
    assert_serves(restored, 2)
