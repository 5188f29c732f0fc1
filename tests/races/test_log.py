"""Writers, the folder and rotation: no change is skipped, none is truncated away."""

from pathlib import Path

import psycopg

from fix_cluster import Connect, Connection, MakeRole
from races.steps import (
    assert_fresh,
    blocked,
    claim,
    declare,
    fold,
    in_background,
    make_table,
    marks,
    publish,
    put,
    render,
    run,
    scalar,
    stored,
    wait_until,
)


def freeze_slot(s: Connection, writer: Connection) -> str:
    """Let the others' clock be in the next log table; return the name of the writer's."""
    slot = scalar(writer, "select extract(epoch from now())::bigint / 16 %% 3")
    run(s, f"create or replace function vsync_internal.slot() returns int language sql as 'select {(slot + 1) % 3}'")
    return f"log_{slot}"


def test_a_transaction_that_commits_late_is_not_skipped(items: Connection, connect: Connect) -> None:
    late, early = connect(autocommit=False), connect()
    put(late, 1, "late")
    put(early, 2, "early")
    assert fold(items) > 0
    assert set(marks(items)) == {"2"}
    late.commit()
    assert fold(items) > 0
    assert set(marks(items)) == {"1", "2"}
    assert_fresh(items)


def test_a_change_inside_a_savepoint_that_commits_late_is_not_skipped(items: Connection, connect: Connect) -> None:
    late = connect(autocommit=False)
    late.execute("savepoint a")
    put(late, 1, "late")
    late.execute("release savepoint a")
    put(items, 2, "early")
    fold(items)
    late.commit()
    assert_fresh(items)


def test_a_change_committed_in_the_middle_of_a_fold_is_not_skipped(items: Connection, connect: Connect) -> None:
    put(items, 1, "first")
    fold(items)
    locker, folder = connect(autocommit=False), connect()
    locker.execute("select from vsync_internal.marks for update")
    put(items, 1, "second")
    folding = in_background(lambda: fold(folder))
    wait_until(lambda: blocked(items, folder), "the fold at the locked mark")
    put(items, 2, "meanwhile")
    locker.commit()
    assert folding.result(60) > 0
    assert_fresh(items)


def test_two_folders_do_not_fold_at_once(items: Connection, connect: Connect) -> None:
    first = connect(autocommit=False)
    put(items, 1, "first")
    assert fold(first) > 0
    items.execute("set lock_timeout = '2 s'")
    assert fold(items) == 0


def test_rotation_never_waits_for_a_writer_nor_truncates_under_it(items: Connection, connect: Connect) -> None:
    writer, rotator = connect(autocommit=False), connect()
    put(writer, 1, "uncommitted")
    log = freeze_slot(items, writer)
    run(items, f"insert into vsync_internal.{log} (slot, version_id, op, keys) select {log[-1]}, 1, 'R', '{{7}}'")
    fold(items)
    rotating = in_background(lambda: scalar(rotator, "select vsync_internal.rotate()"))
    wait_until(lambda: rotating.done() or blocked(items, rotator), "rotation")
    writer.commit()
    assert rotating.result(60) == 0
    assert_fresh(items)


def test_rotation_keeps_what_is_not_folded(items: Connection, connect: Connect) -> None:
    writer = connect(autocommit=False)
    put(writer, 1, "committed, not folded")
    freeze_slot(items, writer)
    put(items, 2, "committed and folded")
    assert fold(items) > 0
    writer.commit()
    assert scalar(items, "select vsync_internal.rotate()") == 0
    assert_fresh(items)


def test_rotation_keeps_a_change_committed_between_its_look_and_its_lock(
    items: Connection, connect: Connect, make_role: MakeRole
) -> None:
    """The writer began early in repeatable read and had no transaction id when rotation looked."""
    writer = connect(autocommit=False)
    writer.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    scalar(writer, "select count(*) from shop.items")
    log = freeze_slot(items, writer)
    run(items, f"insert into vsync_internal.{log} (slot, version_id, op, keys) select {log[-1]}, 1, 'R', '{{7}}'")
    fold(items)
    hold_at_first_look(items, log, make_role())
    holder, rotator = connect(), connect()
    holder.execute("select pg_advisory_lock(77)")
    rotating = in_background(lambda: scalar(rotator, "select vsync_internal.rotate()"))
    wait_until(lambda: blocked(items, rotator), "rotation at its first look")
    put(writer, 1, "through the old table")
    writer.commit()
    holder.execute("select pg_advisory_unlock(77)")
    rotating.result(60)
    assert_fresh(items)


