"""Two workers on one key: fencing tokens, generations, leases, and texts that are embedded once."""

import pytest

from fix_cluster import Connect, Connection
from races.steps import (
    Claimed,
    assert_fresh,
    blocked,
    claim,
    fold,
    in_background,
    lose_lease,
    marks,
    publish,
    put,
    release,
    render,
    reserve,
    scalar,
    stored,
    wait_until,
)


def claim_one(s: Connection, body: str) -> Claimed:
    put(s, 1, body)
    assert fold(s) > 0
    claimed = claim(s)
    assert claimed.keys == ["1"]
    return claimed


def test_a_change_folded_while_its_key_is_being_embedded_is_not_lost(items: Connection, connect: Connect) -> None:
    slow = connect()
    claimed = claim_one(slow, "first")
    old = render(slow, claimed)
    put(items, 1, "second")
    fold(items)
    assert publish(slow, claimed, old) == 1
    assert marks(items) == {"1": None}
    release(slow, claimed)
    assert_fresh(items)


def test_a_change_folded_while_unchanged_text_is_compared_is_not_lost(items: Connection, connect: Connect) -> None:
    put(items, 1, "first")
    assert_fresh(items)
    slow, folder = connect(), connect(autocommit=False)
    items.execute("select vsync.refresh('found', '1')")
    fold(items)
    claimed = claim(slow)
    folder.execute("select from vsync_internal.marks for update")
    rendering = in_background(lambda: render(slow, claimed))
    wait_until(lambda: blocked(items, slow), "render between comparing and finishing")
    put(items, 1, "second")
    assert fold(folder) > 0
    folder.commit()
    assert rendering.result(60) == []
    release(slow, claimed)
    assert_fresh(items)


def test_marks_of_documents_that_are_gone_and_unchanged_are_locked_in_key_order(
    items: Connection, connect: Connect
) -> None:
    put(items, 1, "first")
    put(items, 3, "third")
    assert_fresh(items)
    slow, other = connect(), connect(autocommit=False)
    items.execute("select vsync.refresh('found', '1')")
    items.execute("delete from shop.items where id = 3")
    fold(items)
    claimed = claim(slow)
    assert claimed.keys == ["1", "3"]
    other.execute("select from vsync_internal.marks where key = '1' for update")
    rendering = in_background(lambda: render(slow, claimed))
    wait_until(lambda: blocked(items, slow), "the mark of 1")
    other.execute("select from vsync_internal.marks where key = '3' for update nowait")
    other.rollback()
    assert rendering.result(60) == []
    release(slow, claimed)
    assert_fresh(items)


@pytest.mark.parametrize(
    "end", ["release(%s)", "fail(%s, '{1}', '{}')", "postpone(%s, '{1}', '1 hour')", "hold_back(%s, 1, '{1}')"]
)
def test_a_claim_ends_for_a_key_that_is_marked_again_meanwhile(items: Connection, connect: Connect, end: str) -> None:
    slow, folder = connect(), connect(autocommit=False)
    claimed = claim_one(slow, "first")
    put(items, 1, "second")
    assert fold(folder) > 0
    ending = in_background(lambda: scalar(slow, f"select vsync_internal.{end}", claimed.token))
    wait_until(lambda: blocked(items, slow), "the mark that the fold has")
    folder.commit()
    assert ending.result(60) == 1
    assert marks(items) == {"1": None}


def test_lost_claims_are_freed_one_a_transaction(items: Connection, connect: Connect) -> None:
    for key in (1, 2):
        put(items, key, "text")
    fold(items)
    assert [claim(items, 1).keys for _ in range(2)] == [["1"], ["2"]]
    items.execute("update vsync_internal.leases set until = now() - interval '1 s'")
    assert [scalar(items, "select vsync_internal.reap()") for _ in range(3)] == [1, 1, 0]
    assert_fresh(items)


def test_a_root_that_is_renamed_before_it_is_locked_is_rendered(items: Connection, connect: Connect) -> None:
    slow, other = connect(), connect(autocommit=False)
    claimed = claim_one(slow, "first")
    other.execute("alter table shop.items rename to things")
    rendering = in_background(lambda: render(slow, claimed))
    wait_until(lambda: blocked(items, slow), "the lock of the root")
    other.commit()
    assert rendering.exception(60) is None
    assert [document.content for document in rendering.result()] == ["first"]


