"""What cannot be captured by WAL is refused beforehand, and nobody's writes break."""

from pathlib import Path

import psycopg
import pytest

from capture.steps import declare, forget, logged, read_all, slot
from fix_cluster import Connect, Connection, MakeRole
from races.steps import make_table, put, run, scalar
from shop import refused
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster

CHECK = """select vsync_internal.check_wal('shop.items', jsonb_build_array(jsonb_build_object(
'relation_oid', %s::regclass::oid, 'keys', '[{"column": "body"}]'::jsonb)), %s)"""


@pytest.fixture
def table(db: Connection, tiny_model: Path) -> Connection:
    make_table(db, tiny_model)
    return db


def test_a_server_without_logical_wal_is_refused_with_the_setting(crash_cluster: Cluster, tiny_model: Path) -> None:
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as session:
        make_table(session, tiny_model)
        session.execute("alter system set wal_level = 'replica'")
    clusters.stop(crash_cluster)
    conf = crash_cluster.data / "vsync.conf"
    conf.write_text(conf.read_text().replace("wal_level", "#"))
    clusters.start(crash_cluster)
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as session:
        report = refused(lambda: declare(session, "found"), "VS501")
        assert report.message_hint is not None
        assert report.message_hint.startswith("alter system set wal_level = 'logical'")
        declare(session, "found", capture="trigger")
        refused(lambda: session.execute("select vsync.set_capture('found', 'wal')"), "VS501")


@pytest.mark.parametrize(
    "kind",
    [
        "create table shop.d (id int primary key, body text)",
        "create table shop.d (body text)",
        "create table shop.d (body text primary key); alter table shop.d replica identity nothing",
        """create table shop.d (body text primary key) partition by list (body);
        create table shop.d1 partition of shop.d for values in ('a'); alter table shop.d1 replica identity nothing""",
    ],
)
def test_an_identity_that_does_not_tell_old_values_is_refused_with_the_remedy(table: Connection, kind: str) -> None:
    run(table, kind)
    report = refused(lambda: table.execute(CHECK, ["shop.d", "{}"]), "VS502")
    remedy, _, _ = str(report.message_hint).partition(";")
    assert remedy.endswith(" replica identity full")
    run(table, remedy)
    table.execute(CHECK, ["shop.d", "{}"])


def test_an_identity_is_set_where_the_option_says_so(table: Connection) -> None:
    run(table, "create table shop.d (body text)")
    table.execute(CHECK, ["shop.d", '{"replica_identity": "full"}'])
    assert scalar(table, "select relreplident::text from pg_class where oid = 'shop.d'::regclass") == "f"


def test_an_identity_is_set_with_the_rights_of_the_creator(
    table: Connection, connect: Connect, make_role: MakeRole
) -> None:
    run(table, "create table shop.d (body text)")
    other = make_role("vsync_admin")
    run(table, f"grant usage on schema shop to {other}")
    session = connect(user=other)
    refused(lambda: session.execute(CHECK, ["shop.d", '{"replica_identity": "full"}']), "VS002")
    assert scalar(table, "select relreplident::text from pg_class where oid = 'shop.d'::regclass") == "d"


@pytest.mark.parametrize(
    "kind",
    [
        "create unlogged table shop.d (body text primary key)",
        "create view shop.d as select 'x' as body",
        "create table shop.d (id int, body int generated always as (id + 1) stored primary key)",
    ],
)
def test_what_is_not_in_the_wal_is_refused(table: Connection, kind: str) -> None:
    run(table, kind)
    refused(lambda: table.execute(CHECK, ["shop.d", '{"replica_identity": "full"}']), "VS501")


def test_options_are_checked(table: Connection) -> None:
    refused(lambda: declare(table, "found", options='{"replica_identity": "half"}'), "VS001")
    refused(lambda: declare(table, "found", capture="walk"), "VS001")


def test_somebody_elses_publication_of_our_name_is_left_alone(table: Connection) -> None:
    run(table, "create publication vsync for table shop.items")
    refused(lambda: declare(table, "found"), "VS501")
    declare(table, "found", capture="trigger")
    table.execute("select vsync.drop_embedding('found')")
    assert scalar(table, "select count(*) from pg_publication_tables where pubname = 'vsync'") == 1


CHANGES = {
    "full": "alter table shop.items replica identity full",
    "another key": "alter table shop.items drop constraint items_pkey, add column other int default 5, "
    "add primary key (id, other)",
    "index": "alter table shop.items alter price set not null; create unique index u on shop.items (id, price); "
    "alter table shop.items replica identity using index u",
    "no key": "alter table shop.items drop constraint items_pkey",
}


@pytest.mark.parametrize("change", CHANGES)
def test_writers_go_on_whatever_becomes_of_the_identity(table: Connection, dsn: str, change: str) -> None:
    declare(table, "found")
    table.execute("call vsync.work()")
    put(table, 1, "a")
    for statement in CHANGES[change].split("; "):
        run(table, statement)
    refusals: list[str] = []
    for write in ("update shop.items set body = 'b'", "update shop.items set id = 2", "delete from shop.items"):
        try:
            run(table, write)
        except psycopg.Error as error:
            refusals.append(str(error))
    assert refusals == []
    if change == "no key":
        assert ("replica identity",) in run(table, "select name from vsync.doctor() where level = 'error'")
        return
    read_all(dsn)
    keys = {key for _, key in logged(table, "wal")}
    assert {"1", "2"} <= keys
    forget(table)


def test_dropping_the_last_embedding_drops_publication_and_slot(table: Connection) -> None:
    declare(table, "found")
    declare(table, "second")
    table.execute("call vsync.work()")
    table.execute("select vsync.drop_embedding('found')")
    assert slot(table) is not None
    table.execute("select vsync.drop_embedding('second')")
    assert slot(table) is None
    assert scalar(table, "select count(*) from pg_publication") == 0


def test_a_slot_in_use_is_dropped_by_the_next_worker(table: Connection, connect: Connect) -> None:
    declare(table, "found")
    table.execute("call vsync.work()")
    other = connect(autocommit=False)
    other.execute("select vsync_internal.lock_table('wal')")
    table.execute("select vsync.drop_embedding('found')")
    assert slot(table) is not None
    assert "wal slot" in {name for (name,) in run(table, "select name from vsync.doctor() where level = 'warning'")}
    other.rollback()
    table.execute("call vsync.work()")
    assert slot(table) is None
    assert scalar(table, "select count(*) from pg_publication") == 0
