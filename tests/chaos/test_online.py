"""What goes on while the model works: deletes, searches, DDL, the first index."""

from functools import partial
from threading import Event

import pytest

from chaos.gates import gated_worker
from chaos.rest import assert_at_rest
from fix_cluster import Connect, Connection
from races.steps import in_background, put, run, scalar, stored, wait_until


@pytest.mark.parametrize("gone", ["delete from shop.items", "truncate shop.items"])
def test_rows_gone_while_being_embedded_leave_no_orphan(items: Connection, connect: Connect, gone: str) -> None:
    put(items, 1, "text")
    with gated_worker(connect, "EMBED") as worker:
        run(items, gone)
        worker.open().result(60)
    assert_at_rest(items)
    assert stored(items) == {}


@pytest.mark.parametrize("gone", ["delete from shop.items", "truncate shop.items"])
def test_rows_gone_while_queued_leave_no_orphan(items: Connection, gone: str) -> None:
    put(items, 1, "text")
    items.execute("call vsync.work()")
    put(items, 1, "changed")
    put(items, 2, "new")
    items.execute("select vsync_internal.fold()")
    run(items, gone)
    assert_at_rest(items)
    assert stored(items) == {}


def test_a_row_edited_while_being_embedded_ends_with_its_newer_text(items: Connection, connect: Connect) -> None:
    put(items, 1, "old")
    with gated_worker(connect, "EMBED") as worker:
        put(items, 1, "new")
        connect().execute("call vsync.work(duration => '10 ms')")
        worker.open().result(60)
    assert_at_rest(items)
    assert stored(items) == {1: "new"}


def test_ddl_on_the_source_does_not_wait_behind_the_model(items: Connection, connect: Connect) -> None:
    put(items, 1, "text")
    with gated_worker(connect, "EMBED") as worker:
        items.execute("set lock_timeout = '5 s'")
        items.execute("alter table shop.items add column note text")
        held = "select backend_xid is null and backend_xmin is null from pg_stat_activity where pid = %s"
        assert scalar(items, held, worker.pid) is True
        assert scalar(items, "select count(*) from pg_locks where pid = %s and locktype = 'relation'", worker.pid) == 0
        worker.open().result(60)
    assert_at_rest(items)


def test_documents_never_vanish_from_search_while_they_are_updated(items: Connection, connect: Connect) -> None:
    items.execute("insert into shop.items select g, 'text ' || g from generate_series(1, 50) as g")
    assert_at_rest(items)
    stop = Event()
    seen: set[int] = set()
    reader, worker = connect(), connect()

    def read() -> None:
        while not stop.is_set():
            seen.add(scalar(reader, "select count(*) from shop.found"))
            seen.add(scalar(reader, "select count(*) from vsync.search('found', 'text', 50)"))

    reading = in_background(read)
    for turn in range(10):
        items.execute("update shop.items set body = body || %s::text", [turn])
        worker.execute("call vsync.work()")
    stop.set()
    reading.result(60)
    assert seen == {50}
    assert_at_rest(items)


def test_the_first_index_is_built_under_steady_ingest(items: Connection, connect: Connect) -> None:
    items.execute("insert into shop.items select g, 'text ' || g from generate_series(1, 200) as g")
    stop = Event()
    writer, worker = connect(), connect()

    def write() -> int:
        turns = 0
        while not stop.is_set():
            turns += 1
            writer.execute("update shop.items set body = body || '.' where id %% 20 = %s", [turns % 20])
        return turns

    writing = in_background(write)
    working = in_background(lambda: worker.execute("call vsync.work(duration => '5 s')"))
    try:
        wait_until(lambda: scalar(items, "select to_regclass('vsync_data.found_v1_ann')") is not None, "the index")
    finally:
        stop.set()
    assert writing.result(60) > 1
    working.result(60)
    assert_at_rest(items)


def test_workers_side_by_side_embed_every_text_once(items: Connection, connect: Connect) -> None:
    items.execute("insert into shop.items select g, 'text ' || mod(g, 100) from generate_series(1, 1000) as g")
    items.execute("select vsync.configure('claim_limit', '50')")
    done = [in_background(partial(connect().execute, "call vsync.work()")) for _ in range(3)]
    for work in done:
        work.result(100)
    totals = items.execute("select embedded_total, inference_total from vsync.stat_embeddings").fetchone()
    assert totals == (100, 100)
    assert_at_rest(items)
