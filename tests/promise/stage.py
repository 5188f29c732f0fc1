"""What a random history plays on: the sessions, a table of some shape with its embeddings, a worker beside it."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus

from fix_cluster import Connect, Connection
from promise.oracle import Declared, declare
from promise.shapes import Shape

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
_EXPECTED = {"23505", "23514", "40001", "40P01", "55000", "25P02"}


@dataclass(frozen=True)
class Step:
    """What happens next: a method of History by name, the keys it is about by number, a text, a variation."""

    kind: str
    keys: tuple[int, ...]
    text: int
    variant: int


@dataclass
class Claim:
    """A claim whose documents are rendered, (key, content, hash) each, and not published."""

    token: int
    version: int
    rows: list[tuple[str, str, str]]


class Sessions:
    """The connections that all histories of one test share, with whatever they have loaded."""

    def __init__(self, db: Connection, connect: Connect) -> None:
        self.db = db
        self._connect = connect
        self.writers = [connect() for _ in range(WRITERS)]
        self.writers[1].execute(FOREIGN)
        self.worker = connect()
        self.claimer = connect()

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
    """A shape's table with rows and embeddings of it, and the writers' transactions; `remove` it in the end."""

    def __init__(self, sessions: Sessions, shape: Shape, rows: int, second: bool) -> None:
        self.sessions = sessions
        self.shape = shape
        self.db = sessions.db
        self.columns = ", ".join(shape.columns)
        self.claims: list[Claim] = []
        self.lost: list[Claim] = []
        self.exclusive: int | None = None
        self._sweep()
        self._sql(self.db, shape.create)
        for key in shape.keys[:rows]:
            self._sql(
                self.db,
                f"insert into {shape.root} ({self.columns}, title, body) values ({key}, 't', 'b')"
                " on conflict do nothing",
            )
        self.embeddings = [self._declare(f"of_{shape.name}", shape.document)]
        if second:
            outputs = (f'{column} as "{name.replace(chr(34), chr(34) * 2)}"' for column, name in self._outputs())
            document = f"select 'hits ' || hits as content, {', '.join(outputs)} from {shape.root}"
            self.embeddings.append(self._declare("second", document))

    def _outputs(self) -> Iterable[tuple[str, str]]:
        return zip(self.shape.columns, self.shape.key, strict=True)

    def _declare(self, name: str, document: str) -> Declared:
        return declare(
            self.db, document, name=name, schema=self.shape.schema, key=self.shape.key, chunk=self.shape.chunk
        )

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
        for name in (f"of_{self.shape.name}", "second"):
            self.db.execute("select vsync.drop_embedding(%s, true)", [name])
        for table in (self.shape.root, *(leaf for leaf, _ in self.shape.leaves)):
            self._sql(self.db, f"drop table if exists {table}")
        if self.shape.drop:
            self._sql(self.db, self.shape.drop)

    def _owner(self, key: int) -> int:
        return key % len(self.shape.keys) // 2 % WRITERS

    def _own(self, step: Step, owner: int) -> list[int]:
        count = len(self.shape.keys)
        return list(dict.fromkeys(key % count for key in step.keys if self._owner(key) == owner))

    def _key(self, key: int) -> str:
        return self.shape.keys[key]

    def _equal(self, key: int) -> str:
        return f"({self.columns}) = ({self._key(key)})"

    def _where(self, step: Step, owner: int) -> str:
        return " or ".join(self._equal(key) for key in self._own(step, owner))

    def _into(self, step: Step) -> str:
        return f"{self.shape.root} ({self.columns}, title, body)"

    def _values(self, step: Step, owner: int, *, one: bool = False) -> str:
        own = self._own(step, owner)[: 1 if one else None]
        return "values " + ", ".join(f"({self._key(key)}, 't', {TEXTS[step.text]})" for key in own)

    def _alone(self, owner: int) -> None:
        for writer in range(WRITERS):
            if writer != owner:
                self._finish(writer, commit=True)

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
