"""A model that hangs, crashes its process, runs out of memory, answers with NaN or in another shape.

Its documents are parked, one by one, and all others are embedded; the server comes back after every crash.
"""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from chaos.battery import Battery
from chaos.load import Load, Worker, Writer, open_shop
from chaos.traps import CRASH, HANG, PILLS, write_trap_model
from fix_cluster import Connection
from races.steps import make_table, scalar, wait_until
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster

SETTINGS = {
    "lease_seconds": 1,
    "max_attempts": 2,
    "retry_seconds": 0,
    "memory_limit_mb": 1024,
    "claim_limit": 64,
}
PARKED = "select count(*) from vsync.failures where parked"
CODES = "select distinct sqlstate from vsync.failures where key ->> 'id' = any(%s) order by 1"


@pytest.fixture(scope="module")
def trap_model(models_directory: Path) -> Path:
    return write_trap_model(models_directory / "traps")


def configure(session: Connection) -> None:
    for name, value in SETTINGS.items():
        session.execute("select vsync.configure(%s, %s)", [name, str(value)])


@pytest.mark.parametrize(("pills", "rows"), [(1, 60), pytest.param(20, 2000, marks=pytest.mark.chaos, id="20 of each")])
def test_what_the_model_fails_on_is_parked_and_the_rest_goes_on(
    crash_cluster: Cluster,
    trap_model: Path,
    battery: Battery,
    share: Callable[[int], int],
    pills: int,
    rows: int,
) -> None:
    dsn = crash_cluster.dsn("vsync")
    if pills > 1:
        pills, rows = share(pills), share(rows)
    keys = battery.chance.sample(range(1_000_001, 1_000_001 + 10 * pills * len(PILLS)), pills * len(PILLS))
    poison = {key: PILLS[i % len(PILLS)] for i, key in enumerate(keys)}
    with psycopg.connect(dsn, autocommit=True) as session:
        open_shop(session, battery.journal, trap_model, rows=rows)
        configure(session)
        for key, pill in poison.items():
            row: list[object] = [key % 20, f"a {pill} of {key}"]
            session.execute("insert into shop.items values (%s, %s, %s)", [key, *row])
            battery.journal.acknowledge([("items", key, row)])
            battery.faults += 1
    writer = Writer(dsn, battery.journal, 0, 1, rows, battery.seed)
    with Load([writer], [Worker(dsn), Worker(dsn)]) as load:
        load.allow(rows * 2)

        def all_parked() -> bool:
            try:
                with psycopg.connect(dsn, autocommit=True) as session:
                    return scalar(session, PARKED) == len(poison)
            except psycopg.OperationalError:
                return False

        wait_until(all_parked, "the poison to be parked", 60 + 30 * pills)
        wait_until(lambda: load.done >= rows * 2, "the writer")
    clusters.start(crash_cluster)
    with psycopg.connect(dsn, autocommit=True) as session:
        battery.rest(session, parked=frozenset(poison))
        crashed = [str(key) for key, pill in poison.items() if pill == CRASH]
        assert session.execute(CODES, [crashed]).fetchall() == [("VS105",)]
        session.execute("update shop.items set body = 'cured ' || id where id > 1000000")
        battery.journal.acknowledge(("items", key, [key % 20, f"cured {key}"]) for key in poison)
        battery.rest(session)


def test_a_model_call_that_hangs_ends_with_its_statement(db: Connection, trap_model: Path) -> None:
    make_table(db, trap_model)
    assert scalar(db, "select vsync.embed('tiny', 'model loaded') is not null")
    db.execute("set statement_timeout = '500 ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        db.execute("select vsync.embed('tiny', %s)", [HANG])
    assert scalar(db, "select vsync.embed('tiny', 'the session lives on') is not null")


def test_a_worker_hung_in_its_model_can_be_terminated(db: Connection, dsn: str, trap_model: Path) -> None:
    make_table(db, trap_model)
    db.execute("insert into shop.items values (1, %s)", [HANG])
    db.execute("select vsync.create_embedding('found', 'select id, body as content from shop.items', 'tiny')")
    worker = Worker(dsn)
    with Load([], [worker]):
        wait_until(lambda: scalar(db, "select exists (select from vsync_internal.leases)"), "the claim")
        worker.stop.set()
        pid = worker.pid
        gone = "select not exists (select from pg_stat_activity where pid = %s)"
        db.execute("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: scalar(db, gone, pid), "the worker's end", 20)
