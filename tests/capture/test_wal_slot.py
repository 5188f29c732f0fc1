"""The slot: made by a worker, found lost or foreign and made again, advanced, and never ahead of the log."""

import subprocess
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest

from capture.steps import declare, forget, logged, read_all, reader, slot, state
from fix_cluster import Connect, Connection
from races.steps import blocked, in_background, make_table, put, run, scalar, wait_until
from vsync_admin.cluster import Cluster

pytestmark = pytest.mark.battery
FILL = "insert into shop.items select g, 'text ' || g from generate_series(1, 20) as g"
FRESH = "select count(*) from (select id, body from shop.items except select id, content from shop.found) as x"


@pytest.fixture
def found(db: Connection, tiny_model: Path) -> Connection:
    """A session; `found` captures twenty rows by WAL, and is fresh."""
    make_table(db, tiny_model)
    run(db, FILL)
    declare(db, "found")
    db.execute("call vsync.work()")
    return db


def assert_fresh(s: Connection) -> None:
    s.execute("call vsync.work()")
    assert scalar(s, FRESH) == 0
    assert scalar(s, "select count(*) from shop.found") == scalar(s, "select count(*) from shop.items")


def test_the_version_waits_for_the_slot_and_then_sees_what_came_before(db: Connection, tiny_model: Path) -> None:
    make_table(db, tiny_model)
    run(db, FILL)
    declare(db, "found")
    put(db, 1, "between creation and slot")
    assert slot(db) is None
    assert run(db, "select backfilling from vsync_internal.duties()") == [(False,)]
    assert run(db, "select level from vsync.doctor() where name = 'wal slot'") == [("warning",)]
    assert_fresh(db)
    assert slot(db, "plugin") == "pgoutput"
    assert state(db, "remade") == 0
    assert run(db, "select level from vsync.doctor() where name = 'wal slot'") == [("ok",)]


def test_work_reads_all_that_was_committed_before_the_call(found: Connection, connect: Connect) -> None:
    writer = connect()
    for i in range(50):
        put(writer, 1 + i % 20, f"text {i} of a committed transaction")
        found.execute("call vsync.work()")
        assert scalar(found, FRESH) == 0


def test_a_running_worker_reads_by_itself(found: Connection, connect: Connect) -> None:
    worker = connect()
    working = in_background(lambda: worker.execute("call vsync.work(duration => '4 s')"))
    put(found, 1, "read while it runs")
    wait_until(lambda: scalar(found, FRESH) == 0, "the worker")
    assert not working.done()
    worker.cancel()
    working.exception(60)


