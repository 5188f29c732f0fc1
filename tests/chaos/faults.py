"""What can befall a server, each by name: backends and postmasters killed, an immediate stop, a frozen process."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from races.steps import wait_until
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster


def postmaster(cluster: Cluster) -> int:
    """Return the process id of the server."""
    return int((cluster.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])


def kill(pid: int | None) -> bool:
    """Kill a backend, which restarts the whole server; False where it is gone already."""
    try:
        os.kill(pid or 0, signal.SIGKILL) if pid else None
    except ProcessLookupError:
        return False
    return pid is not None


def crash(cluster: Cluster) -> None:
    """Kill the server with all its backends, as a power failure does: without it they would work on for a while."""
    parent = postmaster(cluster)
    children = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == parent]
    os.kill(parent, signal.SIGKILL)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    wait_until(lambda: not clusters.running(cluster), "the server's end")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process, and let it go on at the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _parent(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return None
