"""What asking costs: search beside the bare statement, the first query of a session, and fifty sessions at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from tests.bench.drain import DECLARE
from tests.bench.freshness import load
from tests.bench.measure import Connection, Figure, database, median, real_texts
from vsync_admin import catalogue
from vsync_admin.cluster import Cluster

TEXTS = 10_000
QUERIES = 200  # a session remembers 256
ROUNDS = 5
FIRST = 15
SESSIONS = 50
_SEARCH = "select key, content, distance from vsync.search('texts_search', %s, 10)"
_BARE = "select id, content, embedding <=> '{0}' from vsync_data.texts_search_v1 order by embedding <=> '{0}' limit 10"


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure with MiniLM over real texts."""
    texts = real_texts(TEXTS)
    with database(cluster, "queries") as session:
        session.execute("select vsync.register_model('minilm', %s)", [f"file://{catalogue.locate('minilm')}"])
        session.execute("create table texts (id int primary key, body text)")
        load(session, texts)
        session.execute(DECLARE)
        session.execute("call vsync.work()")
        session.execute("vacuum analyze")
        yield from _beside_the_bare_statement(session, [text[:60] for text in texts[:: TEXTS // QUERIES]])
        yield from _first_query(cluster)
        yield from _together(cluster, session)


def _beside_the_bare_statement(session: Connection, queries: list[str]) -> Iterator[Figure]:
    """Time search and the statement it stands for in turn, over vectors that the session remembers."""
    vectors: list[str] = []
    new: list[float] = []
    for query in queries:
        new.append(_timed(session, _SEARCH, [query]))
        (vector,) = session.execute("select vsync.query_vector('texts_search', %s)::text", [query]).fetchone() or ("",)
        vectors.append(vector)
    session.execute(
        "set hnsw.ef_search = 100; set hnsw.iterative_scan = strict_order; "
        "set enable_seqscan = off"  # as search has them
    )
    search: list[float] = []
    bare: list[float] = []
    for _ in range(ROUNDS):
        for query, vector in zip(queries, vectors, strict=True):
            bare.append(_timed(session, _BARE.format(vector)))
            search.append(_timed(session, _SEARCH, [query]))
    session.execute("reset all")
    note = f"{median(search):.2f} and {median(bare):.2f} ms, {TEXTS:,} texts, remembered queries"
    yield Figure("search ÷ bare statement, p50", median(search) / median(bare), "ratio", 3, 2, at_most=True, note=note)
    yield Figure("search for a new text, p50", median(new), "ms", note="with the model's call")


def _first_query(cluster: Cluster) -> Iterator[Figure]:
    took: list[float] = []
    for i in range(FIRST):
        with psycopg.connect(cluster.dsn("queries"), autocommit=True) as session:
            took.append(_timed(session, _SEARCH, [f"first query {i}"]))
    yield Figure("first query of a session, p50", median(took), "ms", 500, 250, at_most=True, note=f"of {FIRST}")


def _together(cluster: Cluster, session: Connection) -> Iterator[Figure]:
    """Let fifty sessions ask their first query at once, with a model each and with one for all."""
    session.execute("select vsync.configure('share_models', '0')")
    alone, alone_all, alone_took = _ask_together(cluster)
    session.execute("select vsync.configure('share_models', null)")
    shared, shared_all, took = _ask_together(cluster)
    yield Figure(
        f"memory of a session among {SESSIONS} ÷ with a model each",
        shared / alone,
        "ratio",
        0.7,
        0.5,
        at_most=True,
        note=f"private {shared:.0f} and {alone:.0f} MB; in all {shared_all:,.0f} and {alone_all:,.0f} MB",
    )
    yield Figure(
        f"{SESSIONS} first queries at once ÷ with a model each",
        took / alone_took,
        "ratio",
        1.0,
        at_most=True,
        note=f"{took:.1f} and {alone_took:.1f} s until all have answered",
    )


def _ask_together(cluster: Cluster) -> tuple[float, float, float]:
    """Return the private memory of a session, that of all with mapped files counted once, in MB, and the seconds."""
    with _sessions(cluster) as sessions:
        begin = threading.Barrier(SESSIONS + 1)

        def ask(session: Connection, number: int) -> None:
            begin.wait()
            session.execute(_SEARCH, [f"query of session {number}"])

        threads = [threading.Thread(target=ask, args=(session, i)) for i, session in enumerate(sessions)]
        for thread in threads:
            thread.start()
        begin.wait()
        start = time.perf_counter()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - start
        private = [_memory(session, "Pss_Anon") for session in sessions]
        files = [_memory(session, "Pss_File") for session in sessions]
        return median(private), sum(private) + sum(files), took


@contextmanager
def _sessions(cluster: Cluster) -> Iterator[list[Connection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(psycopg.connect(cluster.dsn("queries"), autocommit=True)) for _ in range(SESSIONS)]


def _memory(session: Connection, field: str) -> float:
    """Return a part of the memory of a session's process in MB; shared buffers are in neither of the two."""
    rollup = Path(f"/proc/{session.info.backend_pid}/smaps_rollup").read_text(encoding="ascii")
    return int(rollup.split(f"{field}:")[1].split()[0]) / 1024


def _timed(session: Connection, statement: str, arguments: list[str] | None = None) -> float:
    start = time.perf_counter()
    session.execute(statement.encode(), arguments).fetchall()
    return (time.perf_counter() - start) * 1000
