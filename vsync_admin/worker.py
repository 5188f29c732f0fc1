"""Keeping worker sessions alive: one process a session, reconnecting after errors, ending cleanly on a signal.

A session runs `call vsync.work(…)` in slices, or with `local` the same loop in this process.
"""

import logging
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from vsync_admin.errors import CommandError, ExitCode
from vsync_engine.errors import EngineError
from vsync_engine.host import HostError, PsycopgHost

SLICE = "1 minute"
_NOTHING = "0 seconds"
_CALL = "call vsync.work(duration => %s::interval, embedding => %s::name)"
_NO_TIMEOUTS = "select set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)"
_FIRST_WAIT = 0.5  # seconds before a lost session is made anew; doubles with each failure
_LONGEST_WAIT = 30.0
_LONGEST_END = 60.0  # seconds a session may take to end before its process is killed, which loses nothing
_STEADY = 10.0  # seconds a session must have lived for the wait to start small again
_KEEPALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True)
class Assignment:
    """What a worker session is to do. embedding: None for all. local: run models here, not in the server."""

    conninfo: str
    embedding: str | None = None
    local: bool = False
    json_log: bool = False


def keep(assignment: Assignment, workers: int) -> None:
    """Keep so many sessions at work until SIGTERM or SIGINT. CommandError or psycopg.Error when not even one can."""
    configure_log(assignment)
    with _interruptible(), suppress(KeyboardInterrupt):
        _try_out(assignment)
        log.info("working", workers=workers, embedding=assignment.embedding, local=assignment.local)
        if workers == 1:
            _keep_session(assignment)
        else:
            _keep_processes(assignment, workers)
    log.info("stopped")


def configure_log(assignment: Assignment) -> None:
    """Write events to stderr, as text or as JSON."""
    renderer = (
        structlog.processors.JSONRenderer() if assignment.json_log else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[structlog.processors.TimeStamper("iso", utc=True), structlog.processors.add_log_level, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def conninfo_of(assignment: Assignment) -> str:
    """Return the connection string with keepalives, so that a server that vanished is noticed within a minute."""
    given = conninfo_to_dict(assignment.conninfo)
    added = {name: value for name, value in _KEEPALIVE.items() if name not in given}
    return make_conninfo(assignment.conninfo, **added, fallback_application_name="vsync worker")


def _try_out(assignment: Assignment) -> None:
    try:
        connection = psycopg.connect(conninfo_of(assignment), autocommit=not assignment.local)
    except psycopg.OperationalError as error:
        raise CommandError(str(error).strip(), code=ExitCode.NO_CONNECTION) from error
    with connection:
        try:
            _work(connection, assignment, _NOTHING)
        except EngineError as error:
            raise CommandError(error.message, detail=error.detail, hint=error.hint) from error
        except HostError as error:
            raise CommandError(f"{error.sqlstate}: {error.message}", detail=error.detail) from error


def _keep_session(assignment: Assignment) -> None:
    """Hold one session at work; returns only by an interrupt."""
    pause = _FIRST_WAIT
    parent = os.getppid()
    while os.getppid() == parent:
        started = time.monotonic()
        try:
            with psycopg.connect(conninfo_of(assignment), autocommit=not assignment.local) as connection:
                while os.getppid() == parent:
                    _work(connection, assignment, SLICE)
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
    from vsync_engine import worker  # brings the model runtime, which only a local worker needs

    connection.commit()
    worker.work(PsycopgHost(connection), duration, assignment.embedding)


def _keep_processes(assignment: Assignment, workers: int) -> None:
    """Hold one process a session; one that dies is replaced."""
    context = multiprocessing.get_context("spawn")

    def start() -> BaseProcess:
        process = context.Process(target=_child, args=(assignment,))
        process.start()
        return process

    running = [start() for _ in range(workers)]
    try:
        while True:
            wait([process.sentinel for process in running])
            for i, process in enumerate(running):
                if not process.is_alive():
                    log.warning("worker process died", pid=process.pid, exit_code=process.exitcode)
                    time.sleep(_FIRST_WAIT)
                    running[i] = start()
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join(_LONGEST_END)
            process.kill()


def _child(assignment: Assignment) -> None:
    configure_log(assignment)
    with _interruptible(), suppress(KeyboardInterrupt):
        _keep_session(assignment)


@contextmanager
def _interruptible() -> Generator[None]:
    """Turn the first SIGTERM or SIGINT into KeyboardInterrupt, at which psycopg cancels its statement; drop others."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
