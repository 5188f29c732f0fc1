"""The native libraries of the engine, loaded so that their threads never see PostgreSQL's signals.

A backend's handlers belong to its one thread; a library's thread with an open signal mask would run them beside it.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

_SYNCHRONOUS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT}


@contextmanager
def signals_blocked() -> Generator[None]:
    """Block what signals the server handles: threads started inside inherit the mask, the caller gets its own back.

    A division by zero in native code then ends the process. PostgreSQL would jump out of the middle of that code.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _SYNCHRONOUS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def arithmetic_errors_fatal() -> Generator[None]:
    """Let a division by zero end the process, in the calling thread too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGFPE})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else a thread of ONNX Runtime reports to its makers
with signals_blocked():
    import numpy as np
    import onnxruntime as ort
    import tokenizers

ort.set_default_logger_severity(4)  # what goes wrong comes back as an exception; stderr is the server's log

__all__ = ["arithmetic_errors_fatal", "np", "ort", "return_freed_memory", "signals_blocked", "tokenizers"]


def return_freed_memory() -> None:
    """Hand memory that was freed back to the system, where the C library can: loading a model leaves as much as it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
