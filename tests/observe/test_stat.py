"""stat_embeddings and stat_queue count what there is and what was done."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop import Connection, declare, open_shop, rows, value


@pytest.fixture
def shop(db: Connection, tiny_model_poison: Path) -> Connection:
    open_shop(db, tiny_model_poison, 10)
    declare(db)
    return db


def stat(db: Connection, *columns: str) -> tuple[object, ...]:
    return rows(db, f"select {', '.join(columns)} from vsync.stat_embeddings")[0]


_TOTALS = ("embedded_total", "inference_total", "skipped_total", "reused_total", "truncated_total", "failed_total")


def test_counts_follow_documents_and_vectors(shop: Connection) -> None:
    assert stat(shop, "state", "documents", "vectors", "pending > 0", "indexed") == ("active", 0, 0, True, False)
    shop.execute("call vsync.work()")
    assert stat(shop, "documents", "vectors", "pending", "failed", "backfill_phase", "indexed") == (
        10,
        10,
        0,
        0,
        "done",
        True,
    )
    shop.execute("delete from shop.products where id > 7")
    shop.execute("call vsync.work()")
    assert stat(shop, "documents", "vectors") == (7, 7)


def test_pending_counts_marks_with_the_age_of_the_oldest(shop: Connection) -> None:
    shop.execute("call vsync.work()")
    assert stat(shop, "oldest_pending_age") == (None,)
    shop.execute("update shop.products set title = 'x' where id < 4")
    shop.execute("select vsync_internal.fold()")
    assert stat(shop, "pending", "oldest_pending_age > '0'::interval") == (3, True)


def test_totals_tell_embedded_reused_skipped_truncated_and_failed_apart(shop: Connection) -> None:
    shop.execute("call vsync.work()")
    assert stat(shop, *_TOTALS) == (10, 10, 0, 0, 0, 0)
    shop.execute("update shop.products set title = 'product 2' where id = 1")
    shop.execute("call vsync.work()")
    assert stat(shop, *_TOTALS) == (10, 10, 0, 1, 0, 0)
    shop.execute("select vsync.refresh('catalog')")
    shop.execute("call vsync.work()")
    assert stat(shop, *_TOTALS) == (10, 10, 10, 1, 0, 0)
    shop.execute("update shop.products set title = repeat('long ', 2000) where id = 3")
    shop.execute("call vsync.work()")
    assert stat(shop, *_TOTALS, "truncated") == (11, 11, 10, 1, 1, 0, 1)
    shop.execute("select vsync.configure('max_attempts', '1')")
    shop.execute("update shop.products set title = 'poisonpill' where id = 4")
    shop.execute("call vsync.work()")
    assert stat(shop, "embedded_total", "failed_total", "failed", "pending", "last_error is not null") == (
        11,
        1,
        1,
        0,
        True,
    )


def queue(db: Connection, *columns: str) -> tuple[object, ...]:
    return rows(db, f"select {', '.join(columns)} from vsync.stat_queue")[0]


def test_the_queue_tells_each_kind_of_waiting_apart(shop: Connection) -> None:
    kinds = ("waiting", "claimed", "backlog", "retrying", "parked", "paged", "leases", "unfolded_rows")
    shop.execute("select vsync_internal.backfill(1)")
    assert queue(shop, *kinds) == (0, 0, 10, 0, 0, 0, 0, 0)
    shop.execute("call vsync.work()")
    assert queue(shop, *kinds) == (0, 0, 0, 0, 0, 0, 0, 0)
    shop.execute("update shop.products set title = 'x' where id < 4")
    assert queue(shop, *kinds, "oldest_unfolded_age >= '0'") == (0, 0, 0, 0, 0, 0, 0, 1, True)
    shop.execute("select vsync_internal.fold()")
    assert queue(shop, *kinds) == (3, 0, 0, 0, 0, 0, 0, 0)
    shop.execute("select vsync_internal.claim(1, 2)")
    assert queue(shop, *kinds) == (1, 2, 0, 0, 0, 0, 1, 0)
    shop.execute(
        "insert into vsync_internal.pages (version_id, generation, captured_at, keys) values (1, 1, now(), '{8,9}')"
    )
    assert queue(shop, "paged") == (2,)


def test_failures_are_counted_as_retrying_then_parked(shop: Connection) -> None:
    shop.execute("select vsync.configure('max_attempts', '2'), vsync.configure('retry_seconds', '1000')")
    shop.execute("update shop.products set title = 'poisonpill' where id = 1")
    shop.execute("call vsync.work()")
    assert queue(shop, "retrying", "parked") == (1, 0)
    shop.execute("update vsync_internal.marks set due_at = now()")
    shop.execute("call vsync.work()")
    assert queue(shop, "retrying", "parked") == (0, 1)


def test_running_workers_are_counted(shop: Connection, connect: Callable[..., Connection]) -> None:
    assert queue(shop, "workers") == (0,)
    worker = connect()
    worker.execute("select vsync_internal.begin_work()")
    assert queue(shop, "workers") == (1,)


def test_every_embedding_has_its_own_row(shop: Connection) -> None:
    declare(shop, "second")
    shop.execute("call vsync.work(embedding => 'second')")
    assert rows(shop, "select embedding, version, documents from vsync.stat_embeddings") == [
        ("catalog", 1, 0),
        ("second", 1, 10),
    ]
    assert value(shop, "select count(*) from vsync.stat_queue") == 2
