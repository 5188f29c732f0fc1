"""`vsync index`: building, rebuilding and judging a vector index from the shell."""

from pathlib import Path

import pytest

from admin.test_commands import answer, vsync
from shop import Connection, declare, open_shop, value


@pytest.fixture
def catalog(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model, 50)
    declare(db)
    db.execute("call vsync.work()")
    return db


def _oid(db: Connection) -> int | None:
    return value(db, "select to_regclass('vsync_data.catalog_v1_ann')::oid")


def test_build_builds_what_is_missing_and_nothing_else(dsn: str, catalog: Connection):
    before = _oid(catalog)
    done = vsync(dsn, "index", "build", "catalog")
    assert (done.returncode, done.stdout) == (0, "")
    assert "built already" in done.stderr
    assert _oid(catalog) == before
    catalog.execute("drop index vsync_data.catalog_v1_ann")
    assert answer(dsn, "index", "build", "catalog", "1") == [{"version": 1, "built": True}]
    assert _oid(catalog) not in (None, before)


def test_rebuild_takes_other_options_and_recall_judges_them(dsn: str, catalog: Connection):
    before = _oid(catalog)
    done = vsync(dsn, "index", "rebuild", "catalog", "--index", '{"m": 24}')
    assert (done.returncode, done.stderr) == (0, "")
    assert _oid(catalog) != before
    assert value(catalog, "select index ->> 'm' from vsync.versions") == "24"
    recall = answer(dsn, "index", "recall", "catalog", "-k", "5", "--samples", "10")[0]["recall"]
    assert recall == value(catalog, "select recall from vsync.stat_versions") == 1


def test_what_cannot_be_is_refused_with_the_servers_words(dsn: str, catalog: Connection):
    done = vsync(dsn, "index", "rebuild", "catalog", "--index", '{"quantize": "int8"}')
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ERROR:  VS001: invalid index option")
    assert vsync(dsn, "index", "rebuild", "catalog", "--index", "{").returncode == 2
    catalog.execute("select vsync_internal.hold_index(1)")
    done = vsync(dsn, "index", "rebuild", "catalog")
    assert done.stderr.startswith("ERROR:  VS405: the index is being built already")
