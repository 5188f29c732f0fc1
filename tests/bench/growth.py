"""What each stage costs in tables of a thousand to ten million documents, of which 10,000 change, evenly spread.

The largest table is that of the environment's LARGEST, a million unless told. What workers would have stored is
written by SQL; the model is a tiny one of 8 dimensions. There is no vector index unless the measure says so, and none
above 100,000. Updates are those of one session, commit included, which does not wait for the disk; each search is
for another text, without an index an exact scan.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.measure import Connection, Figure, database, median, seconds
from tests.bench.stages import drain
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import Cluster

SIZES = tuple(10**power for power in range(3, 8))
LARGEST = int(os.environ.get("LARGEST") or 1_000_000)
CHANGED = 10_000
ROUNDS = 3
_INDEXED = 100_000  # documents up to which an HNSW index is built
_SINGLE = 500  # updates of one row
_REPEATED = 1.0  # seconds
_TABLE = """
create table docs as
select i as id, 'title ' || i || ' ' || md5(i::text) as body from generate_series(1, {}) as i
"""
_DECLARE = """
select vsync.create_embedding('docs_search', 'select id, body as content from docs', 'tiny',
    index => '{"type": "none"}')
"""
_STORE = """
insert into vsync_data.docs_search_v1 (id, chunk, chunks, content, content_hash, document_hash, embedding, truncated,
    token, captured_at, embedded_at, worker)
select d.id, 0, 1, d.body, h.hash, h.hash,
    array[random(), random(), random(), random(), random(), random(), random(), random()]::vector, false,
    0, now(), now(), 0
from docs as d, lateral (select sha256(d.body::bytea) as hash) as h
"""
_INDEX = """update vsync_internal.versions set index = '{"type": "hnsw", "distance": "cosine"}'"""
_AUDIT = "select checked, missing + extra + stale + mixed from vsync.audit('docs_search')"


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure one size after the other, each in a database of its own."""
    for size in SIZES:
        if size <= LARGEST:
            with tempfile.TemporaryDirectory() as directory, database(cluster, f"growth_{size}") as session:
                Path(directory).chmod(0o755)
                model = write_tiny_model(Path(directory) / "tiny")
                session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
                for measure, value, unit in _costs(session, size):
                    yield Figure(f"{size:,} documents: {measure}", value, unit, at_most=True)


def _costs(session: Connection, size: int) -> Iterator[tuple[str, float, str]]:
    session.execute(_TABLE.format(size).encode())
    session.execute("alter table docs add primary key (id)")
    session.execute("vacuum analyze docs")
    session.execute("set synchronous_commit = off")
    changed = min(size, CHANGED)
    yield "update of one row, not captured", _single(session, size), "µs"
    yield "update of many, a row, not captured", median([_bulk(session, size) for _ in range(ROUNDS)]), "µs"
    session.execute(_DECLARE)
    session.execute(_STORE)
    session.execute("update vsync_internal.progress set phase = 'done'")
    session.execute("vacuum analyze docs")
    session.execute("vacuum analyze vsync_data.docs_search_v1")
    session.execute("checkpoint")
    yield "update of one row, captured", _single(session, size), "µs"
    drain(session.info.dsn)
    bulk: list[float] = []
    for stage, spent in _stages(session, size, bulk, ROUNDS):
        yield f"{stage}, a document", 1e6 * spent / changed, "µs"
    yield "update of many, a row, captured", median(bulk), "µs"
    yield "audit, a document", 1e6 * _repeated(lambda: _audit(session, size)) / size, "µs"
    yield "search, no index", 1e3 * _repeated(lambda: _search(session)), "ms"
    if size <= _INDEXED:
        session.execute(_INDEX)
        drain(session.info.dsn)
        yield "search, HNSW", 1e3 * _repeated(lambda: _search(session)), "ms"
        published = [spent for stage, spent in _stages(session, size, [], 1) if stage == "publish"]
        yield "publish with HNSW, a document", 1e6 * published[0] / changed, "µs"


def _single(session: Connection, size: int) -> float:
    """Update single rows; return the µs that one takes."""
    rows = range(1, size + 1, max(1, size // _SINGLE))[:_SINGLE]
    took: list[float] = []
    for row in rows:
        start = time.perf_counter()
        session.execute("update docs set body = body || '.' where id = %s", [row])
        took.append(time.perf_counter() - start)
    return 1e6 * median(took)


def _bulk(session: Connection, size: int) -> float:
    """Update rows in one statement, found by their keys; return the µs a row."""
    step = max(1, size // CHANGED)
    keys = f"array(select generate_series({step}, {size}, {step}))"
    took = seconds(session, f"update docs set body = body || '!' where id = any ({keys})")
    return 1e6 * took / min(size, CHANGED)


def _stages(session: Connection, size: int, bulk: list[float], rounds: int) -> Iterator[tuple[str, float]]:
    """Change rows and work them off, some times; yield the seconds that fold, claim, render and publish take."""
    spent: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        bulk.append(_bulk(session, size))
        for stage, took in drain(session.info.dsn)[0].items():
            spent[stage].append(took)
    for stage in ("fold", "claim", "render", "publish"):
        yield stage, median(spent[stage])


def _repeated(call: Callable[[], object]) -> float:
    """Call for a second, once at least; return the median of the seconds a call."""
    took: list[float] = []
    end = time.perf_counter() + _REPEATED
    while not took or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return median(took)


def _audit(session: Connection, size: int) -> None:
    found = session.execute(_AUDIT).fetchone()
    assert found == (size, 0), found


def _search(session: Connection) -> None:
    found = session.execute("select from vsync.search('docs_search', %s, 10)", [f"title {time.perf_counter_ns()}"])
    assert found.rowcount == 10
