"""A streaming standby is promoted while the primary is written to and worked on, and takes over; by both captures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import psycopg
import pytest

from capture.steps import declare as declare_by
from capture.steps import state
from chaos.battery import Battery
from chaos.load import Load, Worker, Writer, open_shop
from chaos.rest import assert_at_rest
from fix_cluster import Connection
from races.steps import in_background, make_table, put, run, scalar, stored, wait_until
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster
from vsync_admin.processes import run_as_database_user

ROWS = 300
WAITING = "select (select count(*) from vsync_internal.log), (select count(*) from vsync_internal.marks)"
SYNCHRONOUS = "select count(*) > 0 from pg_stat_replication where sync_state = 'sync'"
FOUND = "select missing, extra, stale, mixed from vsync.audit('found')"


def session(cluster: Cluster) -> Connection:
    return psycopg.connect(cluster.dsn("vsync"), autocommit=True)


@pytest.fixture
def capture() -> str:
    """The capture of the embedding `found`."""
    return "trigger"


@pytest.fixture
def standby(crash_cluster: Cluster, tiny_model: Path, capture: str) -> Iterator[Cluster]:
    """A standby that streams from the primary, `crash_cluster`, which has the embedding `found`."""
    with session(crash_cluster) as s:
        make_table(s, tiny_model)
        declare_by(s, "found", capture=capture)
        s.execute("insert into shop.items select g, 'text ' || g from generate_series(1, 402) as g")
        s.execute("call vsync.work()")
    copy = Cluster(crash_cluster.server, Path(f"{crash_cluster.directory}-standby"), crash_cluster.settings)
    try:
        follow(crash_cluster, copy)
        yield copy
    finally:
        clusters.destroy(copy)


def follow(primary: Cluster, copy: Cluster) -> None:
    """Make and start a standby that streams from the primary."""
    backup: list[str | Path] = [copy.server.bindir / "pg_basebackup", "-D", copy.data, "-R", "-c", "fast"]
    run_as_database_user([*backup, "-d", primary.dsn()])
    clusters.create(copy)
    clusters.start(copy)


def promote(primary: Cluster, standby: Cluster) -> None:
    """Take the primary away and let the standby take over."""
    clusters.stop(primary, "immediate")
    run_as_database_user([standby.server.bindir / "pg_ctl", "promote", "-w", "-D", standby.data])


@contextmanager
def under_load(primary: Cluster) -> Iterator[tuple[list[int], Callable[[], None]]]:
    """Write to the primary and work on it until it is gone; give the number of writes so far, and the workers' end."""
    stop, idle, written = Event(), Event(), [0]

    def write() -> None:
        with suppress(psycopg.OperationalError), session(primary) as s:
            while not stop.is_set():
                written[0] += 1
                put(s, written[0] % (ROWS + 50), f"changed {written[0]}")
                s.execute("delete from shop.items where id = %s", [written[0] * 7 % ROWS])

    def work() -> None:
        with suppress(psycopg.OperationalError), session(primary) as s:
            while not idle.is_set():
                s.execute("call vsync.work(duration => '200 ms')")

    writer, worker = in_background(write), in_background(work)

    def rest() -> None:
        idle.set()
        worker.result(60)

    try:
        yield written, rest
    finally:
        stop.set()
        rest()
        writer.result(60)


def test_a_standby_promoted_under_load_keeps_its_queue_and_finds_what_is_missing(
    crash_cluster: Cluster, standby: Cluster
) -> None:
    with session(crash_cluster) as s:
        s.execute("alter table shop.items disable trigger all")
        s.execute("update shop.items set body = 'not captured' where id = 400")
        s.execute("delete from shop.items where id = 401")
        s.execute("insert into shop.items values (403, 'not captured either')")
        for event in ("insert", "update", "delete", "truncate"):
            run(s, f"alter table shop.items enable always trigger vsync_{event}")
    with under_load(crash_cluster) as (written, _):
        wait_until(lambda: written[0] > 1000, "the writer")
        with session(standby) as s:
            assert scalar(s, "select vsync_internal.is_promoted() or vsync_internal.is_restored()") is False
        promote(crash_cluster, standby)
    with session(standby) as s:
        waiting = s.execute(WAITING).fetchall()
        assert scalar(s, "select vsync_internal.is_restored()") is False
        assert scalar(s, "select vsync_internal.adopt()") is True
        assert s.execute(WAITING).fetchall() == waiting
        assert scalar(s, "select vsync_internal.adopt()") is False
        assert_at_rest(s)
        assert stored(s).keys() & {400, 401, 402, 403} == {400, 402, 403}
        assert s.execute(FOUND).fetchall() == [(0, 0, 0, 0)]
        put(s, 1, "written after the promotion")
        assert_at_rest(s)


