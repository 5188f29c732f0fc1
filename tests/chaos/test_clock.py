"""A clock that jumps, and snapshots that stay: time decides which log table is written to, and never what is read."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from chaos.battery import Battery
from chaos.load import Load, Worker, Writer, open_shop
from fix_cluster import Connect, Connection
from races.steps import run, scalar, wait_until
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster
from vsync_admin.processes import run_as_database_user

ROWS = 300
JUMPS = ("+3600", "+0", "-3600", "+0")
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
# libfaketime takes the time until which time.sleep asks the system to sleep for one of the clock that it fakes
_SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select((), (), (), seconds)\n"
_NOTICED = 2.1  # seconds
DEAD = """select coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(pg_relation_size(relid)), 0)::bigint
from pg_stat_user_tables where schemaname = 'vsync_internal' and relname like 'log\\_%%'"""


@pytest.fixture
def clock(crash_cluster: Cluster) -> Iterator[Callable[[str], None]]:
    """Set the server's clock off by seconds; the server is restarted under a clock that can be set.

    Each process looks at the file once a second or two. Were it to look each time, a signal of the server's timers,
    whose handler asks for the time as well, would often find it at that, and libfaketime would wait for itself.
    """
    if LIBRARY is None:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    offset, following = crash_cluster.directory / "offset", crash_cluster.directory / "following"

    def jump(seconds: str) -> None:
        following.write_text(f"{seconds}\n", encoding="ascii")
        following.chmod(0o644)
        following.replace(offset)
        time.sleep(_NOTICED)

    jump("+0")
    clusters.stop(crash_cluster)
    (crash_cluster.directory / "sitecustomize.py").write_text(_SLEEP, encoding="ascii")
    faked = [
        "env",
        f"PYTHONPATH={crash_cluster.directory}",
        f"LD_PRELOAD={LIBRARY}",
        f"FAKETIME_TIMESTAMP_FILE={offset}",
        "FAKETIME_CACHE_DURATION=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "FAKETIME_DONT_RESET=1",
    ]
    start: list[str | Path] = [crash_cluster.server.bindir / "pg_ctl", "start", "-D", crash_cluster.data, "-w"]
    run_as_database_user([*faked, *start, "-l", crash_cluster.log])
    yield jump
    clusters.stop(crash_cluster, "immediate")


@pytest.mark.parametrize("jumps", [4, pytest.param(60, marks=pytest.mark.chaos, id="60 jumps")])
def test_a_clock_that_jumps_an_hour_loses_nothing(
    crash_cluster: Cluster,
    clock: Callable[[str], None],
    tiny_model: Path,
    battery: Battery,
    share: Callable[[int], int],
    jumps: int,
) -> None:
    dsn = crash_cluster.dsn("vsync")
    with psycopg.connect(dsn, autocommit=True) as session:
        open_shop(session, battery.journal, tiny_model, rows=ROWS)
        jumped = session.execute("select clock_timestamp()").fetchone()
        writers = [Writer(dsn, battery.journal, number, 2, ROWS, battery.seed) for number in range(2)]
        with Load(writers, [Worker(dsn), Worker(dsn)]) as load:
            for turn in range(jumps if jumps == 4 else share(jumps)):
                before = load.done
                load.allow(before + 1000)
                wait_until(lambda before=before: load.done > before + 100, "the writers")
                clock(JUMPS[turn % len(JUMPS)])
                if turn == 0:
                    assert jumped is not None
                    assert scalar(session, "select clock_timestamp() - %s > '59 min'", jumped[0])
                battery.faults += 1
                time.sleep(battery.chance.random())
        session.execute("set statement_timeout = '60 s'")
        battery.rest(session)
        for slot in range(3):  # the log is emptied still
            clock(f"+{slot * 16}")
            wait_until(lambda: scalar(session, "select vsync_internal.rotate()") >= 0, "rotation")
        assert scalar(session, "select count(*) from vsync_internal.log") == 0


def test_a_clock_set_back_leaves_nothing_waiting_for_an_hour(
    db: Connection, tiny_model: Path, battery: Battery
) -> None:
    open_shop(db, battery.journal, tiny_model, rows=ROWS)
    db.execute("select vsync_internal.backfill(1)")
    run(db, "update vsync_internal.progress set retry_at = now() + interval '1 hour'")
    assert run(db, "update vsync_internal.marks set due_at = now() + interval '1 hour' returning 1")
    db.execute("update shop.kinds set name = 'renamed' where id = 1")
    battery.journal.acknowledge([("kinds", 1, ["renamed"])])
    db.execute("select vsync_internal.fold()")
    assert run(db, "update vsync_internal.pages set retry_at = now() + interval '1 hour' returning 1")
    battery.faults += 3
    db.execute("set statement_timeout = '30 s'")
    battery.rest(db)


@pytest.mark.parametrize("seconds", [4, pytest.param(300, marks=pytest.mark.chaos, id="300 s")])
def test_a_snapshot_that_stays_leaves_no_dead_rows_in_the_log(
    db: Connection,
    connect: Connect,
    dsn: str,
    tiny_model: Path,
    battery: Battery,
    share: Callable[[int], int],
    seconds: int,
) -> None:
    seconds = seconds if seconds == 4 else share(seconds)
    open_shop(db, battery.journal, tiny_model, rows=2000)
    db.execute("call vsync.work()")
    writer = Writer(dsn, battery.journal, 0, 1, 2000, battery.seed, rolled_back=0.0)
    with Load([writer], [Worker(dsn)]) as load:

        def rate() -> float:
            before, began = load.done, time.monotonic()
            while time.monotonic() - began < seconds:
                load.allow(before + int(1000 * (time.monotonic() - began)) + 20)
                time.sleep(0.02)
            return (load.done - before) / (time.monotonic() - began)

        free = rate()
        with connect(autocommit=False) as pinned:
            run(pinned, "set transaction isolation level repeatable read")
            run(pinned, "select 1")
            battery.faults += 1
            held = rate()
            run(db, "select pg_stat_force_next_flush()")
            [(dead, size)] = run(db, DEAD.replace("%%", "%"))
            run(pinned, "rollback")
    battery.rest(db)
    assert dead == 0
    assert size < 64 * 2**20
    if seconds >= 60:  # shorter, it says nothing
        assert held > 0.95 * free, (held, free)