LOSSES = {
    "dropped": "select pg_drop_replication_slot(vsync_internal.slot_name())",
    "made anew": "select pg_drop_replication_slot(vsync_internal.slot_name()); "
    "select pg_create_logical_replication_slot(vsync_internal.slot_name(), 'pgoutput')",
    "of another plug-in": "select pg_drop_replication_slot(vsync_internal.slot_name()); "
    "select pg_create_logical_replication_slot(vsync_internal.slot_name(), 'test_decoding')",
    "read by somebody else": "select count(*) from pg_logical_slot_get_binary_changes(vsync_internal.slot_name(), "
    "null, null, 'proto_version', '1', 'publication_names', 'vsync')",
    "advanced by somebody else": "select pg_replication_slot_advance(vsync_internal.slot_name(), "
    "pg_current_wal_flush_lsn())",
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_slot_that_lost_changes_is_made_again_and_every_document_compared(found: Connection, loss: str) -> None:
    found.execute("set synchronous_commit = 'local'")
    put(found, 1, "lost with the slot")
    for statement in LOSSES[loss].split("; "):
        run(found, statement)
    error = run(found, "select level, remediation from vsync.doctor() where name = 'wal slot'")
    assert error == [("error", "A worker makes it again and compares every document: call vsync.work()")]
    assert_fresh(found)
    assert state(found, "remade") == 1
    assert run(found, "select level from vsync.doctor() where name = 'wal slot'") == [("info",)]
    told = run(found, "select slots_lost, last_lost_reason is not null, error from vsync.stat_capture")
    assert told == [(1, True, None)]
    assert scalar(found, "select inference_total from vsync.stat_embeddings") == 21
    put(found, 2, "after that")
    assert_fresh(found)
    assert state(found, "remade") == 1


def test_a_running_worker_notices_a_lost_slot(found: Connection, connect: Connect) -> None:
    worker = connect()
    working = in_background(lambda: worker.execute("call vsync.work(duration => '30 s')"))
    put(found, 1, "read before")
    wait_until(lambda: scalar(found, FRESH) == 0, "the worker")
    wait_until(lambda: slot(found, "active") == "false", "the end of a look")
    run(found, "select pg_drop_replication_slot(vsync_internal.slot_name())")
    put(found, 1, "maybe lost")
    wait_until(lambda: scalar(found, FRESH) == 0 and state(found, "remade") == 1, "the new slot")
    worker.cancel()
    working.exception(60)


PUBLICATION = {
    "dropped": "drop publication vsync",
    "without its table": "alter publication vsync drop table shop.items",
    "with another list": "alter publication vsync set table shop.items",
}


@pytest.mark.parametrize("change", PUBLICATION)
def test_a_publication_that_was_changed_is_mended_and_every_document_compared(found: Connection, change: str) -> None:
    run(found, PUBLICATION[change])
    put(found, 1, "not published")
    assert_fresh(found)
    put(found, 2, "published again")
    assert_fresh(found)
    published = run(found, "select relation::text, columns::text[] from vsync_internal.publication()")
    assert published == [("shop.items", ["id"])]


def test_a_slot_whose_wal_was_removed_is_made_again(crash_cluster: Cluster, tiny_model: Path) -> None:
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as session:
        make_table(session, tiny_model)
        run(session, FILL)
        declare(session, "found")
        session.execute("call vsync.work()")
        for statement in ("alter system set max_slot_wal_keep_size = '1MB'", "alter system set max_wal_size = '32MB'"):
            session.execute(statement.encode())
        run(session, "select pg_reload_conf()")
        put(session, 1, "in WAL that will be removed")
        run(session, "create table bulk as select repeat(md5(g::text), 30) as x from generate_series(1, 60000) as g")
        for _ in range(3):
            run(session, "select pg_switch_wal(); checkpoint")
        assert slot(session, "wal_status") == "lost"
        assert run(session, "select wal_status from vsync.stat_capture") == [("lost",)]
        assert_fresh(session)
        assert "removed WAL" in state(session, "reason")


def test_the_slot_is_advanced_over_the_wal_of_others(found: Connection, dsn: str) -> None:
    put(found, 1, "x")
    with reader(dsn) as own:
        target = own.target()
        while not own.reached(target):
            own.look(urgent=True)
        run(found, "create table shop.other as select repeat('x', 100) from generate_series(1, 20000)")
        run(found, "select pg_logical_emit_message(true, '', '')")
        before = scalar(found, "select pg_current_wal_flush_lsn()::text")
        end = monotonic() + 60
        while slot(found, f"(confirmed_flush_lsn >= '{before}'::pg_lsn)") != "true":
            assert monotonic() < end
            own.look()
            sleep(0.05)
    assert scalar(found, "select lag_bytes < 100000 and lag_seconds < 60 from vsync.stat_capture") is True


def test_an_idle_reader_writes_nothing(found: Connection, dsn: str) -> None:
    with reader(dsn) as own:
        target = own.target()
        while not own.reached(target):
            own.look(urgent=True)

        def idle() -> bool:
            before = scalar(found, "select pg_current_wal_insert_lsn() - '0/0'")
            looked = [own.look(urgent=True) for _ in range(50)]
            return not any(looked) and scalar(found, "select pg_current_wal_insert_lsn() - '0/0'") - before < 5000

        assert any(idle() for _ in range(10))  # autovacuum, for one, keeps the cluster busy now and then


def test_two_readers_take_turns(found: Connection, dsn: str, connect: Connect) -> None:
    writer = connect()
    forget(found)
    with reader(dsn) as first, reader(dsn) as second:
        stop = in_background(lambda: [put(writer, i % 20 + 1, f"text {i}") for i in range(300)])
        looks = [in_background(lambda own=own: [own.look(urgent=True) for _ in range(200)]) for own in (first, second)]
        stop.result(60)
        for look in looks:
            look.result(60)
    read_all(dsn)
    assert logged(found, "wal") == {("U", str(i)) for i in range(1, 21)}


def test_a_slot_waits_for_open_transactions_and_work_does_not_wait_for_ever(
    db: Connection, connect: Connect, tiny_model: Path
) -> None:
    make_table(db, tiny_model)
    run(db, FILL)
    declare(db, "found")
    declare(db, "other", capture="trigger")
    writer = connect(autocommit=False)
    put(writer, 1, "in a transaction left open")
    db.execute("call vsync.work()")
    assert scalar(db, "select count(*) from shop.other") == 20
    assert scalar(db, "select count(*) from shop.found") == 0
    assert "lock timeout" in state(db, "error")
    assert "error" in {level for (level,) in run(db, "select level from vsync.doctor() where name = 'wal slot'")}
    writer.commit()
    assert_fresh(db)
    assert state(db, "error") is None


def test_a_change_is_not_logged_before_others_can_see_it(crash_cluster: Cluster, tiny_model: Path) -> None:
    """A commit that waits for a standby is in the WAL, and its row is rendered as it was before."""
    dsn = crash_cluster.dsn("vsync")
    with psycopg.connect(dsn, autocommit=True) as session, psycopg.connect(dsn, autocommit=True) as writer:
        make_table(session, tiny_model)
        run(session, FILL)
        declare(session, "found")
        session.execute("call vsync.work()")
        run(session, "alter system set synchronous_standby_names = 'nobody'")
        run(session, "select pg_reload_conf(); set synchronous_commit = 'local'")
        wait_until(lambda: scalar(writer, "show synchronous_standby_names") == "nobody", "the setting")
        put(session, 2, "before it")
        writing = in_background(lambda: put(writer, 1, "committed, and waiting for a standby"))
        waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
        wait_until(lambda: scalar(session, waits) == 1, "the standby")
        forget(session)
        with reader(dsn) as own:
            for _ in range(20):
                own.look(urgent=True)
        assert logged(session, "wal") == {("U", "2")}
        run(session, "alter system reset synchronous_standby_names")
        run(session, "select pg_reload_conf()")
        writing.result(60)
        assert_fresh(session)


def test_a_copy_of_the_database_makes_a_slot_of_its_own(found: Connection, cluster: Cluster, dsn: str) -> None:
    name = f"copy_{scalar(found, 'select current_database()')}"
    original = slot(found)
    with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
        database = scalar(found, "select current_database()")
        found.close()
        admin.execute(f"create database {name} template {database}".encode())
        try:
            with psycopg.connect(cluster.dsn(name), autocommit=True) as session:
                put(session, 1, "written in the copy")
                assert_fresh(session)
                assert slot(session) not in (None, original)
                session.execute("select vsync.drop_embedding('found')")
        finally:
            admin.execute(f"drop database {name}".encode())


def test_a_table_is_published_after_its_writers_have_ended(found: Connection, connect: Connect) -> None:
    """What a transaction wrote before is published by what held then: its end has to be waited for."""
    run(found, "create table shop.more (id int primary key, body text)")
    writer, creator = connect(autocommit=False), connect()
    run(writer, "insert into shop.more values (1, 'in an open transaction')")
    creating = in_background(
        lambda: declare(creator, "more_found", "select id, body as content from shop.more"),
    )
    wait_until(lambda: blocked(found, creator), "the creation")
    writer.commit()
    creating.result(60)
    found.execute("call vsync.work()")
    assert run(found, "select id, content from shop.more_found") == [(1, "in an open transaction")]


def test_a_restored_database_makes_publication_and_slot_its_own(
    found: Connection, cluster: Cluster, tmp_path: Path
) -> None:
    name = f"restored_{scalar(found, 'select current_database()')}"
    bindir, file = cluster.server.bindir, tmp_path / "dump"
    dump = subprocess.run(
        [bindir / "pg_dump", "-d", cluster.dsn(found.info.dbname)], check=True, capture_output=True, text=True
    )
    file.write_text(dump.stdout, encoding="utf-8")
    with psycopg.connect(cluster.dsn(), autocommit=True) as admin:
        admin.execute(f"create database {name} template template0".encode())
        try:
            command = [bindir / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", cluster.dsn(name), "-f", file]
            subprocess.run(command, check=True, capture_output=True)
            with psycopg.connect(cluster.dsn(name), autocommit=True) as session:
                put(session, 1, "written after the restore")
                assert_fresh(session)
                assert slot(session) not in (None, slot(found))
                assert scalar(session, "select inference_total from vsync.stat_embeddings") == 21
                put(session, 2, "published")
                assert_fresh(session)
                assert run(session, "select level from vsync.doctor() where name = 'wal slot'") == [("ok",)]
                session.execute("select vsync.drop_embedding('found')")
        finally:
            admin.execute(f"drop database {name}".encode())
