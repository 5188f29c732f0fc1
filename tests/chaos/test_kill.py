"""SIGKILL of worker backends, writer backends and the server, and immediate stops, at random moments."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from chaos.battery import Battery
from chaos.faults import crash, kill
from chaos.load import Load, Worker, Writer, open_shop
from chaos.rest import assert_at_rest
from races.steps import declare, in_background, make_table, scalar, wait_until
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster

FAULTS = ("worker", "worker", "writer", "server", "postmaster", "immediate")
WORKING = "select vsync_internal.count_workers() > 0"
KILLED = "was terminated by signal 9"


def strike(cluster: Cluster, load: Load, fault: str, chance: random.Random) -> bool:
    """Break something and wait until it is noticed; tell whether the server restarted by itself."""
    if fault in ("worker", "writer"):
        victim = chance.choice(load.workers if fault == "worker" else load.writers)
        wait_until(lambda: victim.pid is not None, f"a {fault}")
        pid = victim.pid
        struck = kill(pid)
        wait_until(lambda: victim.pid != pid, f"the {fault}'s end")
        return struck
    if fault == "server":
        crash(cluster)
    elif fault == "postmaster":
        clusters.kill(cluster)
    else:
        clusters.stop(cluster, "immediate")
    clusters.start(cluster)
    return False


def add_version(dsn: str) -> bool:
    """Add a version of another model; False where the server is not back yet or somebody reads the view."""
    with suppress(psycopg.OperationalError), psycopg.connect(dsn, autocommit=True) as session:
        session.execute("select vsync.add_version('found', model => 'other')")
        return True
    return False


@pytest.mark.parametrize(
    ("kills", "updates", "rows", "pause"),
    [(5, 3000, 600, 0.0), pytest.param(200, 1_000_000, 20_000, 1.0, marks=pytest.mark.chaos, id="200 kills")],
)
def test_nothing_is_lost_doubled_or_stale_whatever_was_killed(
    crash_cluster: Cluster,
    tiny_model: Path,
    tiny_model_other: Path,
    battery: Battery,
    share: Callable[[int], int],
    kills: int,
    updates: int,
    rows: int,
    pause: float,
) -> None:
    dsn = crash_cluster.dsn("vsync")
    with psycopg.connect(dsn, autocommit=True) as session:
        open_shop(session, battery.journal, tiny_model, rows=rows, index="hnsw")
        session.execute("select vsync.register_model('other', %s)", [f"file://{tiny_model_other}"])
    if pause:
        kills, updates = share(kills), share(updates)
    restarts = 0
    writers = [Writer(dsn, battery.journal, number, 2, rows, battery.seed) for number in range(2)]
    with Load(writers, [Worker(dsn), Worker(dsn)]) as load:
        for turn in range(kills):
            load.allow((turn + 1) * updates // kills)
            moment = turn * updates // kills + battery.chance.randrange(updates // kills // 2)
            wait_until(lambda moment=moment: load.done >= moment, "the writers")
            time.sleep(pause * battery.chance.uniform(1, 3))
            fault = FAULTS[turn % len(FAULTS)] if not pause else battery.chance.choice(FAULTS)
            restarts += strike(crash_cluster, load, fault, battery.chance)
            battery.faults += 1
            if turn == kills // 2:
                wait_until(lambda: add_version(dsn), "the second version")
        wait_until(lambda: load.done >= updates - len(writers), "the rest of the writes", 600)
    clusters.start(crash_cluster)  # waits for the end of recovery
    assert crash_cluster.log.read_text(errors="replace").count(KILLED) >= restarts > 0
    with psycopg.connect(dsn, autocommit=True) as session:
        battery.rest(session)
        session.execute("select vsync.activate_version('found', 2)")
        battery.rest(session)
        assert scalar(session, "select count(*) from shop.items") > rows / 2


def test_log_and_queue_survive_a_crash_of_the_server(crash_cluster: Cluster, tiny_model: Path) -> None:
    dsn = crash_cluster.dsn("vsync")
    with psycopg.connect(dsn, autocommit=True) as session:
        make_table(session, tiny_model)
        declare(session)
        session.execute("insert into shop.items select g, 'folded ' || g from generate_series(1, 100) as g")
        session.execute("select vsync_internal.fold()")
        session.execute("select vsync_internal.expand()")
        session.execute("select vsync_internal.claim(1, 10)")
        session.execute("insert into shop.items select g, 'logged ' || g from generate_series(101, 200) as g")
    clusters.kill(crash_cluster)
    clusters.start(crash_cluster)
    with psycopg.connect(dsn, autocommit=True) as session:
        assert scalar(session, "select count(*) from vsync_internal.marks") == 100
        assert_at_rest(session)


def test_a_worker_does_not_outlive_its_server(crash_cluster: Cluster) -> None:
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as session:
        working = in_background(lambda: session.execute("call vsync.work(duration => '20 s')"))
        with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as other:
            wait_until(lambda: scalar(other, WORKING), "the worker")
        clusters.kill(crash_cluster)
        assert isinstance(working.exception(10), psycopg.OperationalError)
    clusters.start(crash_cluster)
