"""What capture costs writers: single-row updates by pgbench, and one update of a million rows."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Connection, Figure, database, median, seconds
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import PORT, Cluster

ROWS = 1_000_000
ROUNDS = 5
CLIENTS = 8
SECONDS = 8
TABLE = f"""
create table {{}} as select i as id, repeat(md5(i::text), 3) as body, 0 as price, repeat('x', 80) as pad
from generate_series(1, {ROWS}) as i
"""
_DECLARE = "select vsync.create_embedding('captured_search', 'select id, body as content from captured', 'tiny')"
RELEVANT = "\\set id random(1, 1000000)\nupdate {} set body = left(body, 90) || random()::text where id = :id;\n"
IRRELEVANT = "\\set id random(1, 1000000)\nupdate {} set price = price + 1 where id = :id;\n"


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure two tables alike, one of them captured, in turn."""
    with tempfile.TemporaryDirectory() as directory, database(cluster, "writers") as session:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
        for table in ("plain", "captured"):
            session.execute(TABLE.format(table).encode())
            session.execute(f"alter table {table} add primary key (id)".encode())
            session.execute(f"vacuum analyze {table}".encode())
        session.execute(_DECLARE)
        for name, script, must, aim in (("relevant", RELEVANT, 0.88, 0.95), ("irrelevant", IRRELEVANT, 0.92, 0.97)):
            yield _single_rows(cluster, session, Path(directory), name, script, must, aim)
        ratios: list[float] = []
        for i in range(ROUNDS):
            took = {table: _bulk(session, table, i) for table in ("plain", "captured")}
            ratios.append(took["captured"] / took["plain"])
        yield Figure("1,000,000-row update, time ÷ without", median(ratios), "ratio", 1.25, 1.15, at_most=True)


def _single_rows(
    cluster: Cluster, session: Connection, directory: Path, name: str, script: str, must: float, aim: float
) -> Figure:
    ratios: list[float] = []
    for _ in range(ROUNDS):
        rates: dict[str, float] = {}
        for table in ("plain", "captured"):
            path = directory / f"{table}.sql"
            path.write_text(script.format(table), encoding="utf-8")
            session.execute("checkpoint")
            rates[table] = pgbench(cluster, path, "writers")
            session.execute("select vsync_internal.fold()")
            session.execute("truncate vsync_internal.log, vsync_internal.marks, vsync_internal.pages")
        ratios.append(rates["captured"] / rates["plain"])
    return Figure(
        f"single-row update, TPS ÷ without, {name} column",
        median(ratios),
        "ratio",
        must,
        aim,
        note=f"{CLIENTS} clients",
    )


def pgbench(cluster: Cluster, script: Path, dbname: str) -> float:
    """Return the transactions a second that pgbench reaches with a script."""
    command = [
        str(cluster.server.bindir / "pgbench"),
        "-n",
        "-M",
        "prepared",
        "-c",
        str(CLIENTS),
        "-j",
        "2",
        "-T",
        str(SECONDS),
    ]
    target = ["-h", str(cluster.directory), "-p", str(PORT), "-U", "postgres", "-f", str(script), dbname]
    printed = subprocess.run([*command, *target], capture_output=True, text=True, check=True).stdout
    match = re.search(r"tps = ([0-9.]+)", printed)
    assert match is not None, printed
    return float(match[1])


def _bulk(session: Connection, table: str, turn: int) -> float:
    session.execute(f"vacuum {table}".encode())
    session.execute("checkpoint")
    took = seconds(session, f"update {table} set body = left(body, 90) || '{turn}'")
    session.execute("truncate vsync_internal.log")
    return took
