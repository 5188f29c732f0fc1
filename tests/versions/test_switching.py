"""Readers and writers without pause while versions are added, activated, rolled back and dropped; real models, too."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from fix_models import package_texts
from shop import DOCUMENT, Connection, register, rows, run, value
from versions.rollout import activate, add_version, assert_clean, work

_ROUNDS = 10
_KEY = 9  # the document whose own text is asked for; writers leave it alone
_VIEW = (
    "select id, version, embedding <=> vsync.query_vector('catalog', {0}) from shop.catalog "
    "order by embedding <=> vsync.query_vector('catalog', {0}) limit 1"
)
_SEARCH = "select (key ->> 'id')::int, version, distance from vsync.search('catalog', {0}, 1)"
_WHOLE = (
    "select count(distinct version), count(*), count(distinct id), count(distinct vector_dims(embedding)) "
    "from shop.catalog"
)
_BEGINNINGS = ("", "begin", "begin isolation level repeatable read")


class Reader:
    """One session that reads in a loop; `wrong` has what it should not have seen."""

    def __init__(self, session: Connection, begin: str, near: float) -> None:
        self.wrong: list[object] = []
        self.seen: set[int] = set()
        self.rounds = 0
        self._session = session
        self._begin = begin
        self._near = near
        text = value(session, "select quote_literal(title) from shop.products where id = %s", _KEY)
        self._queries = (_VIEW.format(text), "execute viewed", _SEARCH.format(text), "execute searched")
        view, _, search, _ = self._queries
        run(session, f"prepare viewed as {view}; prepare searched as {search}; prepare whole as {_WHOLE}")

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
        for query in self._queries:
            found = rows(self._session, query)
            # another space's vectors are nowhere near: the document's own text is at distance 0 in its own
            if [row[0] for row in found] != [_KEY] or abs(found[0][2]) > self._near:
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
    _switch(shop, connect, ("other", "wide", "tiny"), near=1e-4)


def test_no_reader_of_real_models_sees_two_versions_or_misses_a_document(
    db: Connection, connect: Callable[..., Connection], minilm: Path, paraphrase: Path, tiny_model_16: Path
) -> None:
    for name, directory in (("minilm", minilm), ("paraphrase", paraphrase), ("wide", tiny_model_16)):
        register(db, directory, name)
    dimensions = rows(db, "select dimensions from vsync.models order by 1")
    assert dimensions == [(16,), (384,), (384,)]
    run(db, "create schema shop; create table shop.products (id int primary key, title text)")
    texts = [text.replace("%", "")[:120] for text in package_texts(20)]
    db.cursor().executemany("insert into shop.products values (%s, %s)", list(enumerate(texts, 1)))
    run(db, f"select vsync.create_embedding('catalog', '{DOCUMENT}', 'minilm')")
    work(db)
    # the scale of 8-bit activations depends on what else is in the batch
    _switch(db, connect, ("paraphrase", "wide", "minilm"), near=0.05)


def _switch(db: Connection, connect: Callable[..., Connection], models: Sequence[str], near: float) -> None:
    readers = [Reader(connect(), begin, near) for begin in _BEGINNINGS]
    writer = connect()

    def write(stop: threading.Event) -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            run(writer, "update shop.products set title = 'edited ' || %s where id = 10 + %s", number, number % 10 + 1)

    with running(write, *(reader.read for reader in readers)):
        for number in range(_ROUNDS):
            _round(db, models[number % len(models)])
    assert [reader.wrong for reader in readers] == [[], [], []]
    for reader in readers:
        assert reader.rounds > _ROUNDS
        assert len(reader.seen) > _ROUNDS / 2
    work(db)
    served = value(db, "select active_version from vsync.embeddings")
    assert_clean(db, served)


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
