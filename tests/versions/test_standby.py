"""Searches on a hot standby while an experiment runs on the primary."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from races.steps import wait_until
from shop import Connection, declare, open_shop, register, rows, run, value
from versions.rollout import add_version, work
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster
from vsync_admin.processes import run_as_database_user


@pytest.fixture
def primary(crash_cluster: Cluster, tiny_model: Path, tiny_model_other: Path) -> Iterator[Connection]:
    """Embedding catalog with two versions."""
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as db:
        open_shop(db, tiny_model)
        register(db, tiny_model_other, "other")
        declare(db)
        add_version(db, model="other")
        work(db)
        yield db


@pytest.fixture
def standby(crash_cluster: Cluster, primary: Connection) -> Iterator[Connection]:
    """A session on a standby that streams from the primary."""
    copy = Cluster(crash_cluster.server, Path(f"{crash_cluster.directory}-standby"), crash_cluster.settings)
    try:
        backup: list[str | Path] = [copy.server.bindir / "pg_basebackup", "-D", copy.data, "-R", "-c", "fast"]
        run_as_database_user([*backup, "-d", crash_cluster.dsn()])
        clusters.create(copy)
        clusters.start(copy)
        with psycopg.connect(copy.dsn("vsync"), autocommit=True) as db:
            yield db
    finally:
        clusters.destroy(copy)


def test_a_standby_answers_by_the_challenger_and_counts_its_own_calls(primary: Connection, standby: Connection) -> None:
    answer = "select distinct version from vsync.search('catalog', 'product 2', 3, 'me')"
    counted = "select version, calls from vsync.stat_experiments order by 1"
    run(primary, "select vsync.start_experiment('catalog', 2, 1)")
    wait_until(lambda: value(standby, "select count(*) from vsync.stat_experiments") == 2, "the experiment")
    for _ in range(3):
        assert rows(standby, answer) == [(2,)]
    run(standby, "select pg_stat_force_next_flush()")
    run(standby, "select 1")
    assert rows(standby, counted) == [(1, 0), (2, 3)]
    assert rows(primary, counted) == [(1, 0), (2, 0)]
    run(primary, "select vsync.stop_experiment('catalog')")
    wait_until(lambda: rows(standby, answer) == [(1,)], "the end")
