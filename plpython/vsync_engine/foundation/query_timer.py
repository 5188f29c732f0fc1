"""A time limit on what runs in this backend: a POSIX timer that cancels the query, or ends the session.

statement_timeout cannot do it: inside `call vsync.work()` it counts the whole call, and setting it anew arms nothing.
PostgreSQL's own timeouts use setitimer and SIGALRM, which this leaves alone.
"""

from __future__ import annotations

import ctypes
import os
import signal

_CLOCK_MONOTONIC = 1
_SIGEV_SIGNAL = 0


class _Event(ctypes.Structure):
    """struct sigevent of Linux: 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_byte * 48),
    )


class _Times(ctypes.Structure):
    """struct itimerspec."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Alarm:
    """Signals this process once after a time, unless disarmed before: SIGINT cancels the query, SIGTERM the session.

    Only the backend's own thread leaves the signal unblocked (see native.py): when disarm() returns it has been
    delivered or never will be.
    """

    def __init__(self, seconds: float, number: int = signal.SIGINT) -> None:
        """Arm it. OSError where the system has no such timers to give."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = ctypes.c_void_p()
        self._fired: bool | None = None
        event = _Event(signo=number, notify=_SIGEV_SIGNAL)
        self._call("timer_create", _CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer))
        nanoseconds = max(1, int(seconds * 1e9))
        times = _Times(0, 0, *divmod(nanoseconds, 1_000_000_000))
        self._call("timer_settime", self._timer, 0, ctypes.byref(times), None)

    def disarm(self) -> bool:
        """Stop it and return whether it had gone off: then the query was interrupted, or the next one will be."""
        if self._fired is None:
            left = _Times()
            self._call("timer_settime", self._timer, 0, ctypes.byref(_Times()), ctypes.byref(left))
            self._call("timer_delete", self._timer)
            self._fired = not (left.value_s or left.value_ns)
        return self._fired

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._libc, name)(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")
