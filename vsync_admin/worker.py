"""Keeping worker sessions alive: one process a session, reconnecting after errors, ending cleanly on a signal.

A session runs `call vsync.work(…)` in slices, or with `local` the same loop in this process. Between slices one of
the sessions looks for what is to be logged.
"""

import multiprocessing
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vsync_admin.connection import require_vsync
from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.pooler import refuse_transaction_pooling
from vsync_admin.worker_log import Reporter, configure_log
from vsync_engine.foundation.errors import EngineError
from vsync_engine.foundation.host import HostError, PsycopgHost

SLICE = "10 seconds"
_NOTHING = "0 seconds"
_CALL = "call vsync.work(duration => %s::interval, embedding => %s::name)"
_NO_TIMEOUTS = "select set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)"
_FIRST_WAIT = 0.5  # seconds before a lost session is made anew; doubles with each failure
_LONGEST_WAIT = 30.0
_LONGEST_END = 60.0  # seconds a session may take to end before its process is killed, which loses nothing
_STEADY = 10.0  # seconds a session must have lived for the wait to start small again
_KEEPALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PATIENCE = 60.0  # seconds after which a refusal that waiting seldom ends is believed
# A failed connection has no SQLSTATE in libpq: 3D000, 28P01 and 28000 by the server's words, and by a pooler's.
_REFUSED = re.compile(
    r"(database|role) \".*\" does not exist|authentication failed|no password supplied|pg_hba\.conf"
    r"|not permitted to log in|not currently accepting connections|no such (database|user)"
)
_TRANSIENT = ("08", "53", "57")  # classes: connection, resources, intervention

Alive = Callable[[], bool]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True)
class Assignment:
    """What a worker session is to do. embedding: None for all. local: run models here, not in the server."""

    conninfo: str
    embedding: str | None = None
    local: bool = False
    json_log: bool = False
    patience: float = _PATIENCE


def keep(assignment: Assignment, workers: int) -> None:
    """Keep so many sessions at work until SIGTERM, SIGINT or SIGHUP. CommandError or psycopg.Error when none can."""
    configure_log(as_json=assignment.json_log)
    with _interruptible(), suppress(KeyboardInterrupt):
        _try_out(assignment)
        log.info("working", workers=workers, embedding=assignment.embedding, local=assignment.local)
        if workers == 1:
            _keep_session(assignment, Reporter(assignment.embedding), _always)
        else:
            _keep_processes(assignment, workers)
    log.info("stopped")


def conninfo_of(assignment: Assignment) -> str:
    """Return the connection string with keepalives, so that a server that vanished is noticed within a minute."""
    given = conninfo_to_dict(assignment.conninfo)
    added = {name: value for name, value in _KEEPALIVE.items() if name not in given}
    return make_conninfo(assignment.conninfo, **added, fallback_application_name="vsync worker")


def _always() -> bool:
    return True


def _connect(assignment: Assignment, alive: Alive = _always) -> psycopg.Connection[tuple[object, ...]]:
    """Connect, however long the server is down, starting or full.

    CommandError (exit code 3) after a minute of a refusal that waiting seldom ends: no such database, wrong password.
    """
    pause = _FIRST_WAIT
    refused_since: float | None = None
    while True:
        try:
            return psycopg.connect(conninfo_of(assignment), autocommit=not assignment.local, prepare_threshold=None)
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            now = time.monotonic()
            refused_since = (refused_since or now) if _REFUSED.search(said) else None
            left = _LONGEST_WAIT if refused_since is None else refused_since + assignment.patience - now
            if left <= 0 or not alive():
                raise CommandError(
                    said,
                    detail=f"The server has refused this for {assignment.patience:.0f} seconds.",
                    hint="Check -d, -h, -p and -U, the password file, and pg_hba.conf.",
                    code=ExitCode.NO_CONNECTION,
                ) from error
            jittered = min(pause * random.uniform(0.5, 1), left)
            log.warning("no connection", error=said, again_in=round(jittered, 1))
            time.sleep(jittered)
            pause = min(pause * 2, _LONGEST_WAIT)