@pytest.mark.parametrize("capture", ["wal"])
def test_a_standby_promoted_under_load_makes_its_slot_and_finds_what_the_primary_had_not_read(
    crash_cluster: Cluster, standby: Cluster
) -> None:
    with under_load(crash_cluster) as (written, rest):
        wait_until(lambda: written[0] > 1000, "the writer")
        rest()
        with session(crash_cluster) as s:
            s.execute("update shop.items set body = 'not read' where id = 400")
            s.execute("delete from shop.items where id = 401")
            s.execute("insert into shop.items values (403, 'not read either')")
            committed = scalar(s, "select pg_current_wal_flush_lsn()")
        with session(standby) as s:
            wait_until(lambda: scalar(s, "select pg_last_wal_replay_lsn() >= %s::pg_lsn", committed), "the standby")
            assert scalar(s, "select count(*) from pg_replication_slots") == 0
        promote(crash_cluster, standby)
    with session(standby) as s:
        assert stored(s)[400] == "text 400"
        assert_at_rest(s)
        assert scalar(s, "select slot_name from pg_replication_slots") == scalar(s, "select vsync_internal.slot_name()")
        assert (state(s, "remade"), state(s, "reason")) == (1, "the slot was gone")
        assert stored(s).keys() & {400, 401, 402, 403} == {400, 402, 403}
        assert stored(s)[400] == "not read"
        assert s.execute(FOUND).fetchall() == [(0, 0, 0, 0)]
        put(s, 1, "written after the promotion")
        assert_at_rest(s)
        assert state(s, "remade") == 1


@pytest.mark.parametrize("times", [pytest.param(20, marks=pytest.mark.chaos, id="20 times")])
def test_one_server_after_the_other_takes_over_and_loses_nothing(
    crash_cluster: Cluster, tiny_model: Path, battery: Battery, share: Callable[[int], int], times: int
) -> None:
    with session(crash_cluster) as s:
        open_shop(s, battery.journal, tiny_model, rows=ROWS)
    primary, dsn, last = crash_cluster, crash_cluster.dsn("vsync"), crash_cluster
    writers = [Writer(dsn, battery.journal, number, 2, ROWS, battery.seed) for number in range(2)]
    workers = [Worker(dsn), Worker(dsn)]
    try:
        with Load(writers, workers) as load:
            for turn in range(share(times)):
                load.allow(load.done + 500)
                last = Cluster(primary.server, Path(f"{crash_cluster.directory}-{turn}"), primary.settings)
                follow(primary, last)
                with session(primary) as s:
                    # what is acknowledged is on the standby as well
                    s.execute("alter system set synchronous_standby_names = '*'")
                    s.execute("select pg_reload_conf()")
                    wait_until(lambda s=s: scalar(s, SYNCHRONOUS), "the standby")
                before = load.done
                load.allow(before + 1000)
                wait_until(lambda before=before: load.done > before + 200, "the writers")
                promote(primary, last)
                for part in (*writers, *workers):
                    part.dsn = last.dsn("vsync")
                clusters.destroy(primary)
                primary = last
                battery.faults += 1
        with session(primary) as s:
            battery.rest(s)
            assert s.execute(FOUND).fetchall() == [(0, 0, 0, 0)]
    finally:
        for cluster in {primary.directory: primary, last.directory: last}.values():
            clusters.destroy(cluster)
