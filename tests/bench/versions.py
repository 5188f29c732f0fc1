"""Switching versions with a million vectors, and what searches notice of a backfill and of a switch."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.bench.measure import Connection, Figure, database, median, real_texts, seconds
from tests.fix_models import write_tiny_model
from vsync_admin import catalogue
from vsync_admin.cluster import Cluster

VECTORS = 1_000_000
SWITCHES = 10
TEXTS = 4_000
SEARCHED = 8.0  # seconds
_MANY = f"create table many as select i as id, 'text ' || i as title from generate_series(1, {VECTORS}) as i"
_DECLARE = """
select vsync.create_embedding('many_search', 'select id, title as content from many', 'tiny',
    index => '{"type": "none"}')
"""
_STRAIGHT = """
insert into vsync_data.many_search_v{} (id, chunk, chunks, content, content_hash, document_hash, embedding, truncated,
    token, captured_at, embedded_at, worker)
select m.id, 0, 1, m.title, h.hash, h.hash, array[m.id, 1, 0, 0, 0, 0, 0, 0]::vector, false, 0, now(), now(), 0
from many as m, lateral (select sha256(convert_to(m.title, 'UTF8')) as hash) as h
"""
_SEARCH = "select key from vsync.search('texts_search', %s, 10)"


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure the switch, then searches with real models on one worker of one thread."""
    yield from _switch(cluster)
    yield from _searches(cluster)


def _switch(cluster: Cluster) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory, database(cluster, "switch") as session:
        Path(directory).chmod(0o755)
        for seed, name in enumerate(("tiny", "other")):
            model = write_tiny_model(Path(directory) / name, seed=seed)
            session.execute("select vsync.register_model(%s, %s)", [name, f"file://{model}"])
        session.execute(_MANY.encode())
        session.execute("alter table many add primary key (id)")
        session.execute(_DECLARE.encode())
        session.execute("select vsync.add_version('many_search', 'other')")
        for version in (1, 2):
            session.execute(_STRAIGHT.format(version).encode())
        session.execute("update vsync_internal.progress set phase = 'done'")
        session.execute("select vsync_internal.settle_versions()")
        took: list[float] = []
        for _ in range(SWITCHES):
            took.append(seconds(session, "select vsync.activate_version('many_search', 2)") * 1000)
            took.append(seconds(session, "select vsync.rollback_version('many_search')") * 1000)
        yield Figure(
            f"activation or rollback with {VECTORS:,} vectors, median",
            median(took),
            "ms",
            10,
            at_most=True,
            note=f"slowest of {len(took)}: {max(took):.1f} ms",
        )


def _searches(cluster: Cluster) -> Iterator[Figure]:
    texts = real_texts(TEXTS)
    with database(cluster, "searches") as session, psycopg.connect(cluster.dsn("searches"), autocommit=True) as reader:
        for name, model in (("old", "paraphrase-minilm-l3"), ("new", "minilm")):
            session.execute("select vsync.register_model(%s, %s)", [name, f"file://{catalogue.locate(model)}"])
        session.execute("create table texts (id int primary key, body text)")
        session.cursor().executemany("insert into texts values (%s, %s)", list(enumerate(texts)))
        session.execute("select vsync.create_embedding('texts_search', 'select id, body as content from texts', 'old')")
        session.execute("call vsync.work()")
        session.execute("select vsync.configure('threads', '1')")
        _searched(reader, texts, 1)
        before = _p95(_searched(reader, texts, SEARCHED))
        session.execute("select vsync.add_version('texts_search', 'new')")
        with (
            psycopg.connect(cluster.dsn("searches"), autocommit=True) as worker,
            _background(worker, "call vsync.work()") as done,
        ):
            during = _searched(reader, texts, SEARCHED)
            was_done = done.is_set()
        yield Figure(
            "search during a backfill, p95 ÷ before",
            _p95(during) / before,
            "ratio",
            1.5,
            at_most=True,
            note=f"before {before:.1f} ms, {len(during)} searches; one worker, one thread"
            + (", the backfill ended early" if was_done else ""),
        )
        session.execute("select vsync.activate_version('texts_search', 2)")
        _searched(reader, texts, 1)
        after = _p95(_searched(reader, texts, SEARCHED))
        with _background(session, _switching()):
            across = _searched(reader, texts, SEARCHED)
        yield Figure(
            "search across switches, one every 0.4 s, p95 ÷ the slower version alone",
            _p95(across) / max(before, after),
            "ratio",
            1.5,
            at_most=True,
            note=f"alone {before:.1f} and {after:.1f} ms, {len(across)} searches",
        )


def _switching() -> str:
    turn = "select vsync.rollback_version('texts_search'); select pg_sleep(0.4); "
    return (turn + "select vsync.activate_version('texts_search', 2); select pg_sleep(0.4); ") * SWITCHES


@contextmanager
def _background(session: Connection, statements: str) -> Iterator[threading.Event]:
    """Run statements, each in a transaction of its own, beside the body; yields what tells when they are done."""
    done = threading.Event()

    def run() -> None:
        for statement in filter(str.strip, statements.split(";")):
            session.execute(statement.encode())
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        thread.join()


def _searched(reader: Connection, texts: list[str], length: float) -> list[float]:
    """Search for the beginnings of real texts, each another query; return how long each took, in ms."""
    chance = random.Random(len(texts))
    took: list[float] = []
    end = time.perf_counter() + length
    while (start := time.perf_counter()) < end:
        reader.execute(_SEARCH, [f"{chance.choice(texts)[:60]} {len(took)}"])
        took.append((time.perf_counter() - start) * 1000)
    return took


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]