def hold_at_first_look(s: Connection, log: str, role: str) -> None:
    """Make reads of one log table by rotate(), now a role's, wait for advisory lock 77 once their snapshot is taken."""
    run(s, f"grant usage, create on schema vsync_internal to {role}")
    run(s, f"grant all on all tables in schema vsync_internal to {role}")
    run(s, f"grant execute on all functions in schema vsync_internal to {role}")
    run(s, f"alter table vsync_internal.{log} owner to {role}")
    run(s, f"alter function vsync_internal.rotate() owner to {role}")
    run(
        s,
        "create function public.held() returns boolean language plpgsql as "
        "'begin perform pg_advisory_xact_lock_shared(77); return true; end'",
    )
    run(s, f"alter table vsync_internal.{log} enable row level security, force row level security")
    run(s, f"create policy held on vsync_internal.{log} using (public.held())")


def test_rotation_in_repeatable_read_does_nothing(items: Connection, connect: Connect) -> None:
    rotator, writer = connect(autocommit=False), connect(autocommit=False)
    put(writer, 2, "first")
    log = freeze_slot(items, writer)
    writer.commit()
    fold(items)
    run(items, f"create or replace function vsync_internal.slot() returns int language sql as 'select {log[-1]}'")
    rotator.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    scalar(rotator, "select count(*) from vsync_internal.log")
    run(items, f"insert into vsync_internal.{log} (slot, version_id, op, keys) select {log[-1]}, 1, 'R', '{{1}}'")
    next_slot = (int(log[-1]) + 1) % 3
    run(items, f"create or replace function vsync_internal.slot() returns int language sql as 'select {next_slot}'")
    scalar(rotator, "select vsync_internal.rotate()")
    rotator.commit()
    fold(items)
    assert set(marks(items)) == {"1", "2"}


def test_rotation_leaves_no_dead_rows_behind_under_an_old_snapshot(items: Connection, connect: Connect) -> None:
    old = connect(autocommit=False)
    old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    scalar(old, "select count(*) from shop.items")
    writer = connect(autocommit=False)
    for key in range(50):
        put(writer, key, "text")
    log = freeze_slot(items, writer)
    writer.commit()
    fold(items)
    assert scalar(items, "select vsync_internal.rotate()") == 1
    assert scalar(items, f"select pg_relation_size('vsync_internal.{log}')") == 0


def test_truncate_while_a_new_row_is_being_embedded_leaves_no_orphan(items: Connection, connect: Connect) -> None:
    slow = connect()
    put(items, 1, "first")
    fold(items)
    claimed = claim(slow)
    old = render(slow, claimed)
    items.execute("truncate shop.items")
    fold(items)
    scalar(items, "select vsync_internal.expand()")
    publish(slow, claimed, old)
    slow.execute("select vsync_internal.release(%s)", [claimed.token])
    assert_fresh(items)
    assert stored(items) == {}


def test_a_row_written_before_the_capture_commits_is_found_by_the_backfill(
    db: Connection, connect: Connect, tiny_model: Path
) -> None:
    make_table(db, tiny_model)
    put(db, 1, "before")
    writer, creator = connect(autocommit=False), connect()
    put(writer, 2, "begun before, committed during")
    creating = in_background(lambda: declare(creator))
    wait_until(lambda: blocked(db, creator), "the creation at the writer's lock")
    writer.commit()
    creating.result(60)
    assert_fresh(db)


def test_a_restored_database_starts_over_instead_of_trusting_old_transaction_ids(items: Connection) -> None:
    put(items, 1, "first")
    assert_fresh(items)
    items.execute("update vsync_internal.identity set system_identifier = 1")
    items.execute("update vsync_internal.fold_state set snapshot = '100000000:100000000:'")
    put(items, 1, "second")
    assert fold(items) == 0, "the change looks folded: the danger this test is about"
    items.execute("call vsync.work()")
    assert stored(items) == {1: "second"}
    put(items, 1, "third")
    items.execute("call vsync.work()")
    assert stored(items) == {1: "third"}


def test_log_and_queue_are_logged_tables(db: Connection) -> None:
    unlogged = (
        "select relname from pg_class where relnamespace = 'vsync_internal'::regnamespace and relpersistence <> 'p'"
    )
    assert db.execute(unlogged).fetchall() == []
