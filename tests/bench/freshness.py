"""From commit to fresh vector under a steady trickle; what an idle worker costs; whether its memory grows."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.bench.drain import DECLARE
from tests.bench.measure import Connection, Figure, database, real_texts
from vsync_admin import catalogue
from vsync_admin.cluster import Cluster

RATE = 50
TRICKLE = 60
IDLE = 20
MEMORY_TEXTS = 20_000
_TICKS = 100
_FRESH = "select content from texts_search where content = any (%s)"


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure with MiniLM over real texts."""
    directory = catalogue.locate("minilm")
    with database(cluster, "freshness") as session:
        session.execute("select vsync.register_model('minilm', %s)", [f"file://{directory}"])
        session.execute("create table texts (id int primary key, body text)")
        texts = real_texts(5_000)
        load(session, texts[:2_000])
        session.execute(DECLARE)
        session.execute("call vsync.work()")
        with worker(cluster, "freshness", TRICKLE + IDLE + 30) as pid:
            yield from _latency(cluster, session)
            time.sleep(5)
            before = _cpu(pid)
            time.sleep(IDLE)
            yield Figure("idle worker, CPU", 100 * (_cpu(pid) - before) / IDLE, "%", 2, 0.5, at_most=True)


def memory(cluster: Cluster) -> Iterator[Figure]:
    """Measure the private memory of one worker's backend over texts that are all new; shared buffers are left out."""
    with database(cluster, "memory") as session:
        session.execute("select vsync.register_model('minilm', %s)", [f"file://{catalogue.locate('minilm')}"])
        session.execute("create table texts (id int primary key, body text)")
        session.execute(DECLARE)
        yield from _memory(session, real_texts(5_000))


def load(session: Connection, texts: list[str]) -> None:
    with session.cursor() as cursor, cursor.copy("copy texts from stdin") as copy:
        for row in enumerate(texts):
            copy.write_row(row)


class worker:
    """A worker session for some time; its backend's pid."""

    def __init__(self, cluster: Cluster, dbname: str, duration: int) -> None:
        self._session = psycopg.connect(cluster.dsn(dbname), autocommit=True)
        self._thread = threading.Thread(target=self._work, args=(duration,))

    def _work(self, duration: int) -> None:
        with suppress(psycopg.errors.QueryCanceled):
            self._session.execute(f"call vsync.work(duration => '{duration} s')".encode())

    def __enter__(self) -> int:
        self._thread.start()
        return self._session.info.backend_pid

    def __exit__(self, *_: object) -> None:
        self._session.cancel()
        self._thread.join()
        self._session.close()


def _cpu(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _latency(cluster: Cluster, session: Connection) -> Iterator[Figure]:
    seen = latencies(cluster, session, _FRESH, rate=RATE, duration=TRICKLE, rows=2_000)
    note = f"{RATE} updates/s for {TRICKLE} s"
    yield Figure("commit to fresh, p50", 1000 * statistics.median(seen), "ms", 150, 50, at_most=True, note=note)
    yield Figure("commit to fresh, p95", 1000 * percentile(seen, 95), "ms", 600, 200, at_most=True, note=note)


def latencies(cluster: Cluster, session: Connection, fresh: str, *, rate: int, duration: int, rows: int) -> list[float]:
    """Return, in order of length, the seconds from each commit to table texts until another session finds its vector.

    fresh: query for those of a list of texts that have one. rate: updates a second. rows: how many rows take turns.
    """
    waiting: dict[str, float] = {}
    seen: list[float] = []
    done = threading.Event()

    def watch() -> None:
        with psycopg.connect(cluster.dsn(session.info.dbname), autocommit=True) as reader:
            while not done.is_set() or waiting:
                found = reader.execute(fresh.encode(), [list(waiting)]).fetchall()
                now = time.perf_counter()
                for (content,) in found:
                    if content in waiting:
                        seen.append(now - waiting.pop(content))
                time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    for i in range(rate * duration):
        text = f"update {i} of a package that sorts mail by sender and date"
        session.execute("update texts set body = %s where id = %s", [text, i % rows])
        waiting[text] = time.perf_counter()
        time.sleep(max(0.0, start + (i + 1) / rate - time.perf_counter()))
    done.set()
    watcher.join()
    return sorted(seen)


def percentile(ordered: list[float], percent: int) -> float:
    """Return a percentile of values in order."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _memory(session: Connection, texts: list[str]) -> Iterator[Figure]:
    pid = session.info.backend_pid
    resident: list[float] = []
    for i in range(MEMORY_TEXTS // len(texts)):
        session.execute("truncate texts")
        load(session, [f"{i} {text}" for text in texts])
        session.execute("call vsync.work()")
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        resident.append(int(status.split("RssAnon:")[1].split()[0]) / 1024)
    note = " → ".join(f"{size:.0f}" for size in resident) + " MB"
    growth = resident[-1] / resident[0]
    yield Figure("worker memory, 20,000 texts ÷ 5,000", growth, "ratio", 1.05, at_most=True, note=note)
