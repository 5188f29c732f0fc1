"""stat_versions tells how far each version is, while it is being built and after."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shop import Connection, declare, denied, open_shop, rows, run, value
from versions.rollout import activate, add_version, work

_COPY = """select vsync_internal.publish(%s, (
    select jsonb_agg(jsonb_build_object('key', r.key, 'chunk', 0, 'content', r.content, 'hash', r.hash,
        'document', r.hash, 'truncated', false, 'fresh', false)) from vsync_internal.render(%s, %s) as r)::text, 0)"""


def progress(db: Connection, version: int = 2) -> tuple[Any, ...]:
    """Return phase, done, total of a version."""
    query = "select phase, done::int, total::int from vsync.stat_versions where version = %s"
    return rows(db, query, version)[0]


def copy(db: Connection, limit: int) -> int:
    """Do what a worker does with a claim of version 2, whose texts version 1 holds."""
    token, keys = rows(db, "select token, keys from vsync_internal.claim(2, %s)", limit)[0]
    published = value(db, _COPY, token, token, keys)
    run(db, "select vsync_internal.release(%s)", token)
    return published


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model, 20)
    declare(db)
    work(db)
    return db


def test_a_version_goes_through_the_phases_with_counts(shop: Connection) -> None:
    add_version(shop)
    assert progress(shop) == ("backfilling", 0, 20)
    run(shop, "select vsync_internal.backfill(2, 8)")
    assert progress(shop) == ("backfilling", 0, 20)
    assert copy(shop, 6) == 6
    assert progress(shop) == ("backfilling", 6, 20)
    copy(shop, 100)
    while value(shop, "select backfill_phase from vsync.versions where version = 2") == "root":
        run(shop, "select vsync_internal.backfill(2, 8)")
        copy(shop, 100)
    assert progress(shop) == ("looking for orphans", None, None)
    while run(shop, "select vsync_internal.backfill(2, 8)") or progress(shop)[0] == "looking for orphans":
        pass
    assert progress(shop) == ("indexing", 0, None)
    work(shop)
    assert progress(shop) == ("ready", None, None)
    activate(shop, 2)
    assert rows(shop, "select version, label, state, phase from vsync.stat_versions") == [
        (1, "1.0", "retired", "retired"),
        (2, "1.1", "active", "active"),
    ]


def test_the_total_is_exact_once_all_were_seen(shop: Connection) -> None:
    add_version(shop, document="select id, title as content from shop.products where id <= 4")
    assert progress(shop) == ("backfilling", 0, 20)
    run(shop, "select vsync_internal.backfill(2)")
    assert progress(shop) == ("backfilling", 0, 4)
    assert copy(shop, 3) == 3
    assert progress(shop) == ("backfilling", 3, 4)


def test_the_first_version_expects_the_rows_of_its_table(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model, 20)
    run(db, "create table shop.parts (id int primary key, title text) partition by hash (id)")
    for remainder in (0, 1):
        run(
            db,
            f"create table shop.parts_{remainder} partition of shop.parts "
            f"for values with (modulus 2, remainder {remainder})",
        )
    run(db, "insert into shop.parts select i, 'part ' || i from generate_series(1, 30) as i")
    run(db, "analyze shop.products; analyze shop.parts")
    declare(db)
    declare(db, "found_parts", "select id, title as content from shop.parts")
    assert rows(db, "select phase, done::int, total::int from vsync.stat_versions") == [
        ("backfilling", 0, 20),
        ("backfilling", 0, 30),
    ]


def test_rate_and_eta_follow_what_was_finished_lately(shop: Connection) -> None:
    add_version(shop)
    run(shop, "select vsync_internal.backfill(2)")
    figures = "select rate, eta from vsync.stat_versions where version = 2"
    assert rows(shop, figures) == [(0, None)]
    run(shop, "update vsync_internal.progress set backfill_started_at = now() - interval '10 minutes'")
    assert copy(shop, 10) == 10
    rate, eta = rows(shop, figures)[0]
    assert float(rate) == pytest.approx(10 / 20, abs=0.1)
    assert eta.total_seconds() == pytest.approx(10 / float(rate), abs=1)
    # began two seconds ago: the mean is of these two seconds, and not of a window that was not there
    run(shop, "update vsync_internal.progress set backfill_started_at = clock_timestamp() - interval '2 s'")
    assert float(rows(shop, figures)[0][0]) == pytest.approx(10 / 2, abs=1)
    run(shop, "update vsync_internal.progress set rate_at = rate_at - interval '10 minutes'")
    assert rows(shop, figures) == [(0, None)]


def test_text_that_did_not_change_counts_as_finished(shop: Connection) -> None:
    run(shop, "update vsync_internal.progress set rate = 0")
    run(shop, "select vsync.refresh('catalog')")
    work(shop)
    assert value(shop, "select rate from vsync_internal.progress") == pytest.approx(1, abs=0.2)


def test_a_version_that_is_paused_or_broken_or_starts_over_says_so(shop: Connection) -> None:
    add_version(shop)
    work(shop)
    run(shop, "select vsync.pause_version('catalog', 2)")
    assert progress(shop)[0] == "paused"
    run(shop, "select vsync.resume_version('catalog', 2)")
    assert progress(shop)[0] == "ready"
    run(shop, "select vsync.refresh('catalog')")
    run(shop, "select vsync_internal.fold()")
    assert progress(shop) == ("backfilling", 0, 20)
    run(shop, "update vsync_internal.progress set broken = 'its table is gone' where version_id = 2")
    assert progress(shop) == ("broken", None, None)


def test_progress_is_for_operators(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    query = "select phase from vsync.stat_versions"
    assert rows(connect(user=make_role("vsync_operator")), query) == [("active",)]
    denied(connect(user=make_role("vsync_reader")), query)
