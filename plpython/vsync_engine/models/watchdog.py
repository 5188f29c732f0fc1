"""A thread that ends a model call which takes too long, or whose session is cancelled: native code asks nobody.

It lives only while somebody watches: in an idle backend it would wake up for ever.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from vsync_engine.foundation.errors import QUERY_CANCELED, EngineError
from vsync_engine.models.runtime import ort, signals_blocked

_LOOK = 0.1  # seconds between looks
_PENDING = ("QueryCancelPending", "ProcDiePending")  # PostgreSQL's own flags


class Call:
    """One model call. options: what ONNX Runtime is run with; late: it was ended because it took too long."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.late = False
        self._since = time.monotonic()

    def __enter__(self) -> Call:
        global _running
        _running = self
        return self

    def __exit__(self, *_: object) -> None:
        global _running
        _running = None

    def look(self, limit: float | None) -> None:
        """End it if it has to end; between two of the network's nodes, that is."""
        self.late = self.late or (limit is not None and time.monotonic() - self._since > limit)
        if self.late or is_cancelled():
            self.options.terminate = True


_running: Call | None = None


@contextmanager
def watching(limit: float | None) -> Generator[None]:
    """Watch the model calls made inside. limit: seconds that one may take, None for any."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK):
            call = _running
            if call is not None:
                call.look(limit)

    thread = threading.Thread(target=watch, name="vsync watch", daemon=True)
    with signals_blocked():
        thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _flags() -> list[ctypes.c_int]:
    program = ctypes.CDLL(None)
    try:
        return [ctypes.c_int.in_dll(program, name) for name in _PENDING]
    except ValueError:
        return []  # outside of the server


_cancelled = _flags()


def is_cancelled() -> bool:
    """Tell whether the session has to stop at the next occasion."""
    return any(flag.value for flag in _cancelled)


def heed_cancel() -> None:
    """Raise 57014 if the session has to stop. The statement that would report it raises PostgreSQL's own error."""
    if is_cancelled():
        raise EngineError("canceled", sqlstate=QUERY_CANCELED)
