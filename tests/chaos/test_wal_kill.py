"""SIGKILL of the server while the slot is read: between writing, committing and advancing, and at any moment."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from capture.steps import declare as declare_by
from capture.steps import state
from chaos.battery import Battery
from chaos.faults import crash
from chaos.gates import gated_worker
from chaos.load import Load, Worker, Writer, open_shop
from chaos.rest import assert_at_rest
from races.steps import make_table, put, scalar, wait_until
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster

PHASES = ("WAL_MAKE.after", "WAL_APPEND.after", "WAL_CONFIRM.after", "WAL_ADVANCE", "WAL_ADVANCE.after")


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
    ("kills", "updates", "rows"),
    [(3, 1500, 500), pytest.param(20, 20_000, 2000, marks=pytest.mark.chaos, id="20 kills")],
)
def test_nothing_is_lost_after_the_server_was_killed_again_and_again(
    crash_cluster: Cluster,
    tiny_model: Path,
    battery: Battery,
    share: Callable[[int], int],
    kills: int,
    updates: int,
    rows: int,
) -> None:
    dsn = crash_cluster.dsn("vsync")
    if kills > 3:
        kills, updates = share(kills), share(updates)
    with psycopg.connect(dsn, autocommit=True) as session:
        open_shop(session, battery.journal, tiny_model, rows=rows, capture="wal")
        session.execute("call vsync.work()")
    writers = [Writer(dsn, battery.journal, number, 2, rows, battery.seed) for number in range(2)]
    with Load(writers, [Worker(dsn), Worker(dsn)]) as load:
        for turn in range(kills):
            load.allow((turn + 1) * updates // kills)
            moment = turn * updates // kills + battery.chance.randrange(updates // kills // 2)
            wait_until(lambda moment=moment: load.done >= moment, "the writers")
            crash(crash_cluster)
            clusters.start(crash_cluster)
            battery.faults += 1
        wait_until(lambda: load.done >= updates - len(writers), "the rest of the writes")
    with psycopg.connect(dsn, autocommit=True) as session:
        battery.rest(session)
        assert scalar(session, "select count(*) from shop.items") > rows / 2
        assert state(session, "remade") == 0
