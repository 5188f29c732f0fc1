"""Locks of vsync: roles without grants take none, holders exclude each other and are named, the dead hold nothing."""

import threading

import psycopg
import pytest

from fix_cluster import Connect, Connection, MakeRole
from races.steps import run, scalar, wait_until

_TABLES = ("turns", "rules", "holds", "fold", "publication", "wal", "grants")
_HOLDERS = "select kind, name, pid from vsync_internal.lock_holders"
_WORKERS = "select count(*) from vsync_internal.workers"


@pytest.mark.parametrize("word", ["fold", "wal", "worker", "holds", "rules", "grants", "publication", "turns"])
def test_advisory_locks_of_any_role_stop_nothing(
    items: Connection, connect: Connect, make_role: MakeRole, word: str
) -> None:
    hostile = connect(user=make_role())
    hostile.execute("select pg_advisory_lock(hashtext('vsync'), hashtext(%s))", [word])
    for kind in ("vsync embedding", "vsync rule", "vsync model"):
        hostile.execute("select pg_advisory_lock(hashtext(%s), hashtext('found'))", [kind])
    for kind in ("vsync index", "vsync backfill", "vsync reserve"):
        hostile.execute("select pg_advisory_lock(hashtext(%s), g) from generate_series(1, 20) as g", [kind])
    items.execute("set lock_timeout = '10s'")
    items.execute("insert into shop.items values (1001, 'new')")
    items.execute("call vsync.work()")
    assert scalar(items, "select count(*) from vsync_data.found_v1 where id = 1001") == 1
    assert scalar(items, "select max(workers) from vsync.stat_queue") == 0
    items.execute("select vsync.drop_embedding('found')")


