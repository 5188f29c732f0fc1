"""A worker that is cancelled, terminated or frozen, in every phase."""

import os
import signal

import psycopg
import pytest

from chaos.gates import PHASES, gated_worker
from chaos.rest import assert_at_rest
from fix_cluster import Connect, Connection
from races.steps import put, scalar, stored

WORKERS = "select count(*) from vsync_internal.workers where pid = %s"


def fill(s: Connection, body: str) -> None:
    s.execute("insert into shop.items select g, %s || g from generate_series(1, 20) as g "
              "on conflict (id) do update set body = excluded.body", [body])  # fmt: skip


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancelled_worker_loses_nothing_and_leaves_its_session_as_it_was(
    items: Connection, connect: Connect, phase: str
) -> None:
    fill(items, "text ")
    with gated_worker(connect, phase) as worker:
        items.execute("select pg_cancel_backend(%s)", [worker.pid])
        with pytest.raises(psycopg.errors.QueryCanceled):
            worker.open().result(60)
        assert scalar(worker.session, "show default_transaction_isolation") == "repeatable read"
        assert scalar(worker.session, "show synchronous_commit") == "local"
        assert scalar(items, "select count(*) from vsync_internal.leases") == 0
        assert scalar(items, WORKERS, worker.pid) == 0
        assert scalar(items, "select count(*) from vsync_internal.marks where token is not null or attempts > 0") == 0
        fill(items, "changed ")
        assert_at_rest(items)


@pytest.mark.parametrize("phase", PHASES)
def test_a_terminated_worker_loses_nothing_and_its_claim_is_free_at_once(
    items: Connection, connect: Connect, phase: str
) -> None:
    fill(items, "text ")
    with gated_worker(connect, phase) as worker:
        items.execute("select pg_terminate_backend(%s)", [worker.pid])
        with pytest.raises(psycopg.OperationalError):
            worker.open().result(60)
    fill(items, "changed ")
    items.execute("set statement_timeout = '30 s'")  # less than a lease
    assert_at_rest(items)


def test_a_worker_frozen_past_its_lease_never_publishes_stale_data(items: Connection, connect: Connect) -> None:
    items.execute("select vsync.configure('lease_seconds', '1')")
    put(items, 1, "old")
    with gated_worker(connect, "EMBED") as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            put(items, 1, "new")
            items.execute("call vsync.work()")
            assert stored(items) == {1: "new"}
            row = items.execute("select token, embedded_at from vsync_data.found_v1").fetchall()
        finally:
            os.kill(worker.pid, signal.SIGCONT)
        worker.open().result(60)
    assert items.execute("select token, embedded_at from vsync_data.found_v1").fetchall() == row
    assert_at_rest(items)


def test_changes_made_while_no_worker_runs_are_all_refreshed(items: Connection, connect: Connect) -> None:
    fill(items, "text ")
    with gated_worker(connect, "EMBED") as worker:
        items.execute("select pg_terminate_backend(%s)", [worker.pid])
    fill(items, "changed ")
    items.execute("delete from shop.items where id > 15")
    put(items, 99, "new")
    assert_at_rest(items)


def test_a_worker_that_splits_an_endless_word_is_cancelled(items: Connection, connect: Connect) -> None:
    items.execute("select vsync.drop_embedding('found')")
    items.execute(
        "select vsync.create_embedding('split', 'select id, body as content from shop.items', 'tiny', "
        """chunk => '{"tokens": 64, "overlap": 8}')"""
    )
    put(items, 1, "a" * 3_000_000)
    with gated_worker(connect, "RENDER.after") as worker:
        items.execute("select pg_cancel_backend(%s)", [worker.pid])
        with pytest.raises(psycopg.errors.QueryCanceled):
            worker.open().result(60)
