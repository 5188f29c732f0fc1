"""A missing worker is seen: in what is pending, in the doctor's findings, in a NOTICE and in exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fix_cluster import Connect
from shop import Connection, declare, open_shop, rows, run, value
from versions.rollout import add_version, work

PENDING = "select pending, oldest_pending_age >= '0' from vsync.stat_embeddings order by version"
WORKERS = "select level, detail from vsync.doctor() where name = 'workers'"
PRESENCE = "select vsync_internal.begin_work()"


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model, 10)
    return db


def exit_code(db: Connection, *arguments: str) -> int:
    vsync = [sys.executable, "-c", "from vsync_admin.cli import app; app()"]
    options = {"PGOPTIONS": "-c hnsw.iterative_scan=strict_order"}
    command = [*vsync, *arguments, "--dbname", db.info.dsn]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, **options}).returncode


def test_what_was_never_embedded_is_pending_and_found(shop: Connection) -> None:
    run(shop, "analyze shop.products")
    declare(shop)
    assert rows(shop, PENDING) == [(10, True)]
    assert rows(shop, WORKERS) == [("warning", "catalog, version 1, was never embedded, and no worker is running")]
    work(shop)
    assert rows(shop, PENDING) == [(0, None)]
    assert rows(shop, WORKERS) == [("ok", "nothing to report")]
    add_version(shop)
    assert rows(shop, PENDING)[1] == (10, True)


def test_a_table_without_statistics_is_pending_too(shop: Connection) -> None:
    run(shop, "create table shop.fresh (id int primary key, t text); insert into shop.fresh values (1, 'a')")
    declare(shop, document="select id, t as content from shop.fresh")
    assert value(shop, "select pending from vsync.stat_embeddings") >= 1


@pytest.mark.parametrize(
    ("change", "pending"),
    [
        ("update shop.products set title = 'x' where id < 4", 3),
        ("delete from shop.products where id = 1", 1),
        ("truncate shop.products", 10),
        ("select vsync.refresh('catalog')", 10),
        ("select vsync.refresh('catalog', '1')", 1),
    ],
)
def test_changes_that_no_worker_has_folded_are_pending_and_found(shop: Connection, change: str, pending: int) -> None:
    declare(shop)
    work(shop)
    run(shop, change)
    assert rows(shop, PENDING) == [(pending, True)]
    assert rows(shop, WORKERS) == [("warning", "changes wait to be folded, and no worker is running")]
    work(shop)
    assert rows(shop, PENDING) == [(0, None)]


def test_a_change_of_a_dependency_is_pending(shop: Connection) -> None:
    run(shop, "create table shop.notes (product int primary key, note text); insert into shop.notes values (1, 'a')")
    declare(
        shop,
        document="select p.id, n.note as content from shop.products as p join shop.notes as n on n.product = p.id",
    )
    work(shop)
    run(shop, "update shop.notes set note = 'b'")
    assert rows(shop, PENDING) == [(1, True)]


def test_the_creator_is_told_where_no_worker_runs(shop: Connection, connect: Connect) -> None:
    told: list[tuple[str, str]] = []
    shop.add_notice_handler(lambda d: told.append((d.message_primary or "", d.message_hint or "")))
    declare(shop)
    add_version(shop)
    message = 'no worker is running: the documents of "catalog" are embedded once one does'
    assert told == [(message, "call vsync.work(), or run: vsync worker")] * 2
    connect().execute(PRESENCE)
    add_version(shop)
    assert len(told) == 2


def test_health_checks_fail_where_no_worker_runs(shop: Connection) -> None:
    declare(shop)
    assert exit_code(shop, "doctor") == 0
    assert exit_code(shop, "doctor", "--fail-on", "warning") == 4
    assert exit_code(shop, "status", "--max-age", "5m") == 0
    run(shop, "update vsync_internal.versions set created_at = created_at - interval '6 minutes'")
    assert exit_code(shop, "status", "--max-age", "5m") == 4
    assert exit_code(shop, "status", "--max-age", "1h") == 0
    assert exit_code(shop, "status", "--max-age", "soon") == 2
    work(shop)
    assert exit_code(shop, "doctor", "--fail-on", "warning") == 0
    assert exit_code(shop, "status", "--max-age", "5m") == 0
