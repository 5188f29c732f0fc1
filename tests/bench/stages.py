"""The worker's loop in this process, over a connection, with the time of each stage of a document's way."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

import psycopg

from vsync_engine.foundation.host import PsycopgHost, Row, Statement
from vsync_engine.models import session_cache
from vsync_engine.models.embedder import Model
from vsync_engine.refresh import statements, worker

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


def drain(dsn: str) -> tuple[dict[str, float], float]:
    """Work off all that waits; return the seconds of each stage, and of all."""
    clock = Clock()
    with psycopg.connect(dsn) as connection, _timed(clock):
        host = TimedHost(connection, clock)
        start = time.perf_counter()
        worker.work(host, None, None)
        return dict(clock.spent), time.perf_counter() - start


@contextmanager
def _timed(clock: Clock) -> Generator[None]:
    """Time what happens outside the database."""
    parts = ((Model, "encode", "tokenise"), (Model, "run", "infer"), (session_cache, "load", "load the model"))
    with ExitStack() as stack:
        for owner, name, stage in parts:
            stack.enter_context(patch.object(owner, name, _counted(clock, stage, getattr(owner, name))))
        yield


def _counted(clock: Clock, stage: str, call: Callable[..., T]) -> Callable[..., T]:
    return lambda *given, **named: clock.time(stage, lambda: call(*given, **named))