def test_a_role_without_grants_is_refused_before_it_waits(
    items: Connection, connect: Connect, make_role: MakeRole
) -> None:
    nobody = connect(user=make_role())
    holder = connect(autocommit=False)
    for kind in _TABLES:
        holder.execute("select vsync_internal.lock_table(%s, 'share row exclusive')", [kind])
    nobody.execute("set lock_timeout = '1ms'")
    for kind in _TABLES:
        for statement in (
            "do $$ begin lock table vsync_internal.lock_{} in access share mode; end $$",
            "prepare p as delete from vsync_internal.lock_{}",
            "comment on table vsync_internal.lock_{} is 'x'",
            "create rule r as on insert to vsync_internal.lock_{} do nothing",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                run(nobody, statement.format(kind))
    for name in ("lock_rows", "index_builds", "workers"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(nobody, f"select from vsync_internal.{name} for update")


def test_what_a_reader_prepares_takes_no_lock_that_work_waits_for(
    items: Connection, connect: Connect, make_role: MakeRole
) -> None:
    reader = connect(user=make_role("vsync_reader"), autocommit=False)
    for kind in _TABLES:
        if kind != "rules":
            run(reader, f"prepare p_{kind} as delete from vsync_internal.lock_{kind}")
    reader.execute("prepare p_rows as select from vsync_internal.lock_rows for update")
    for kind in _TABLES:
        if kind != "rules":
            assert scalar(items, f"select vsync_internal.try_lock_table('{kind}')") is True
    assert scalar(items, "select vsync_internal.try_lock_row('embedding', 'found')") is True


@pytest.mark.parametrize("kind", _TABLES)
def test_a_table_lock_has_one_holder_and_no_transaction_id(items: Connection, connect: Connect, kind: str) -> None:
    first = connect(autocommit=False)
    assert scalar(first, f"select vsync_internal.try_lock_table('{kind}')") is True
    assert scalar(first, "select pg_current_xact_id_if_assigned()") is None
    assert scalar(items, f"select vsync_internal.try_lock_table('{kind}')") is False
    assert (kind, None, first.info.backend_pid) in items.execute(_HOLDERS).fetchall()
    first.rollback()
    assert scalar(items, f"select vsync_internal.try_lock_table('{kind}')") is True


def test_rules_are_shared_by_those_who_evaluate_them(items: Connection, connect: Connect) -> None:
    first, second = connect(autocommit=False), connect(autocommit=False)
    for session in (first, second):
        session.execute("select vsync_internal.lock_table('rules', 'row exclusive')")
    items.execute("set lock_timeout = '10ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        items.execute("select vsync_internal.lock_table('rules', 'share row exclusive')")


def test_a_row_lock_has_one_holder_who_is_named(items: Connection, connect: Connect) -> None:
    first, second = connect(autocommit=False), connect()
    first.execute("select vsync_internal.lock_row('embedding', 'found')")
    assert scalar(second, "select vsync_internal.try_lock_row('embedding', 'found')") is False
    assert scalar(second, "select vsync_internal.try_lock_row('embedding', 'another')") is True
    assert items.execute(_HOLDERS).fetchall() == [("embedding", "found", first.info.backend_pid)]
    waiter = threading.Thread(target=second.execute, args=["select vsync_internal.lock_row('embedding', 'found')"])
    waiter.start()
    blocked = "select cardinality(pg_blocking_pids(%s)) > 0"
    wait_until(lambda: scalar(items, blocked, second.info.backend_pid), "the second to wait")
    first.rollback()
    waiter.join(60)
    assert not waiter.is_alive()


def test_two_who_lock_a_new_name_wait_for_each_other(items: Connection, connect: Connect) -> None:
    first, second = connect(autocommit=False), connect()
    first.execute("select vsync_internal.lock_row('embedding', 'new')")
    second.execute("set lock_timeout = '10ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        second.execute("select vsync_internal.lock_row('embedding', 'new')")
    first.rollback()
    second.execute("select vsync_internal.lock_row('embedding', 'new')")


def test_a_version_has_its_rows_before_anybody_locks_them(items: Connection) -> None:
    kinds = "select kind from vsync_internal.lock_rows as r join vsync_internal.versions as v on r.name = v.id::text"
    assert {row[0] for row in items.execute(kinds).fetchall()} == {"backfill", "index", "reserve"}


def test_a_worker_that_is_killed_counts_as_gone_and_is_forgotten(items: Connection, connect: Connect) -> None:
    worker = connect()
    worker.execute("select vsync_internal.begin_work()")
    assert scalar(items, "select vsync_internal.count_workers()") == 1
    items.execute("select pg_terminate_backend(%s, 60000)", [worker.info.backend_pid])
    assert scalar(items, "select vsync_internal.count_workers()") == 0
    assert scalar(items, _WORKERS) == 1
    # another session with its pid is not the worker
    items.execute("update vsync_internal.workers set pid = %s", [items.info.backend_pid])
    assert scalar(items, "select vsync_internal.count_workers()") == 0
    items.execute("call vsync.work()")
    assert scalar(items, _WORKERS) == 0


def test_a_build_of_an_index_ends_with_its_session(items: Connection, connect: Connect) -> None:
    items.execute("call vsync.work()")
    items.execute("drop index if exists vsync_data.found_v1_ann")
    version = scalar(items, "select id from vsync_internal.versions")
    builder = connect()
    builder.execute("select vsync_internal.hold_index(%s)", [version])
    assert scalar(items, f"select vsync_internal.build_index({version})") is False
    with pytest.raises(psycopg.Error) as refused:
        items.execute("select vsync_internal.hold_index(%s)", [version])
    assert refused.value.sqlstate == "VS405"
    assert str(builder.info.backend_pid) in (refused.value.diag.message_detail or "")
    items.execute("select pg_terminate_backend(%s, 60000)", [builder.info.backend_pid])
    items.execute("select vsync_internal.hold_index(%s)", [version])
    assert scalar(items, f"select vsync_internal.release_index({version})") is True


def test_doctor_names_who_holds_a_lock_for_long(items: Connection, connect: Connect) -> None:
    items.execute("select vsync.configure('lease_seconds', '1')")
    holder = connect(autocommit=False, application_name="a migration")
    holder.execute("select vsync_internal.lock_row('embedding', 'found')")
    holder.execute("select vsync_internal.lock_table('fold')")
    detail = "select string_agg(detail, ' ') from vsync.doctor() where name = 'own locks' and level = 'warning'"
    wait_until(lambda: "fold" in (scalar(items, detail) or ""), "doctor to name the holder")
    for word in (str(holder.info.backend_pid), "postgres", "a migration", "embedding found"):
        assert word in scalar(items, detail)
