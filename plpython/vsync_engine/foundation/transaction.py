"""A call in a transaction of its own, and which errors end the session that makes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from vsync_engine.foundation.host import Host, HostError, OverrunError

T = TypeVar("T")

_TRANSIENT = {"40001", "40P01"}
_ATTEMPTS = 5


def transaction(host: Host, call: Callable[[], T]) -> T:
    """Run a call in a transaction of its own; again after a deadlock or a lost race. HostError otherwise."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            result = call()
            host.commit()
            return result
        except HostError as error:
            host.rollback()
            if is_fatal(error):
                raise Interrupted(error) from error
            if error.sqlstate not in _TRANSIENT or attempt == _ATTEMPTS:
                raise
            time.sleep(0.01 * attempt)
    raise AssertionError


class Interrupted(Exception):
    """The session was told to stop, or cannot go on, whatever the document: cancelled, shut down, disk full."""

    def __init__(self, error: HostError) -> None:
        super().__init__(error.message)
        self.error = error


def is_fatal(error: HostError) -> bool:
    """Tell whether an error is the session's and not a document's."""
    if isinstance(error, OverrunError):
        return False
    return error.sqlstate in ("", "53300", "25P03", "25006") or error.sqlstate.startswith("57")
