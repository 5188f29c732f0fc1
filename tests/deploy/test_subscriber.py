"""A database that received every table by logical replication takes over: nothing is lost, nothing goes backwards."""

import subprocess
from pathlib import Path

import psycopg

from races.steps import wait_until
from shop import Connection, declare, open_shop, refused, register, rows, run, value
from versions.rollout import add_version, assert_clean, work
from vsync_admin.cluster import Cluster

COPIED = "select count(*) > 30 and bool_and(srsubstate = 'r') from pg_subscription_rel"


def test_a_subscriber_of_everything_takes_over(
    cluster: Cluster, db: Connection, tiny_model: Path, tiny_model_other: Path
) -> None:
    open_shop(db, tiny_model)
    register(db, tiny_model_other, "other")
    declare(db)
    add_version(db, model="other")
    work(db)
    run(db, "create publication everything for all tables")
    slot = f"everything_{db.info.dbname}"
    run(db, "select pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    name = f"{db.info.dbname}_subscriber"
    run(db, f"create database {name}")
    bindir = cluster.server.bindir
    dump = subprocess.run(
        [bindir / "pg_dump", "--schema-only", "--no-publications", "-d", cluster.dsn(db.info.dbname)],
        check=True,
        capture_output=True,
    )
    load = [bindir / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", cluster.dsn(name)]
    subprocess.run(load, input=dump.stdout, check=True, capture_output=True)
    with psycopg.connect(cluster.dsn(name), autocommit=True) as subscriber:
        try:
            run(
                subscriber,
                f"create subscription everything connection '{cluster.dsn(db.info.dbname)}' publication everything "
                f"with (create_slot = false, slot_name = {slot})",
            )
            wait_until(lambda: value(subscriber, COPIED), "the copy", 120)
            run(db, "update shop.products set title = 'waits' where id = 1; delete from shop.products where id = 2")
            arrived = "select count(*) = 2 from shop.products"
            wait_until(lambda: value(subscriber, arrived), "the changes")
            report = refused(lambda: work(subscriber), "VS007")
            assert "everything" in (report.message_hint or "")
        finally:
            run(subscriber, "drop subscription everything")
        work(subscriber)
        assert rows(subscriber, "select id, content from shop.catalog order by id") == [(1, "waits"), (3, "product 3")]
        assert_clean(subscriber, 1, 2)
        run(subscriber, "update shop.products set title = 'after' where id = 3")
        assert add_version(subscriber) == 3
        work(subscriber)
        assert value(subscriber, "select content from shop.catalog where id = 3") == "after"
        assert_clean(subscriber, 1, 2, 3)
        assert value(subscriber, "select level from vsync.doctor() where name = 'replication'") == "ok"
    run(db, f"drop database {name}")
