"""Workers frozen past their lease and continued: what they then publish is stale, and must be thrown away."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.battery import Battery
from chaos.faults import frozen
from chaos.gates import gated_worker
from chaos.load import open_shop
from fix_cluster import Connect, Connection
from races.steps import scalar

# where no transaction is open: frozen inside of one, a worker still owns what it locked
PHASES = ("RENDER", "RESERVE", "EMBED", "PUBLISH", "RELEASE")
ROWS = 40
NEWEST = "select max(token) from vsync_data.found_v1"


def write(session: Connection, battery: Battery, text: str) -> None:
    keys = battery.chance.sample(range(1, ROWS + 1), 10)
    for key in keys:
        session.execute("update shop.items set body = %s where id = %s", [f"{text} {key}", key])
    battery.journal.acknowledge(("items", key, [key % 20, f"{text} {key}"]) for key in keys)


@pytest.mark.parametrize("freezes", [3, pytest.param(200, marks=pytest.mark.chaos, id="200 freezes")])
def test_a_worker_frozen_past_its_lease_never_publishes_stale_data(
    db: Connection,
    connect: Connect,
    tiny_model: Path,
    battery: Battery,
    share: Callable[[int], int],
    freezes: int,
) -> None:
    open_shop(db, battery.journal, tiny_model, rows=ROWS)
    db.execute("call vsync.work()")
    db.execute("select vsync.configure('lease_seconds', '1')")
    for turn in range(freezes if freezes == 3 else share(freezes)):
        write(db, battery, f"old {turn}")
        with gated_worker(connect, battery.chance.choice(PHASES)) as worker:
            with frozen(worker.pid):
                battery.faults += 1
                write(db, battery, f"new {turn}")
                time.sleep(1)
                battery.rest(db)
                newest = scalar(db, NEWEST)
            worker.open().result(60)
        assert scalar(db, NEWEST) == newest
        battery.rest(db)
