"""The same work done by pgai and by vsync, in turn, and what either leaves behind when something goes wrong."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

from tests.bench.drain import BATCHES, Bare, rate
from tests.bench.freshness import latencies, percentile, worker
from tests.bench.measure import Connection, Figure, database, median, real_texts
from tests.bench.peer import endpoint, pgai
from tests.bench.switched import IRRELEVANT, RELEVANT, pgbench
from tests.bench.switched import ROWS as WRITTEN
from tests.fix_models import write_tiny_model
from vsync_admin import catalogue
from vsync_admin.cluster import Cluster

TEXTS = 4_000
ROWS = 20_000
ROUNDS = 3
RATE, DURATION = 20, 20
_DIMENSIONS = 384
_VSYNC = "select vsync.create_embedding('texts_search', 'select id, body as content from texts', %s, index => %s)"
_NO_INDEX = '{"type": "none"}'
_TABLE = f"""
create table {{}} as select i as id, repeat(md5(i::text), 3) as body, 0 as price, repeat('x', 80) as pad
from generate_series(1, {WRITTEN}) as i
"""
_FRESH = {
    "pgai": "select chunk from texts_vectors_store where chunk = any (%s)",
    "vsync": "select content from texts_search where content = any (%s)",
}


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure one thing after the other, each in databases of its own."""
    directory = str(catalogue.locate("minilm"))
    texts = real_texts(TEXTS)
    bare = Bare(directory)
    best = max(BATCHES, key=lambda batch: rate(bare, texts[:1000], batch))
    for figure in chain(
        _drains(cluster, directory, texts, bare, best),
        _rows(cluster),
        _writers(cluster),
        _freshness(cluster, directory, texts[:2_000], best),
        _waste(cluster, directory, texts[:200], best),
        _deleted(cluster),
        _poison(cluster),
    ):
        yield replace(figure, compared=figure.name.startswith("vsync"))


@contextmanager
def _pgai(cluster: Cluster, name: str, texts: Sequence[str]) -> Generator[Connection]:
    with database(cluster, name) as session:
        pgai.install(cluster, name)
        session.execute("create table texts (id int primary key, body text, seen int, touched timestamptz)")
        _fill(session, texts)
        yield session


@contextmanager
def _vsync(cluster: Cluster, name: str, directory: str | Path, texts: Sequence[str]) -> Generator[Connection]:
    with database(cluster, name) as session:
        session.execute("select vsync.register_model('model', %s)", [f"file://{directory}"])
        session.execute("create table texts (id int primary key, body text, seen int, touched timestamptz)")
        _fill(session, texts)
        yield session


def _fill(session: Connection, texts: Sequence[str]) -> None:
    with session.cursor() as cursor, cursor.copy("copy texts (id, body) from stdin") as copy:
        for row in enumerate(texts):
            copy.write_row(row)


def _vectorizer(session: Connection, served: endpoint.Endpoint, dimensions: int, batch: int | None = 1000) -> None:
    pgai.create_vectorizer(session, "texts", "body", endpoint=served.url, dimensions=dimensions, batch=batch)


def _declare(session: Connection, index: str = _NO_INDEX) -> None:
    session.execute(_VSYNC, ["model", index])


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _drains(cluster: Cluster, directory: str, texts: list[str], bare: Bare, best: int) -> Iterator[Figure]:
    reached: dict[str, list[float]] = {"pgai, best": [], "pgai, default": [], "vsync": []}
    for turn in range(ROUNDS):
        alone = rate(bare, texts, best)
        for name, batch in (("pgai, best", 1000), ("pgai, default", None)):
            database_name = f"drain_{turn}_{batch or 'default'}"
            with (
                _pgai(cluster, database_name, texts) as session,
                endpoint.serve(endpoint.model(directory, best)) as served,
            ):
                _vectorizer(session, served, _DIMENSIONS, batch)
                reached[name].append(len(texts) / pgai.drain(cluster, database_name) / alone)
        with _vsync(cluster, f"drain_{turn}_vsync", directory, texts) as session:
            _declare(session)
            session.execute("select vsync.embed('model', 'loads the model, as the endpoint has')")
            took = _seconds(lambda: session.execute("call vsync.work()"))
            reached["vsync"].append(len(texts) / took / alone)
    for name, ratios in reached.items():
        yield Figure(f"{name}: drain, texts/s ÷ bare loop", median(ratios), "ratio", note=f"{TEXTS} real texts")


