"""How fast 1 to 8 workers drain one backlog with a model that costs next to nothing, each a session of the server."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.bench.measure import Connection, Figure, database, median
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import Cluster

WORKERS = (1, 2, 4, 8)
ROWS = 50_000
ROUNDS = 3
_TABLE = f"""
create table texts as
select i as id, 'title ' || i as title, md5(i::text) || ' some words here ' || md5((i * 7)::text) as body
from generate_series(1, {ROWS}) as i
"""
_DECLARE = """
select vsync.create_embedding('texts_search', 'select id, title || body as content from texts', 'tiny',
    index => '{"type": "none"}')
"""


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure each number in turn, on rows whose text has just changed; the sessions have loaded the model."""
    with tempfile.TemporaryDirectory() as directory, database(cluster, "workers") as session, ExitStack() as stack:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
        session.execute("select vsync.configure('threads', '1')")
        session.execute(_TABLE.encode())
        session.execute("alter table texts add primary key (id)")
        session.execute(_DECLARE)
        session.execute("call vsync.work()")
        workers = [
            stack.enter_context(psycopg.connect(cluster.dsn("workers"), autocommit=True)) for _ in range(max(WORKERS))
        ]
        for worker in workers:
            worker.execute("select vsync.embed('tiny', 'loads the model')")
        reached: dict[int, list[float]] = {count: [] for count in WORKERS}
        for _ in range(ROUNDS):
            for count, rates in reached.items():
                session.execute("update texts set body = body || 'x'")
                rates.append(ROWS / _drain(workers[:count]))
                session.execute("vacuum texts, vsync_data.texts_search_v1, vsync_internal.marks")
        for count, rates in reached.items():
            name = f"{count} {'worker' if count == 1 else 'workers'}: changed text"
            yield Figure(name, median(rates), "rows/s", note=f"{ROWS:,} rows, one thread a worker")


def _drain(workers: list[Connection]) -> float:
    """Have all of them work until nothing is left; return the seconds."""
    start = time.perf_counter()
    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(lambda worker: worker.execute("call vsync.work()"), workers))
    return time.perf_counter() - start
