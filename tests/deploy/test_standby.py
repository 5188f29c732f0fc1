"""On a hot standby all that reads works, and all that writes says that it is a standby."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, open_shop, refused, rows, run, value
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster
from vsync_admin.processes import run_as_database_user

READS = (
    "select * from vsync.doctor()",
    "select * from vsync.stat_capture",
    "select * from vsync.stat_embeddings",
    "select * from vsync.stat_queue",
    "select * from vsync.stat_versions",
    "select * from vsync.stat_rules",
    "select * from vsync.stat_experiments",
    "select * from vsync.failures",
    "select * from vsync.models",
    "select * from vsync.embeddings",
    "select * from vsync.versions",
    "select * from vsync.rules",
    "select * from vsync.decisions",
    "select * from vsync.activations",
    "select * from vsync.settings",
    "select id, content from shop.catalog",
    "select * from vsync.search('catalog', 'product 2', 3)",
    "select vsync.query_vector('catalog', 'product 2')",
    "select vsync.embed('tiny', 'product 2')",
    "select * from vsync.explain_embedding('catalog')",
    "select * from vsync.explain_row('catalog', '2'::jsonb)",
    "select * from vsync.explain_impact('shop.products', '2'::jsonb)",
    "select vsync.describe_embedding('catalog')",
    "select * from vsync.audit('catalog')",
)
WRITES = (
    "call vsync.work()",
    "call vsync.work(duration => '1 second')",
    "select vsync.create_embedding('second', 'select id, title as content from shop.products', 'tiny')",
    "select vsync.add_version('catalog')",
    "select vsync.drop_version('catalog', 1)",
    "select vsync.activate_version('catalog', 1, force => true)",
    "select vsync.rollback_version('catalog')",
    "select vsync.end_rollback('catalog')",
    "select vsync.pause_version('catalog', 1)",
    "select vsync.resume_version('catalog', 1)",
    "select vsync.drop_embedding('catalog')",
    "select vsync.refresh('catalog')",
    "select vsync.retry('catalog')",
    "select vsync.audit('catalog', repair => true)",
    "select vsync.configure('threads', '1')",
    "select vsync.register_model('again', 'file:///nowhere')",
    "select vsync.set_capture('catalog', 'manual')",
    "select vsync.repair_capture('catalog')",
    "select vsync.judge('catalog', 'q', '1'::jsonb, 1)",
    "select vsync.start_experiment('catalog', 1)",
    "select vsync.report_outcome('catalog', 1)",
    "select vsync.create_rule('r', 'catalog', 'true', 'skip')",
)


@pytest.fixture
def standby(crash_cluster: Cluster, tiny_model: Path) -> Iterator[Connection]:
    """A session on a standby of a server with embedding catalog by trigger and streamed by WAL."""
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as db:
        open_shop(db, tiny_model)
        declare(db)
        declare(db, "streamed", capture="wal")
        run(db, "call vsync.work()")
        run(db, "update shop.products set title = 'waits' where id = 1")
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


def test_a_standby_reads_and_refuses_writes_by_name(standby: Connection) -> None:
    for statement in READS:
        assert rows(standby, statement) is not None, statement
    for statement in WRITES:
        report = refused(lambda statement=statement: run(standby, statement), "VS007")
        assert report.message_primary == "this server is a standby", statement
        assert "primary" in (report.message_hint or "")
    found = rows(standby, "select name, level, detail from vsync.doctor() where level in ('error', 'warning')")
    assert found == []
    assert value(standby, "select pending from vsync.stat_embeddings where embedding = 'catalog'") == 1
    assert rows(standby, "select wal_status, lag_bytes > 0 from vsync.stat_capture where capture = 'wal'") is not None