def _rows(cluster: Cluster) -> Iterator[Figure]:
    texts = [f"text {i}" for i in range(ROWS)]
    with _pgai(cluster, "rows_pgai", texts) as session, endpoint.serve(endpoint.constant(8)) as served:
        _vectorizer(session, served, 8)
        note = "batch 1,000, a constant vector"
        yield Figure(
            "pgai: rows/s with a model that costs nothing", ROWS / pgai.drain(cluster, "rows_pgai"), "rows/s", note=note
        )
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        with _vsync(cluster, "rows_vsync", model, texts) as session:
            _declare(session)
            took = _seconds(lambda: session.execute("call vsync.work()"))
            yield Figure("vsync: rows/s with a model that costs nothing", ROWS / took, "rows/s", note="a tiny model")


def _writers(cluster: Cluster) -> Iterator[Figure]:
    tables = ("plain", "of_vsync", "of_pgai")
    with tempfile.TemporaryDirectory() as directory, database(cluster, "peer_writers") as session:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('model', %s)", [f"file://{model}"])
        pgai.install(cluster, "peer_writers")
        for table in tables:
            session.execute(_TABLE.format(table).encode())
            session.execute(f"alter table {table} add primary key (id)".encode())
            session.execute(f"vacuum analyze {table}".encode())
        session.execute("select vsync.create_embedding('search', 'select id, body as content from of_vsync', 'model')")
        pgai.create_vectorizer(session, "of_pgai", "body", endpoint="http://unused", dimensions=8, batch=None)
        for column, script in (("relevant", RELEVANT), ("irrelevant", IRRELEVANT)):
            ratios: dict[str, list[float]] = {table: [] for table in tables[1:]}
            for turn in range(ROUNDS):
                rates: dict[str, float] = {}
                for table in tables:
                    session.execute("checkpoint")
                    rates[table] = pgbench(cluster, "peer_writers", script.replace("items", table), turn)
                for table, values in ratios.items():
                    values.append(rates[table] / rates["plain"])
            for table, values in ratios.items():
                name = f"{table.removeprefix('of_')}: single-row update, TPS ÷ without, {column} column"
                yield Figure(name, median(values), "ratio")


def _freshness(cluster: Cluster, directory: str, texts: list[str], best: int) -> Iterator[Figure]:
    seen: dict[str, list[float]] = {}
    with _pgai(cluster, "fresh_pgai", texts) as session, endpoint.serve(endpoint.model(directory, best)) as served:
        _vectorizer(session, served, _DIMENSIONS)
        pgai.drain(cluster, "fresh_pgai")
        with pgai.worker(cluster, "fresh_pgai", poll="1s"):
            time.sleep(5)
            seen["pgai"] = latencies(cluster, session, _FRESH["pgai"], rate=RATE, duration=DURATION, rows=len(texts))
    with _vsync(cluster, "fresh_vsync", directory, texts) as session:
        _declare(session)
        session.execute("call vsync.work()")
        with worker(cluster, "fresh_vsync", DURATION + 30):
            seen["vsync"] = latencies(cluster, session, _FRESH["vsync"], rate=RATE, duration=DURATION, rows=len(texts))
    for name, found in seen.items():
        note = f"{RATE} updates/s" + (", poll 1 s" if name == "pgai" else "")
        yield Figure(f"{name}: commit to fresh, p50", 1000 * statistics.median(found), "ms", at_most=True, note=note)
        yield Figure(f"{name}: commit to fresh, p95", 1000 * percentile(found, 95), "ms", at_most=True, note=note)


