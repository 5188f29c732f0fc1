"""Where the time of a backlog and of fresh changes goes, by the stages of a document's way."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

import psycopg

from tests.bench.drain import DECLARE
from tests.bench.measure import Figure, database, real_texts
from vsync_admin import catalogue
from vsync_admin.cluster import Cluster
from vsync_engine import models, statements, worker
from vsync_engine.host import PsycopgHost, Row, Statement
from vsync_engine.model import Model

TEXTS = 3_000
T = TypeVar("T")

_STAGES = {
    "fold": (statements.FOLD, statements.EXPAND, statements.BACKFILL),
    "claim": (statements.CLAIM, statements.RESERVE, statements.RELEASE, statements.RENEW),
    "render": (statements.RENDER,),
    "publish": (statements.PUBLISH,),
    "index": (statements.BUILD_INDEX,),
}
_BY_STATEMENT = {statement: stage for stage, members in _STAGES.items() for statement in members}


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    def time(self, stage: str, call: Callable[[], T]) -> T:
        """Run a call and count its time for a stage."""
        start = time.perf_counter()
        try:
            return call()
        finally:
            self.spent[stage] += time.perf_counter() - start


class TimedHost(PsycopgHost):
    """A connection whose statements are timed."""

    def __init__(self, connection: Any, clock: Clock) -> None:
        super().__init__(connection)
        self._clock = clock

    def rows(self, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement and count its time."""
        stage = _BY_STATEMENT.get(statement, "the rest")
        return self._clock.time(stage, lambda: super(TimedHost, self).rows(statement, *arguments))

    def commit(self) -> None:
        """Commit and count the time."""
        self._clock.time("commit", lambda: super(TimedHost, self).commit())


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Run the loop in this process over a connection, where each part can be timed."""
    directory = catalogue.locate("minilm")
    texts = real_texts(TEXTS)
    with database(cluster, "breakdown") as session:
        session.execute("select vsync.register_model('minilm', %s)", [f"file://{directory}"])
        session.execute("create table texts (id int primary key, body text)")
        with session.cursor() as cursor, cursor.copy("copy texts from stdin") as copy:
            for row in enumerate(texts):
                copy.write_row(row)
        session.execute(DECLARE)
        yield from _shares("a backlog", *_drain(cluster))
        session.execute("update texts set body = 'again ' || body where id < 1000")
        yield from _shares("1,000 changes, with the index", *_drain(cluster))


def _drain(cluster: Cluster) -> tuple[Clock, float]:
    clock = Clock()
    with psycopg.connect(cluster.dsn("breakdown")) as connection, _timed(clock):
        host = TimedHost(connection, clock)
        start = time.perf_counter()
        worker.work(host, None, None)
        return clock, time.perf_counter() - start


@contextmanager
def _timed(clock: Clock) -> Generator[None]:
    """Time what happens outside the database."""
    parts = ((Model, "encode", "tokenise"), (Model, "run", "infer"), (models, "load", "load the model"))
    with ExitStack() as stack:
        for owner, name, stage in parts:
            stack.enter_context(patch.object(owner, name, _counted(clock, stage, getattr(owner, name))))
        yield


def _counted(clock: Clock, stage: str, call: Callable[..., T]) -> Callable[..., T]:
    return lambda *given: clock.time(stage, lambda: call(*given))


def _shares(what: str, clock: Clock, total: float) -> Iterator[Figure]:
    parts = dict(clock.spent)
    parts["Python, waiting"] = total - sum(parts.values())
    note = f"{total:.2f} s in all"
    for stage, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        yield Figure(f"{what}: {stage}", 100 * seconds / total, "%", note=note)
