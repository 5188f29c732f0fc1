"""Real workers that stop at a phase of their loop until the test lets them go on."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fix_cluster import Connect, Connection
from races.steps import in_background, scalar, wait_until

PHASES = (
    "FOLD.after",
    "CLAIM",
    "CLAIM.after",
    "RENDER",
    "RENDER.after",
    "RESERVE.after",
    "EMBED",
    "PUBLISH",
    "PUBLISH.after",
    "RELEASE",
    "RELEASE.after",
    "BACKFILL.after",
    "BUILD_INDEX.after",
    "OUTSTANDING",
)

# The gate is closed while its file exists. The engine's part of vsync.work() follows.
_GATE = """
import os, time
from vsync_engine.foundation import host
from vsync_engine.models import embedder
from vsync_engine.capture import statements as of_capture
from vsync_engine.refresh import statements as of_refresh
gate = {gate!r}
name, _, place = {phase!r}.partition(".")
def wait():
    if os.path.exists(gate):
        open(gate + ".reached", "w").close()
        end = time.monotonic() + 60
        while os.path.exists(gate) and time.monotonic() < end:
            time.sleep(0.005)
run, rows = embedder.Model.run, host.PlpyHost.rows
def gated_run(self, batch):
    wait()
    return run(self, batch)
def gated_rows(self, statement, *arguments):
    here = statement == getattr(of_refresh, name, None) or statement == getattr(of_capture, name, None)
    if here and not place:
        wait()
    answer = rows(self, statement, *arguments)
    if here and place:
        wait()
    return answer
if name == "EMBED":
    embedder.Model.run = gated_run
else:
    host.PlpyHost.rows = gated_rows
"""


def make_worker(session: Connection, schema: str, prelude: str) -> None:
    """Create the procedure work() of a schema, which is vsync.work() with Python of its own before the engine's."""
    body = "select prosrc from pg_proc where oid = %s::regprocedure"
    engine = scalar(session, body, "vsync_internal.work(interval, name, jsonb)")
    caller = scalar(session, body, "vsync.work(interval, name)")
    python = prelude + engine.replace("(duration, embedding)", "(None, None)")
    sql = caller.replace("vsync_internal.work(duration, embedding,", f"{schema}.engine(")
    session.execute(
        f"""
        create or replace procedure {schema}.engine(inout answer jsonb) language plpython3u as $py${python}$py$;
        create or replace procedure {schema}.work() language plpgsql as $sql${sql}$sql$""".encode()
    )


class Gated:
    """A worker in a session of its own, standing at its gate."""

    def __init__(self, session: Connection, gate: Path, done: "Future[Any]") -> None:
        self.session = session
        self.pid = session.info.backend_pid
        self.done = done
        self._gate = gate

    def open(self) -> "Future[Any]":
        """Let the worker go on; return what tells when it is done."""
        self._gate.unlink(missing_ok=True)
        return self.done


@contextmanager
def gated_worker(connect: Connect, phase: str) -> Iterator[Gated]:
    """Run `call vsync.work()` in a new session and wait until it stands at a phase."""
    session = connect()
    session.execute("set default_transaction_isolation = 'repeatable read'; set synchronous_commit = 'local'")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        Path(directory).chmod(0o777)
        gate = Path(directory) / "gate"
        gate.touch()
        gate.chmod(0o666)
        session.execute("create schema if not exists chaos")
        make_worker(session, "chaos", _GATE.format(gate=str(gate), phase=phase))
        worker = Gated(session, gate, in_background(lambda: session.execute("call chaos.work()")))
        try:
            reached = Path(directory) / "gate.reached"
            wait_until(lambda: reached.exists() or worker.done.done(), f"the worker at {phase}")
            assert reached.exists(), worker.done.exception()
            yield worker
        finally:
            worker.open()
            worker.done.exception(60)
            session.close()
