"""What a random history plays on: the sessions, the writers' transactions, workers beside it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from fix_cluster import Connect, Connection
from promise.oracle import Declared
from vsync_engine.capture.wal_reader import Reader
from vsync_engine.foundation.host import PsycopgHost

WRITERS = 3
TEXTS = (
    "''",
    "null",
    "'one'",
    "'two words'",
    "' '",
    "'ünï 😀'",
    r"e'para one of it\n\npara two is longer, and has a comma.\n\npara three'",
    r"e'para one of it\n\npara two was changed.\n\npara three'",
)
FOREIGN = (
    "set datestyle = 'SQL, DMY'; set timezone = 'Asia/Kolkata'; set intervalstyle = 'sql_standard';"
    " set extra_float_digits = -10; set bytea_output = 'escape'"
)
_EXPECTED = {"23503", "23505", "23514", "40001", "40P01", "55000", "25P02"}


@dataclass(frozen=True)
class Step:
    """What happens next: a method of a history by name, the keys it is about by number, a text, a variation."""

    kind: str
    keys: tuple[int, ...]
    text: int
    variant: int


@dataclass(frozen=True)
class JoinStep(Step):
    """The same over several tables. table, writer, link: which, by number."""

    table: int = 0
    writer: int = 0
    link: int = 0


@dataclass
class Claim:
    """A claim whose documents are rendered and not published.

    rows: (key, content, hash) each. states: by hash of a text, what is "stored" or "busy"; the others are its own.
    """

    token: int
    embedding: Declared
    rows: list[tuple[str, str, str]]
    states: dict[str, str]


class Sessions:
    """The connections that all histories of one test share, with whatever they have loaded."""

    def __init__(self, db: Connection, connect: Connect) -> None:
        self.db = db
        self._connect = connect
        self.writers = [connect() for _ in range(WRITERS)]
        self.writers[1].execute(FOREIGN)
        for writer in self.writers:
            writer.execute("set lock_timeout = '20s'")
        self.workers = [connect(), connect()]
        self.claimer = connect()
        self._reader: Reader | None = None

    def read(self) -> None:
        """Read the slot, as a worker does before it folds."""
        if self._reader is None:
            self._reader = Reader(PsycopgHost(self._connect(autocommit=False)))
        self._reader.look(urgent=True)

    def kill_claimer(self) -> None:
        """Close the session that claims, and wait until the server has noticed."""
        pid = self.claimer.info.backend_pid
        self.claimer.close()
        gone = "select not exists (select from pg_stat_activity where pid = %s)"
        for _ in range(500):
            if self.db.execute(gone, [pid]).fetchone() == (True,):
                break
            time.sleep(0.01)
        self.claimer = self._connect()


class Stage:
    """The writers' transactions over some tables; a history adds its steps, its tables and its embeddings."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.db = sessions.db
        self.embeddings: list[Declared] = []
        self.by_wal = False
        self.claims: list[Claim] = []
        self.lost: list[Claim] = []
        self.exclusive: int | None = None

    def finish(self) -> None:
        """End all transactions."""
        for writer in range(WRITERS):
            self._finish(writer, commit=True)

    def remove(self) -> None:
        for writer in range(WRITERS):
            self._finish(writer, commit=False)
            self.sessions.writers[writer].execute("reset session_replication_role")
        if self.claims:
            self.sessions.kill_claimer()
        self._sweep()

    def _sweep(self) -> None:
        """Drop everything, what a history that failed half-way has left included."""
        raise NotImplementedError

    def _committed(self) -> None:
        """Something was committed."""

    # transactions

    def begin(self, step: Step, owner: int) -> None:
        if not self._open(owner):
            level = ("read committed", "read committed", "repeatable read", "serializable")[step.variant]
            self.sessions.writers[owner].execute(f"begin isolation level {level}".encode())

    def savepoint(self, step: Step, owner: int) -> None:
        if self._open(owner):
            self._write(owner, "savepoint s")

    def rollback_to(self, step: Step, owner: int) -> None:
        if self._open(owner):
            self._write(owner, "savepoint s")
            self.update(step, owner)
            if self._open(owner):
                self._write(owner, "rollback to s")

    def update(self, step: Any, owner: int) -> None:
        raise NotImplementedError

    def commit(self, step: Step, owner: int) -> None:
        self._finish(owner, commit=True)

    def rollback(self, step: Step, owner: int) -> None:
        self._finish(owner, commit=False)

    def role(self, step: Step, owner: int) -> None:
        role = "replica" if step.variant % 2 else "origin"
        self._write(owner, f"set session_replication_role = {role}")

    def _alone(self, owner: int) -> None:
        for writer in range(WRITERS):
            if writer != owner:
                self._finish(writer, commit=True)

    def _yield(self) -> None:
        """End the transaction that holds a whole table, if there is one: whoever comes now would wait for it."""
        if self.exclusive is not None:
            self._finish(self.exclusive, commit=True)

    def _open(self, writer: int) -> bool:
        return self.sessions.writers[writer].info.transaction_status != TransactionStatus.IDLE

    def _finish(self, writer: int, *, commit: bool) -> None:
        if self.exclusive == writer:
            self.exclusive = None
        if self._open(writer):
            self._guarded(writer, lambda: self.sessions.writers[writer].execute("commit" if commit else "rollback"))

    def _write(self, writer: int, statement: str) -> None:
        self._guarded(writer, lambda: self.sessions.writers[writer].execute(statement.encode()))

    def _guarded(self, writer: int, call: Callable[[], object]) -> None:
        """Let a statement fail as statements of users do, and its transaction with it."""
        try:
            call()
        except psycopg.Error as error:
            if error.sqlstate not in _EXPECTED:
                raise
            if self._open(writer):
                self.sessions.writers[writer].execute("rollback")
        if not self._open(writer):
            self._committed()

    def _sql(self, session: Connection, statement: str) -> None:
        session.execute(statement.encode())


class Background:
    """A worker that runs beside a history, in a thread of its own."""

    def __init__(self, session: Connection) -> None:
        self._session = session
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Background":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._session.execute("call vsync.work(duration => '100 ms')")
        except BaseException as error:
            self._error = error