def test_a_worker_that_lost_its_lease_publishes_nothing(items: Connection, connect: Connect) -> None:
    put(items, 1, "zeroth")
    assert_fresh(items)
    slow, fast = connect(), connect()
    claimed = claim_one(slow, "first")
    old = render(slow, claimed)
    lose_lease(items, claimed)
    put(items, 1, "second")
    fold(items)
    taken = claim(fast)
    new = render(fast, taken)
    items.execute("insert into vsync_internal.leases (token, version_id, keys, backend_start, until) "
                  "select %s, 1, '{1}', now(), now() + interval '1 h'", [claimed.token])  # fmt: skip
    assert publish(slow, claimed, old) == 0
    assert stored(items) == {1: "zeroth"}
    assert publish(fast, taken, new) == 1
    assert publish(slow, claimed, old) == 0
    assert stored(items) == {1: "second"}


def test_a_lease_that_is_gone_makes_publish_and_render_do_nothing(items: Connection) -> None:
    claimed = claim_one(items, "first")
    old = render(items, claimed)
    lose_lease(items, claimed)
    assert publish(items, claimed, old) == 0
    assert render(items, claimed) == []
    assert stored(items) == {}
    assert_fresh(items)


def test_the_vector_table_itself_refuses_an_older_token(items: Connection) -> None:
    put(items, 1, "first")
    assert_fresh(items)
    items.execute("update vsync_data.found_v1 set token = 1000000")
    claimed = claim_one(items, "second")
    publish(items, claimed, render(items, claimed))
    assert stored(items) == {1: "first"}


def test_finishing_a_key_leaves_the_mark_of_its_new_owner(items: Connection, connect: Connect) -> None:
    slow, fast = connect(), connect()
    claimed = claim_one(slow, "first")
    lose_lease(items, claimed)
    taken = claim(fast)
    slow.execute("select vsync_internal.settle(%s, 1, %s)", [claimed.token, claimed.keys])
    assert marks(items) == {"1": taken.token}


def test_a_late_eraser_deletes_nothing_of_a_newer_owner(items: Connection, connect: Connect) -> None:
    put(items, 1, "first")
    assert_fresh(items)
    slow, fast = connect(), connect()
    items.execute("delete from shop.items")
    fold(items)
    claimed = claim(slow)
    lose_lease(items, claimed)
    put(items, 1, "first")
    fold(items)
    taken = claim(fast)
    slow.execute("select vsync_internal.erase(v, %s, %s) from vsync_internal.versions as v",
                 [claimed.token, claimed.keys])  # fmt: skip
    assert stored(items) == {1: "first"}
    assert marks(items) == {"1": taken.token}


def test_ending_a_claim_frees_only_marks_it_still_owns(items: Connection, connect: Connect) -> None:
    slow, fast = connect(), connect()
    claimed = claim_one(slow, "first")
    publish(slow, claimed, render(slow, claimed))
    put(items, 1, "second")
    fold(items)
    taken = claim(fast)
    assert release(slow, claimed) == 0
    assert marks(items) == {"1": taken.token}


def test_postponing_and_failing_touch_only_marks_that_are_still_owned(items: Connection, connect: Connect) -> None:
    slow, fast = connect(), connect()
    claimed = claim_one(slow, "first")
    publish(slow, claimed, render(slow, claimed))
    put(items, 1, "second")
    fold(items)
    taken = claim(fast)
    slow.execute("select vsync_internal.postpone(%s, '{1}', '1 h')", [claimed.token])
    slow.execute("select vsync_internal.fail(%s, '{1}', '{}')", [claimed.token])
    assert marks(items) == {"1": taken.token}


def test_a_claim_in_force_is_not_reaped(items: Connection, connect: Connect) -> None:
    claimed = claim_one(connect(), "first")
    assert scalar(items, "select vsync_internal.reap()") == 0
    assert marks(items) == {"1": claimed.token}


