"""Readers and writers without pause while versions are added, activated, rolled back and dropped."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from shop import Connection, rows, run, value
from versions.rollout import activate, add_version, assert_clean, work

_ROUNDS = 10
_VIEW = (
    "select id, version, embedding <=> vsync.query_vector('catalog', 'product 9') from shop.catalog "
    "order by embedding <=> vsync.query_vector('catalog', 'product 9') limit 1"
)
_SEARCH = "select (key ->> 'id')::int, version, distance from vsync.search('catalog', 'product 9', 1)"
_WHOLE = (
    "select count(distinct version), count(*), count(distinct id), count(distinct vector_dims(embedding)) "
    "from shop.catalog"
)
_BEGINNINGS = ("", "begin", "begin isolation level repeatable read")


class Reader:
    """One session that reads in a loop; `wrong` has what it should not have seen."""

    def __init__(self, session: Connection, begin: str) -> None:
        self.wrong: list[object] = []
        self.seen: set[int] = set()
        self.rounds = 0
        self._session = session
        self._begin = begin
        run(session, f"prepare viewed as {_VIEW}; prepare searched as {_SEARCH}; prepare whole as {_WHOLE}")

    def read(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._look()
            except psycopg.Error as error:
                self.wrong.append(error)
                return
            self.rounds += 1

    def _look(self) -> None:
        if self._begin:
            run(self._session, self._begin)
        versions: set[int] = set()
        for query in (_VIEW, "execute viewed", _SEARCH, "execute searched"):
            found = rows(self._session, query)
            # another space's vectors are nowhere near: the document's own text is at distance 0 in its own
            if [row[0] for row in found] != [9] or abs(found[0][2]) > 1e-4:
                self.wrong.append((query, found))
            versions |= {row[1] for row in found}
        for query in (_WHOLE, "execute whole"):
            if (found := rows(self._session, query)) != [(1, 20, 20, 1)]:
                self.wrong.append((query, found))
        if len(versions) > 1 and "repeatable" in self._begin:
            self.wrong.append(versions)
        self.seen |= versions
        if self._begin:
            run(self._session, "commit")


@contextmanager
def running(*loops: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=loop, args=(stop,)) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_no_reader_sees_two_versions_or_misses_a_document(shop: Connection, connect: Callable[..., Connection]) -> None:
    readers = [Reader(connect(), begin) for begin in _BEGINNINGS]
    writer = connect()

    def write(stop: threading.Event) -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            run(writer, "update shop.products set title = 'edited ' || %s where id = 10 + %s", number, number % 10 + 1)

    with running(write, *(reader.read for reader in readers)):
        for number in range(_ROUNDS):
            _round(shop, ("other", "wide", "tiny")[number % 3])
    assert [reader.wrong for reader in readers] == [[], [], []]
    for reader in readers:
        assert reader.rounds > _ROUNDS
        assert len(reader.seen) > _ROUNDS / 2
    work(shop)
    served = value(shop, "select active_version from vsync.embeddings")
    assert_clean(shop, served)


def _round(db: Connection, model: str) -> None:
    before = value(db, "select active_version from vsync.embeddings")
    version = _patiently(db, lambda: add_version(db, model=model))
    work(db)
    activate(db, version)
    assert value(db, "select vsync.rollback_version('catalog')") == before
    activate(db, version)
    work(db)
    assert value(db, "select vsync.end_rollback('catalog')") is True
    _patiently(db, lambda: value(db, "select vsync.drop_version('catalog', %s)", before))


def _patiently(db: Connection, call: Callable[[], int]) -> int:
    """Call again while a reader is in the way, as the documentation says."""
    for _ in range(100):
        try:
            return call()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            continue
        except psycopg.Error as error:
            if error.sqlstate != "VS404":
                raise
            run(db, "select pg_sleep(0.02)")
    pytest.fail("a reader was in the way a hundred times")
