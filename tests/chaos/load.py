"""The load under which things break: a small shop, writers that keep a journal of it, workers that never give up."""

import random
import time
from contextlib import suppress
from pathlib import Path
from threading import Event

import psycopg

from chaos.journal import Change, Journal
from fix_cluster import Connection
from races.steps import in_background

KINDS = 20
TOGETHER = 20
DOCUMENT = "select i.id, k.name || ': ' || i.body as content from shop.items as i join shop.kinds as k on k.id = i.kind"

_TABLES = """
create schema shop;
create table shop.kinds (id int primary key, name text not null);
create table shop.items (id int primary key, kind int not null, body text, price numeric default 0);
create index on shop.items (kind);
create table shop.writers (id int primary key, number bigint not null)"""
_UPSERT = """insert into shop.items (id, kind, body) select * from unnest(%s::int[], %s::int[], %s::text[]) as u
on conflict (id) do update set kind = excluded.kind, body = excluded.body"""


def open_shop(
    session: Connection,
    journal: Journal,
    model: Path,
    *,
    rows: int = 0,
    capture: str = "trigger",
    index: str = "none",
    document: str = DOCUMENT,
) -> None:
    """Make the tables with rows in them, the model `tiny` and the embedding `found`."""
    session.execute(_TABLES)
    session.execute("insert into shop.kinds select g, 'kind ' || g from generate_series(0, %s) as g", [KINDS - 1])
    session.execute("insert into shop.items select g, g %% 20, 'text ' || g from generate_series(1, %s) as g", [rows])
    journal.acknowledge(("kinds", kind, [f"kind {kind}"]) for kind in range(KINDS))
    journal.acknowledge(("items", key, [key % KINDS, f"text {key}"]) for key in range(1, rows + 1))
    session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
    options = '{"replica_identity": "full"}' if capture == "wal" else "{}"
    session.execute(
        "select vsync.create_embedding('found', %s, 'tiny', capture => %s, options => %s,"
        " index => jsonb_build_object('type', %s::text))",
        [document, capture, options, index],
    )


class Writer:
    """Changes rows of its own, several a transaction, through every crash; never further ahead than it is allowed.

    A commit whose answer was lost is looked up by its number when the server is back.
    """

    def __init__(
        self,
        dsn: str,
        journal: Journal,
        number: int,
        writers: int,
        rows: int,
        seed: int,
        *,
        whatever_fails: bool = False,
        rolled_back: float = 0.1,
    ) -> None:
        self._rolled_back = rolled_back
        self.dsn = dsn
        self.done = 0
        self.allowed = 0
        self.pid: int | None = None
        self.stop = Event()
        self._tolerated = psycopg.Error if whatever_fails else psycopg.OperationalError
        self._journal = journal
        self._id = number
        self._keys = range(number + 1, rows + 1, writers)
        self._kinds = range(number, KINDS, writers)
        self._random = random.Random(seed * 100 + number)
        self._committed = 0
        self._unknown: list[Change] | None = None

    def run(self) -> None:
        while not self.stop.is_set():
            with suppress(self._tolerated), psycopg.connect(self.dsn, autocommit=True) as session:
                self._look_up(session)
                self.pid = session.info.backend_pid
                while not self.stop.is_set():
                    if self.done < self.allowed:
                        self._write(session)
                    else:
                        self.stop.wait(0.005)
                        session.execute("select")  # notices that it was killed
            self.pid = None
            self.stop.wait(0.05)
        self._finish()

    def _finish(self) -> None:
        end = time.monotonic() + 60
        while self._unknown is not None and time.monotonic() < end:
            with suppress(self._tolerated), psycopg.connect(self.dsn, autocommit=True) as session:
                self._look_up(session)

    def _look_up(self, session: Connection) -> None:
        session.execute("insert into shop.writers values (%s, 0) on conflict do nothing", [self._id])
        row = session.execute("select number from shop.writers where id = %s", [self._id]).fetchone()
        assert row is not None
        if row[0] != self._committed:
            assert self._unknown is not None, f"commit {self._committed} was acknowledged and is lost"
            assert row[0] == self._committed + 1, f"commit {row[0]} of {self._committed}"
            self._acknowledged()
        self._unknown = None

    def _acknowledged(self) -> None:
        assert self._unknown is not None
        self._journal.acknowledge(self._unknown)
        self._committed += 1
        self.done += len(self._unknown)
        self._unknown = None

    def _write(self, session: Connection) -> None:
        changes = self._changes()
        self._unknown = changes
        with session.transaction():
            _apply(session, changes)
            if self._random.random() < self._rolled_back:
                with suppress(ZeroDivisionError), session.transaction():
                    _apply(session, [("items", key, [0, "rolled back"]) for key in self._random.sample(self._keys, 3)])
                    raise ZeroDivisionError
            session.execute("update shop.writers set number = %s where id = %s", [self._committed + 1, self._id])
        self._acknowledged()

    def _changes(self) -> list[Change]:
        chance = self._random
        if chance.random() < 0.01:
            return [("kinds", chance.choice(self._kinds), [f"kind {chance.randrange(1000)}"])]
        keys = chance.sample(self._keys, TOGETHER)
        changes: list[Change] = [
            ("items", key, [chance.randrange(KINDS), f"text {chance.randrange(2000)} of {key % 50}"]) for key in keys
        ]
        return changes + [("items", key, None) for key in keys[:2]]


def _apply(session: Connection, changes: list[Change]) -> None:
    rows = [(key, *row) for table, key, row in changes if table == "items" and row is not None]
    if rows:
        session.execute(_UPSERT, [list(column) for column in zip(*rows, strict=True)])
    gone = [key for table, key, row in changes if table == "items" and row is None]
    if gone:
        session.execute("delete from shop.items where id = any(%s)", [gone])
    for table, key, row in changes:
        if table == "kinds" and row is not None:
            session.execute("update shop.kinds set name = %s where id = %s", [row[0], key])


class Worker:
    """Calls vsync.work() again and again, through every crash; whatever_fails: through every other error too."""

    def __init__(self, dsn: str, *, whatever_fails: bool = False) -> None:
        self.pid: int | None = None
        self.stop = Event()
        self.dsn = dsn
        self._tolerated = psycopg.Error if whatever_fails else psycopg.OperationalError

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                with psycopg.connect(self.dsn, autocommit=True) as session:
                    session.execute("load 'plpython3'")
                    self.pid = session.info.backend_pid
                    while not self.stop.is_set():
                        session.execute("call vsync.work(duration => '1 s')")
            except self._tolerated:
                self.stop.wait(0.05)
            finally:
                self.pid = None


class Load:
    """Writers and workers in threads; what one of them died of is raised when the load ends."""

    def __init__(self, writers: list[Writer], workers: list[Worker]) -> None:
        self.writers = writers
        self.workers = workers

    def __enter__(self) -> "Load":
        self._running = [in_background(part.run) for part in (*self.writers, *self.workers)]
        return self

    def __exit__(self, *_: object) -> None:
        for part in (*self.writers, *self.workers):
            part.stop.set()
        for future in self._running:
            future.result(120)

    @property
    def done(self) -> int:
        """Count the changes that are acknowledged."""
        return sum(writer.done for writer in self.writers)

    def allow(self, changes: int) -> None:
        """Let the writers go on until so many changes are acknowledged, of all together."""
        for writer in self.writers:
            writer.allowed = changes // len(self.writers)