def _waste(cluster: Cluster, directory: str, texts: list[str], best: int) -> Iterator[Figure]:
    """Count the texts that go to the model although none changed."""
    changes = {
        "an unrelated column changes": "update texts set seen = coalesce(seen, 0) + 1",
        "the same text is written again": "update texts set body = body, touched = now()",
    }
    with _pgai(cluster, "waste_pgai", texts) as session, endpoint.serve(endpoint.model(directory, best)) as served:
        _vectorizer(session, served, _DIMENSIONS)
        pgai.drain(cluster, "waste_pgai")
        for name, change in changes.items():
            served.texts.clear()
            session.execute(change.encode())
            pgai.drain(cluster, "waste_pgai")
            yield _embedded(f"pgai: texts embedded, {name}", len(served.texts), len(texts))
    with _vsync(cluster, "waste_vsync", directory, texts) as session:
        _declare(session)
        session.execute("call vsync.work()")
        for name, change in changes.items():
            before = _sent(session)
            session.execute(change.encode())
            session.execute("call vsync.work()")
            yield _embedded(f"vsync: texts embedded, {name}", _sent(session) - before, len(texts))


def _embedded(name: str, sent: int, rows: int) -> Figure:
    return Figure(name, sent, "texts", at_most=True, note=f"{rows} rows")


def _sent(session: Connection) -> int:
    row = session.execute("select inference_total from vsync.stat_embeddings").fetchone()
    assert row is not None
    return row[0]


def _deleted(cluster: Cluster) -> Iterator[Figure]:
    """Delete rows while the model runs over them, and count vectors without a row."""
    texts = [f"text {i}" for i in range(20)]
    begun = threading.Event()

    def slowly(given: Sequence[str]) -> list[list[float]]:
        begun.set()
        time.sleep(2)
        return endpoint.constant(8)(given)

    with _pgai(cluster, "deleted_pgai", texts) as session, endpoint.serve(slowly) as served:
        _vectorizer(session, served, 8)
        draining = threading.Thread(target=pgai.drain, args=(cluster, "deleted_pgai"))
        draining.start()
        begun.wait()
        session.execute("delete from texts")
        draining.join()
        yield _orphans("pgai", _count(session, "texts_vectors_store"))
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        with _vsync(cluster, "deleted_vsync", model, texts) as session:
            _declare(session)
            with worker(cluster, "deleted_vsync", 5):
                while not _count(session, "vsync_internal.leases"):
                    pass
                session.execute("delete from texts")
            session.execute("call vsync.work()")
            yield _orphans("vsync", _count(session, "texts_search"))


def _orphans(who: str, found: int) -> Figure:
    return Figure(f"{who}: orphans of 20 rows deleted while they are embedded", found, "vectors", at_most=True)


def _count(session: Connection, table: str) -> int:
    row = session.execute(f"select count(*) from {table}".encode()).fetchone()
    assert row is not None
    return row[0]


def _poison(cluster: Cluster) -> Iterator[Figure]:
    """Let one text of 200, the first, fail for good, and count the others that have vectors after a minute."""
    texts = ["poison", *(f"text {i}" for i in range(199))]

    def refuse(given: Sequence[str]) -> list[list[float]]:
        if "poison" in given:
            raise ValueError("this text cannot be embedded")
        return endpoint.constant(8)(given)

    with _pgai(cluster, "poison_pgai", texts) as session, endpoint.serve(refuse) as served:
        _vectorizer(session, served, 8, None)
        with pgai.worker(cluster, "poison_pgai", poll="1s"):
            time.sleep(60)
        yield Figure(
            "pgai: embedded of 199 beside one poison text",
            _count(session, "texts_vectors_store"),
            "texts",
            note="after 60 s",
        )
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        with _vsync(cluster, "poison_vsync", model, texts) as session:
            document = "select id, case when id = 0 then (1 / id)::text else body end as content from texts"
            session.execute(
                "select vsync.create_embedding('texts_search', %s, 'model', index => %s)", [document, _NO_INDEX]
            )
            with worker(cluster, "poison_vsync", 60):
                time.sleep(10)
                yield Figure(
                    "vsync: embedded of 199 beside one poison text",
                    _count(session, "texts_search"),
                    "texts",
                    note="after 10 s",
                )
