"""How the engine talks to the database: inside the server through plpy, outside through psycopg."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from vsync_engine.foundation.errors import (
    CRASH_SHUTDOWN,
    INTERNAL_ERROR,
    NOT_IN_TRANSACTION_BLOCK,
    QUERY_CANCELED,
    EngineError,
    SqlError,
)
from vsync_engine.foundation.query_timer import Alarm

Row = Mapping[str, Any]

_FETCH = 1000  # rows of a stream fetched at a time
_GRACE = 2.0  # seconds after a cancel until the session is ended


@dataclass(frozen=True)
class Statement:
    """A statement with $n parameters and the type of each."""

    sql: str
    types: tuple[str, ...] = ()


_NOTHING = Statement("select 1")


class HostError(SqlError):
    """An error that the database reported. sqlstate: empty when the connection is gone."""


class OverrunError(HostError):
    """A statement took longer than it was given."""


class Host(Protocol):
    """One session. Statements open a transaction; between commit and the next one the session holds no snapshot."""

    def rows(self, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement and return its rows; HostError when it fails."""
        ...

    def attempt(self, seconds: float, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement that only reads, in a subtransaction: HostError leaves the transaction as it was.

        OverrunError after so many seconds.
        """
        ...

    def limited(self, seconds: float, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement and return its rows; OverrunError after so many seconds, else HostError when it fails."""
        ...

    def stream(self, statement: Statement, *arguments: object) -> Iterator[Row]:
        """Run a statement and yield its rows as they are fetched, in the same transaction; HostError when it fails."""
        ...

    def notice(self, message: str) -> None:
        """Tell whoever waits for the session how far it is."""
        ...

    def commit(self) -> None:
        """Commit."""
        ...

    def rollback(self) -> None:
        """Roll back."""
        ...


def value(host: Host, statement: Statement, *arguments: object) -> Any:
    """Return the first column of the first row."""
    return next(iter(host.rows(statement, *arguments)[0].values()))


class PlpyHost:
    """The session that PL/Python runs in."""

    def __init__(self) -> None:
        import plpy  # exists only inside the server

        self._plpy: Any = plpy
        self._postmaster = os.getppid()
        self._plans: dict[Statement, Any] = {}

    def rows(self, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement in a subtransaction of its own; HostError when it fails."""
        return list(self._guarded(lambda: self._plan(statement).execute(list(arguments))))

    def attempt(self, seconds: float, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement in a subtransaction of its own; OverrunError after so many seconds, else HostError."""
        return self.limited(seconds, statement, *arguments)

    def limited(self, seconds: float, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement in a subtransaction of its own; code that catches the cancel loses the session soon after."""
        self._plan(statement)
        alarm, last = Alarm(seconds), Alarm(seconds + _GRACE, signal.SIGTERM)
        try:
            return self.rows(statement, *arguments)
        except HostError as error:
            if alarm.disarm() and error.sqlstate == QUERY_CANCELED:
                raise OverrunError(f"took longer than {seconds * 1000:.0f} ms", sqlstate=QUERY_CANCELED) from error
            raise
        finally:
            last.disarm()
            if alarm.disarm():
                self._absorb_cancel()

    def stream(self, statement: Statement, *arguments: object) -> Iterator[Row]:
        """Yield rows through a cursor; HostError when it fails."""
        cursor = self._guarded(lambda: self._plan(statement).cursor(list(arguments)))
        while fetched := self._guarded(lambda: list(cursor.fetch(_FETCH))):
            yield from fetched
        self._guarded(cursor.close)

    def notice(self, message: str) -> None:
        """Raise a NOTICE."""
        self._plpy.notice(message)

    def commit(self) -> None:
        """Commit; VS004 inside a transaction block, which cannot be committed from within.

        A backend that outlives its postmaster is noticed: it would keep the server from starting again.
        """
        if os.getppid() != self._postmaster:
            raise HostError("the server is gone", sqlstate=CRASH_SHUTDOWN)
        try:
            self._guarded(self._plpy.commit)
        except HostError as error:
            if error.sqlstate != "2D000":
                raise
            raise EngineError(
                "vsync.work() cannot run inside a transaction block",
                sqlstate=NOT_IN_TRANSACTION_BLOCK,
                detail="It commits as it goes.",
                hint="Run it by itself: call vsync.work()",
            ) from error

    def rollback(self) -> None:
        """Roll the transaction back."""
        self._guarded(self._plpy.rollback)

    def heed_cancel(self) -> None:
        """Have a cancel that came meanwhile strike here."""
        self._plpy.execute("select")

    def report(self, error: EngineError) -> NoReturn:
        """Raise an error as PostgreSQL's own, with SQLSTATE and fields; a cancel that came meanwhile goes before."""
        self.heed_cancel()
        self._plpy.error(**error.as_json())
        raise AssertionError

    def _absorb_cancel(self) -> None:
        """Have a cancel that came when the statement had ended already strike here."""
        try:
            self.rows(_NOTHING)
        except HostError as error:
            if error.sqlstate != QUERY_CANCELED:
                raise

    def _plan(self, statement: Statement) -> Any:
        if statement not in self._plans:
            self._plans[statement] = self._plpy.prepare(statement.sql, list(statement.types))
        return self._plans[statement]

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._plpy.SPIError as error:
            code, detail, hint = (getattr(error, "spidata", None) or (0, None, None))[:3]
            # only exceptions of known conditions carry their SQLSTATE as text; this is how C packs one
            sqlstate = "".join(chr((code >> 6 * i & 63) + 48) for i in range(5)) if code else INTERNAL_ERROR
            sqlstate = getattr(error, "sqlstate", None) or sqlstate
            raise HostError(str(error), sqlstate=sqlstate, detail=detail or "", hint=hint or "") from error


class PsycopgHost:
    """A connection of psycopg, not in autocommit mode."""

    def __init__(self, connection: Any) -> None:
        import psycopg
        from psycopg.rows import dict_row

        self._error = psycopg.Error
        self._connection = connection
        self._cursor = psycopg.RawCursor(connection, row_factory=dict_row)
        self._stream = lambda: psycopg.RawServerCursor(connection, "vsync_stream", row_factory=dict_row)

    def rows(self, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement; HostError when it fails."""

        def run() -> list[Row]:
            self._cursor.execute(statement.sql.encode(), arguments)
            return list(self._cursor.fetchall()) if self._cursor.description else []

        return self._guarded(run)

    def attempt(self, seconds: float, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement below a savepoint, which is rolled back: its time limit goes, and what it left behind."""
        with self._connection.transaction(force_rollback=True):
            return self.limited(seconds, statement, *arguments)

    def limited(self, seconds: float, statement: Statement, *arguments: object) -> list[Row]:
        """Run a statement under a time limit that stays until the transaction, or the savepoint around it, ends."""
        started = time.monotonic()
        try:
            self._cursor.execute(f"set local statement_timeout = {max(1, math.ceil(seconds * 1000))}".encode())
            return self.rows(statement, *arguments)
        except HostError as error:
            if error.sqlstate == QUERY_CANCELED and time.monotonic() - started >= seconds:
                raise OverrunError(f"took longer than {seconds * 1000:.0f} ms", sqlstate=QUERY_CANCELED) from error
            raise

    def stream(self, statement: Statement, *arguments: object) -> Iterator[Row]:
        """Yield rows through a server-side cursor; HostError when it fails."""
        with self._stream() as cursor:
            self._guarded(lambda: cursor.execute(statement.sql.encode(), arguments))
            while fetched := self._guarded(lambda: cursor.fetchmany(_FETCH)):
                yield from fetched

    def notice(self, message: str) -> None:
        """Write to stderr: this process is the worker."""
        sys.stderr.write(f"{message}\n")

    def commit(self) -> None:
        """Commit."""
        self._guarded(self._connection.commit)

    def rollback(self) -> None:
        """Roll back."""
        self._guarded(self._connection.rollback)

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._error as error:
            report = error.diag
            raise HostError(
                report.message_primary or str(error),
                sqlstate=error.sqlstate or "",
                detail=report.message_detail or "",
                hint=report.message_hint or "",
            ) from error
