"""What 1 to 50 embeddings of one table cost: its writers, the fold and the workers. All read the same column."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Connection, Figure, database, median, seconds
from tests.bench.stages import drain
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import Cluster

COUNTS = (1, 2, 5, 10, 20, 50)
ROWS = 2_000
SINGLE = 500
ROUNDS = 5
_TABLE = f"""
create table texts as select i as id, 'title ' || i || ' ' || md5(i::text) as body from generate_series(1, {ROWS}) as i
"""
_DECLARE = """
select vsync.create_embedding(%s, 'select id, body as content from texts', 'tiny', index => '{"type": "none"}')
"""


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure with ever more embeddings; writers in one session, whose commits do not wait for the disk."""
    with tempfile.TemporaryDirectory() as directory, database(cluster, "embeddings") as session:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
        session.execute(_TABLE.encode())
        session.execute("alter table texts add primary key (id)")
        session.execute("set synchronous_commit = off")
        alone: dict[str, float] = {}
        for count in COUNTS:
            for number in range(session.execute("select count(*) from vsync.embeddings").fetchall()[0][0], count):
                session.execute(_DECLARE, [f"search_{number}"])
            drain(session.info.dsn)
            writer = {"update of one row": _single(session), "update of all rows": 0.0}
            drain(session.info.dsn)
            bulk: list[float] = []
            folded: list[float] = []
            drained: list[float] = []
            for turn in range(ROUNDS):
                bulk.append(seconds(session, f"update texts set body = left(body, 40) || '{turn}'"))
                spent, total = drain(session.info.dsn)
                folded.append(spent["fold"])
                drained.append(total)
                session.execute("vacuum texts, vsync_internal.marks")
            writer["update of all rows"] = median(bulk)
            many = f"{count} {'embedding' if count == 1 else 'embeddings'}"
            for name, took in writer.items():
                first = alone.setdefault(name, took)
                note = f"{1e3 * first:.3g} ms with one" if count == 1 else ""
                yield Figure(f"{many}: {name}, time ÷ with one", took / first, "ratio", at_most=True, note=note)
            documents = ROWS * count
            yield Figure(f"{many}: fold, a mark", 1e6 * median(folded) / documents, "µs", at_most=True)
            yield Figure(f"{many}: drain", documents / median(drained), "documents/s")


def _single(session: Connection) -> float:
    """Update rows one by one; return the seconds that one takes."""
    took: list[float] = []
    for row in range(1, SINGLE + 1):
        start = time.perf_counter()
        session.execute("update texts set body = body || '.' where id = %s", [row])
        took.append(time.perf_counter() - start)
    return median(took)