def _try_out(assignment: Assignment) -> None:
    """Work once with nothing to do: whatever can never work is an error at once."""
    while True:
        with _connect(assignment) as connection:
            try:
                require_vsync(connection)
                refuse_transaction_pooling(connection, conninfo_of(assignment), "vsync worker")
                return _work(connection, assignment, _NOTHING)
            except EngineError as error:
                raise CommandError(error.message, detail=error.detail, hint=error.hint) from error
            except HostError as error:
                if not _is_transient(error.sqlstate):
                    raise CommandError(f"{error.sqlstate}: {error.message}", detail=error.detail) from error
                log.warning("session lost", error=_said(error), sqlstate=error.sqlstate, again_in=_FIRST_WAIT)
            except psycopg.Error as error:
                if not _is_transient(error.sqlstate):
                    raise
                log.warning("session lost", error=_said(error), sqlstate=error.sqlstate, again_in=_FIRST_WAIT)
        time.sleep(_FIRST_WAIT)


def _is_transient(sqlstate: str | None) -> bool:
    return not sqlstate or sqlstate.startswith(_TRANSIENT)


def _keep_session(assignment: Assignment, reporter: Reporter | None, alive: Alive) -> None:
    """Hold one session at work; returns only by an interrupt, or where it need not go on."""
    pause = _FIRST_WAIT
    while alive():
        started = time.monotonic()
        try:
            with _connect(assignment, alive) as connection:
                started = time.monotonic()
                while alive():
                    _work(connection, assignment, SLICE)
                    if reporter is not None:
                        reporter.look(connection)
        except (psycopg.Error, HostError, EngineError) as error:
            pause = _FIRST_WAIT if time.monotonic() - started > _STEADY else min(pause * 2, _LONGEST_WAIT)
            jittered = pause * random.uniform(0.5, 1)
            log.warning("session lost", error=_said(error), sqlstate=error.sqlstate, again_in=round(jittered, 1))
            time.sleep(jittered)


def _said(error: psycopg.Error | HostError | EngineError) -> str:
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else error.message
    return primary or " ".join(str(error).split())


def _work(connection: psycopg.Connection[tuple[object, ...]], assignment: Assignment, duration: str) -> None:
    connection.execute(_NO_TIMEOUTS)
    if not assignment.local:
        connection.execute(_CALL, (duration, assignment.embedding))
        return
    from vsync_engine.refresh import worker  # brings the model runtime, which only a local worker needs

    connection.commit()
    worker.work(PsycopgHost(connection), duration, assignment.embedding)


def _keep_processes(assignment: Assignment, workers: int) -> None:
    """Hold one process a session, the first of which writes the log of what happens; one that dies is replaced.

    CommandError where the server refuses one for good.
    """
    context = multiprocessing.get_context("spawn")

    def start(number: int) -> BaseProcess:
        process = context.Process(target=_child, args=(assignment, number == 0, os.getpid()))
        process.start()
        return process

    running = [start(i) for i in range(workers)]
    try:
        while True:
            wait([process.sentinel for process in running])
            for i, process in enumerate(running):
                if process.is_alive():
                    continue
                if process.exitcode == ExitCode.NO_CONNECTION:
                    raise CommandError("the server refuses the workers", code=ExitCode.NO_CONNECTION)
                log.warning("worker process died", pid=process.pid, exit_code=process.exitcode)
                time.sleep(_FIRST_WAIT)
                running[i] = start(i)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join(_LONGEST_END)
            process.kill()


def _child(assignment: Assignment, reports: bool, parent: int) -> None:
    """Be one of several sessions; a child ends with its parent, however that died."""
    configure_log(as_json=assignment.json_log)
    reporter = Reporter(assignment.embedding) if reports else None
    with _interruptible(), suppress(KeyboardInterrupt):
        try:
            _keep_session(assignment, reporter, lambda: os.getppid() == parent)
        except CommandError as error:
            log.error("refused", error=error.message, detail=error.detail, hint=error.hint)
            sys.exit(error.code)


@contextmanager
def _interruptible() -> Generator[None]:
    """Turn the first signal into KeyboardInterrupt, at which psycopg cancels its statement; drop others.

    SIGHUP stays ignored where it is: under nohup a worker outlives the terminal.
    """
    heeded = [each for each in _SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        for each in heeded:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in heeded}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
