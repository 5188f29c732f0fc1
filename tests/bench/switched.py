"""One table, captured and not captured in turn: what a capture costs writers, with everything else alike.

Both halves of a pair write the same rows of the same table, freshly vacuumed, after a checkpoint, without autovacuum;
pairs are measured in the order ABBA, so that what drifts falls on both. The first pair warms up.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.measure import Connection, Figure, database, median, seconds
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import PORT, Cluster

ROWS = 1_000_000
ROUNDS = 9
CLIENTS = 8
SECONDS = 4
RELEVANT = f"\\set id random(1, {ROWS})\nupdate items set body = left(body, 90) || random()::text where id = :id;\n"
IRRELEVANT = f"\\set id random(1, {ROWS})\nupdate items set price = price + 1 where id = :id;\n"

_TABLE = f"""
create table items with (autovacuum_enabled = off) as
select i as id, repeat(md5(i::text), 3) as body, 0 as price, repeat('x', 80) as pad
from generate_series(1, {ROWS}) as i;
alter table items add primary key (id);
"""
_DECLARE = """
select vsync.create_embedding('items_search', 'select id, body as content from items', 'tiny', 'manual',
    index => '{"type": "none"}')
"""
# what a worker does before it folds, in its place: makes, reads or drops the slot
_READ_SLOT = """
create procedure read_slot() language plpython3u as $py$
from vsync_engine.foundation.host import PlpyHost
from vsync_engine.capture.wal_reader import Reader
own = Reader(PlpyHost())
own.look(urgent=True)
target = own.target()
while not own.reached(target):
    own.look(urgent=True)
$py$
"""


@contextmanager
def switched(cluster: Cluster, name: str) -> Iterator[Connection]:
    """Give a session in a new database with a table and an embedding of it, which no worker works on."""
    with tempfile.TemporaryDirectory() as directory, database(cluster, name) as session:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
        for statement in (_TABLE, _DECLARE, _READ_SLOT, "vacuum analyze items"):
            session.execute(statement.encode())
        yield session


def ratios(session: Connection, capture: str, measure: Callable[[int, str], float]) -> list[float]:
    """Return with ÷ without, of each pair. measure: called with the number of the pair and the capture at that time."""
    pairs: list[float] = []
    for turn in range(ROUNDS + 1):
        reached: dict[str, float] = {}
        for mode in ("manual", capture) if turn % 2 else (capture, "manual"):
            _switch(session, mode)
            reached[mode] = measure(turn, mode)
        pairs.append(reached[capture] / reached["manual"])
    return pairs[1:]


def figure(name: str, pairs: list[float], must: float, aim: float | None = None, *, at_most: bool = False) -> Figure:
    """Return the median of the pairs, with the middle half of them as a note: what the machine's noise makes of it."""
    middle = sorted(pairs)[len(pairs) // 4 : -(len(pairs) // 4) or None]
    return Figure(name, median(pairs), "ratio", must, aim, at_most, f"pairs {middle[0]:.3f} to {middle[-1]:.3f}")


def bulk(session: Connection, turn: int) -> float:
    """Update every row; return the seconds."""
    return seconds(session, f"update items set body = left(body, 90) || '{turn}'")


def pgbench(cluster: Cluster, dbname: str, script: str, turn: int) -> float:
    """Return the transactions a second that the clients reach with a script; each turn has its own random numbers."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        given = ["-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(SECONDS), f"--random-seed={turn}"]
        target = ["-h", str(cluster.directory), "-p", str(PORT), "-U", "postgres", "-f", file.name, dbname]
        command = [str(cluster.server.bindir / "pgbench"), *given, *target]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    match = re.search(r"tps = ([0-9.]+)", printed)
    assert match is not None, printed
    return float(match[1])


def _switch(session: Connection, capture: str) -> None:
    """Capture so from now on. Without capture by WAL there is neither slot nor publication."""
    session.execute("select vsync.set_capture('items_search', %s)", [capture])
    session.execute("call read_slot()")
    session.execute("truncate vsync_internal.log, vsync_internal.marks, vsync_internal.pages")
    session.execute("vacuum items")
    session.execute("checkpoint")
