"""SIGKILL of the server while the slot is read: between writing, committing and advancing, and at any moment."""

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from capture.steps import declare as declare_by
from capture.steps import state
from chaos.gates import gated_worker
from chaos.rest import assert_at_rest
from chaos.test_kill import Worker, Writer
from races.steps import in_background, make_table, put, scalar, wait_until
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster

PHASES = ("WAL_MAKE.after", "WAL_APPEND.after", "WAL_CONFIRM.after", "WAL_ADVANCE", "WAL_ADVANCE.after")


def crash(cluster: Cluster) -> None:
    """Kill the server with all its backends, as a power failure does: without it they would work on for a while."""
    postmaster = int((cluster.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
    children = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == postmaster]
    os.kill(postmaster, signal.SIGKILL)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    wait_until(lambda: not clusters.running(cluster), "the server's end")


def _parent(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return None


def prepare(dsn: str, tiny_model: Path) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        make_table(session, tiny_model)
        declare_by(session, "found")


@pytest.mark.parametrize("phase", PHASES)
def test_a_crash_at_any_step_of_reading_loses_nothing(crash_cluster: Cluster, tiny_model: Path, phase: str) -> None:
    dsn = crash_cluster.dsn("vsync")
    prepare(dsn, tiny_model)
    with psycopg.connect(dsn, autocommit=True) as session:
        put(session, 1, "before the slot")
        if not phase.startswith("WAL_MAKE"):
            session.execute("call vsync.work()")
        session.execute("insert into shop.items select g, 'text ' || g from generate_series(2, 2500) as g")
        put(session, 1, "changed")
        session.execute("delete from shop.items where id = 7")

    with (
        psycopg.connect(dsn, autocommit=True) as own,
        suppress(psycopg.OperationalError),
        gated_worker(lambda **_: own, phase) as worker,
    ):
        crash(crash_cluster)
        assert isinstance(worker.open().exception(60), psycopg.OperationalError)
    clusters.start(crash_cluster)
    with psycopg.connect(dsn, autocommit=True) as session:
        assert_at_rest(session)
        assert state(session, "remade") == 0
        put(session, 1, "after the crash")
        assert_at_rest(session)


@pytest.mark.parametrize(
    ("kills", "updates"), [(3, 1500), pytest.param(20, 20_000, marks=pytest.mark.chaos, id="20 kills")]
)
def test_nothing_is_lost_after_the_server_was_killed_again_and_again(
    crash_cluster: Cluster, tiny_model: Path, kills: int, updates: int
) -> None:
    dsn = crash_cluster.dsn("vsync")
    prepare(dsn, tiny_model)
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("call vsync.work()")
    chance = random.Random(kills)
    writer, workers = Writer(dsn, kills), [Worker(dsn), Worker(dsn)]
    running = [in_background(part.run) for part in (writer, *workers)]
    try:
        for turn in range(kills):
            writer.allowed = (turn + 1) * updates // kills
            moment = turn * updates // kills + chance.randrange(updates // kills)
            wait_until(lambda moment=moment: writer.done >= moment, "the writer")
            crash(crash_cluster)
            clusters.start(crash_cluster)
        wait_until(lambda: writer.done >= updates, "the rest of the writes")
    finally:
        for part in (writer, *workers):
            part.stop.set()
        for future in running:
            future.result(60)
    with psycopg.connect(dsn, autocommit=True) as session:
        assert_at_rest(session)
        assert scalar(session, "select count(*) from shop.items") > 250
        assert state(session, "remade") == 0
