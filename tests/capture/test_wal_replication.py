"""Rows that another server sends by logical replication: captured by WAL, refused aloud where triggers capture."""

from pathlib import Path

import psycopg

from capture.steps import declare
from fix_cluster import Connection
from races.steps import make_table, run, scalar, wait_until
from vsync_admin.cluster import Cluster

FRESH = """select count(*) from ((select id, body from shop.items except select id, content from shop.found)
union all (select id, content from shop.found except select id, body from shop.items)) as x"""


def test_rows_applied_from_another_server_are_captured_by_wal_and_reported_under_triggers(
    db: Connection, dsn: str, crash_cluster: Cluster, tiny_model: Path
) -> None:
    run(db, "create schema shop; create table shop.items (id int primary key, body text, price numeric default 0)")
    run(db, "insert into shop.items select g, 'copied ' || g from generate_series(1, 50) as g")
    run(db, "create publication source for table shop.items")
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as target:
        make_table(target, tiny_model)
        declare(target, "found")
        declare(target, "by_trigger", capture="trigger")
        target.execute("call vsync.work()")
        with_name = "publication source with (slot_name = 'vsync_test_applied')"
        run(target, f"create subscription applied connection '{dsn}' {with_name}")
        try:
            wait_until(lambda: scalar(target, "select count(*) from shop.items") == 50, "the copy")
            run(db, "update shop.items set body = 'updated ' || id where id < 10")
            run(db, "delete from shop.items where id > 40; insert into shop.items values (100, 'inserted')")
            done = "select count(*) from shop.items where body like 'updated%%' or id = 100"
            wait_until(lambda: scalar(target, done) == 10, "the changes")
            target.execute("call vsync.work()")
            assert scalar(target, FRESH) == 0
            found = run(target, "select level, remediation from vsync.doctor() where name = 'replication'")
            assert found == [("error", "select vsync.refresh('by_trigger') from time to time")]
            run(db, "truncate shop.items")
            wait_until(lambda: scalar(target, "select count(*) from shop.items") == 0, "the truncate")
            target.execute("call vsync.work()")
            assert scalar(target, FRESH) == 0
        finally:
            run(target, "drop subscription applied")