def test_the_claim_of_a_session_that_is_gone_is_free_at_once(items: Connection, connect: Connect) -> None:
    slow = connect()
    claim_one(slow, "first")
    slow.close()
    wait_until(lambda: scalar(items, "select vsync_internal.reap()") == 1, "the dead session's claim", seconds=10)
    assert marks(items) == {"1": None}
    assert_fresh(items)


def test_a_lease_that_ran_out_cannot_be_renewed(items: Connection) -> None:
    claimed = claim_one(items, "first")
    assert scalar(items, "select vsync_internal.renew(%s)", claimed.token) is True
    items.execute("update vsync_internal.leases set until = now() - interval '1 s'")
    assert scalar(items, "select vsync_internal.renew(%s)", claimed.token) is False


def test_a_key_is_claimed_by_one_worker_at_a_time(items: Connection, connect: Connect) -> None:
    claim_one(connect(), "first")
    assert claim(connect()).token is None


def test_claiming_waits_for_nobody(items: Connection, connect: Connect) -> None:
    put(items, 1, "first")
    put(items, 2, "second")
    fold(items)
    locker, claimer = connect(autocommit=False), connect()
    locker.execute("select from vsync_internal.marks where key = '1' for update")
    claimer.execute("set lock_timeout = '2 s'")
    assert claim(claimer).keys == ["2"]


def test_equal_texts_claimed_by_two_workers_are_embedded_by_one(items: Connection, connect: Connect) -> None:
    put(items, 1, "the same")
    put(items, 2, "the same")
    fold(items)
    one, two = connect(), connect()
    first, second = claim(one, 1), claim(two, 1)
    texts, others = render(one, first), render(two, second)
    assert reserve(one, first, texts) == {}
    assert reserve(two, second, others) == {others[0].hash: "busy"}
    publish(one, first, texts)
    assert reserve(two, second, others) == {others[0].hash: "stored"}


def test_a_failure_of_old_text_is_not_held_against_a_newer_change(items: Connection, connect: Connect) -> None:
    slow = connect()
    claimed = claim_one(slow, "poison")
    put(items, 1, "cured")
    fold(items)
    assert scalar(slow, "select vsync_internal.fail(%s, '{1}', '{}')", claimed.token) == 1
    assert scalar(items, "select attempts from vsync_internal.marks") == 0
    release(slow, claimed)
    assert_fresh(items)


def test_claiming_marks_is_a_heap_only_update(items: Connection) -> None:
    for key in range(20):
        put(items, key, "text")
    fold(items)
    with items.transaction():
        assert len(claim(items, 10).keys) == 10
        hot = "select pg_stat_get_xact_tuples_hot_updated('vsync_internal.marks'::regclass)"
        assert scalar(items, hot) == 10


def test_a_document_that_workers_are_lost_over_is_claimed_alone_and_parked(items: Connection) -> None:
    items.execute("select vsync.configure('max_attempts', '2'), vsync.configure('retry_seconds', '0')")
    items.execute("insert into shop.items select g, 'text ' || g from generate_series(1, 90) as g")
    fold(items)
    sizes: list[int] = []
    for _ in range(60):
        claimed = claim(items, 256)
        if claimed.token is None:
            break
        sizes.append(len(claimed.keys))
        if "7" in claimed.keys:
            lose_lease(items, claimed)
        else:
            publish(items, claimed, render(items, claimed))
            release(items, claimed)
    assert (sizes[0], sizes[1]) == (90, 4)
    assert sizes.count(1) >= 3
    failures = items.execute("select key ->> 'id', parked, sqlstate, attempts from vsync.failures").fetchall()
    assert failures == [("7", True, "VS105", 2)]
    assert len(stored(items)) == 89
    put(items, 7, "a change revives it")
    assert_fresh(items)


def test_a_claim_is_on_disk_before_its_documents_are_touched(items: Connection) -> None:
    put(items, 1, "text")
    fold(items)
    items.execute("set synchronous_commit = off")
    with items.transaction():
        assert claim(items).token is not None
        written = scalar(items, "select pg_current_wal_insert_lsn()")
    assert scalar(items, "select pg_current_wal_flush_lsn() >= %s::pg_lsn", written)
    assert scalar(items, "show synchronous_commit") == "off"
