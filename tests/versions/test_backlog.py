"""While a version is built, fresh edits of the one being served pass its backlog; documents that follow the clock."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fix_models import package_texts
from shop import Connection, declare, open_shop, register, run, value
from versions.rollout import activate, add_version, assert_clean, state, totals, work


@pytest.fixture
def building(db: Connection, tiny_model: Path, tiny_model_slow: Path) -> Connection:
    """800 texts are embedded; from now on a batch is one text, and building a version of model slow takes seconds."""
    open_shop(db, tiny_model, 0)
    register(db, tiny_model_slow, "slow")
    texts = package_texts(100) * 8
    db.cursor().executemany(
        "insert into shop.products (id, title) values (%s, %s)",
        [(number, f"{number} {text[:300]}") for number, text in enumerate(texts, 1)],
    )
    run(db, "create table shop.brands (id int primary key, name text); insert into shop.brands values (1, 'brand')")
    run(db, "alter table shop.products add brand int default 1")
    run(db, "create index on shop.products (brand)")
    document = (
        "select p.id, p.title || ' ' || b.name as content from shop.products p join shop.brands b on b.id = p.brand"
    )
    declare(db, document=document, index='{"type": "none"}')
    work(db)
    run(db, "insert into shop.brands values (2, 'other'); update shop.products set brand = 2 where id = 7")
    work(db)
    run(db, "select vsync.configure('batch_tokens', '64')")
    return db


def settled(db: Connection, expected: str) -> None:
    """Wait until the serving view has a text of document 7."""
    started = time.monotonic()
    while value(db, "select content from shop.catalog where id = 7") != expected:
        assert time.monotonic() - started < 60
        time.sleep(0.02)


def test_edits_of_the_active_version_do_not_wait_for_the_backlog_of_another(
    building: Connection, connect: Callable[..., Connection]
) -> None:
    run(building, "select vsync.configure('claim_limit', '10000')")  # the whole backlog is one claim
    add_version(building, model="slow")
    worker = connect()
    thread = threading.Thread(target=run, args=(worker, "call vsync.work()"))
    thread.start()
    try:
        while not value(building, "select count(*) from vsync_data.catalog_v2"):
            time.sleep(0.02)
        backlog = value(building, "select token from vsync_internal.leases")
        run(building, "update shop.products set title = 'edited' where id = 7")
        settled(building, "edited other")
        run(building, "update shop.brands set name = 'renamed' where id = 2")
        settled(building, "edited renamed")
        assert state(building, 2) == "building"
        assert value(building, "select count(*) from vsync_internal.leases where token = %s", backlog) == 1
    finally:
        thread.join()
    assert state(building, 2) == "ready"
    assert_clean(building, 1, 2)


def test_a_backfill_that_is_interrupted_goes_on_and_embeds_nothing_twice(
    building: Connection, connect: Callable[..., Connection]
) -> None:
    run(building, "select vsync.configure('claim_limit', '200')")
    add_version(building, model="slow")
    for _ in range(3):
        worker = connect()
        thread = threading.Thread(target=_until_terminated, args=(worker,))
        thread.start()
        done = totals(building)[2][0]
        while totals(building)[2][0] == done:
            time.sleep(0.05)
        run(building, "select pg_terminate_backend(%s)", worker.info.backend_pid)
        thread.join()
    work(building)
    texts = value(building, "select count(distinct content_hash) from vsync_data.catalog_v2")
    assert totals(building)[2][0] == texts
    activate(building, 2)
    assert_clean(building, 1, 2)


def _until_terminated(worker: Connection) -> None:
    with pytest.raises(Exception, match="terminating"):
        run(worker, "call vsync.work()")


def test_texts_that_follow_the_clock_are_looked_at_again(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model)
    declare(db, options='{"refresh_every": "1 second"}')
    work(db)
    skipped = "select skipped_total from vsync.stat_embeddings"
    before = value(db, skipped)
    run(db, "update vsync_internal.progress set refreshed_at = now() - interval '2 seconds'")
    work(db)
    assert value(db, skipped) == before + 3
    run(db, "update vsync_internal.progress set refreshed_at = now() + interval '1 minute'")
    work(db)
    assert value(db, skipped) == before + 3
