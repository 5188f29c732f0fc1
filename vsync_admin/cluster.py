"""A PostgreSQL cluster of one's own: one directory with data, log and socket, no TCP, never as root."""

import os
import pwd
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vsync_admin.errors import CommandError
from vsync_admin.processes import DATABASE_USER, is_root, run_as_database_user
from vsync_admin.server import Server

PORT = 5432
# The socket's path may be 107 bytes long; "/.s.PGSQL.5432.lock" takes 19 of them.
_LONGEST_DIRECTORY = 88
_FAILURES = 8  # to start, after which the reason is no passing one
_HELD = "still in use"  # says the server of shared memory that a backend of the last one holds


@dataclass(frozen=True)
class Cluster:
    """A cluster below `directory`, which only its owner can enter; so every local user it has is trusted."""

    server: Server
    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """What the server wrote to its log."""
        return self.directory / "postgres.log"

    def dsn(self, dbname: str = "postgres", user: str = "postgres") -> str:
        """Return a libpq connection string."""
        return f"host={self.directory} port={PORT} dbname={dbname} user={user}"


def create(cluster: Cluster) -> None:
    """Make the cluster's files unless they are there; the settings are written anew in any case."""
    directory = cluster.directory
    if len(os.fsencode(directory)) > _LONGEST_DIRECTORY:
        raise CommandError(f"{directory} is too long a path for a socket")
    if not directory.exists():
        directory.mkdir(parents=True, mode=0o755)
        directory.chmod(0o700)
        if is_root():
            owner = pwd.getpwnam(DATABASE_USER)
            os.chown(directory, owner.pw_uid, owner.pw_gid)
    if not (cluster.data / "PG_VERSION").exists():
        initdb: list[str | Path] = [cluster.server.bindir / "initdb", "--pgdata", cluster.data]
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        if cluster.settings.get("fsync") == "off":
            options.append("--no-sync")
        run_as_database_user([*initdb, *options, "--no-instructions"])
        with (cluster.data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write("include_if_exists = 'vsync.conf'\n")
    fixed = {"listen_addresses": "", "unix_socket_directories": str(directory), "port": str(PORT)}
    lines = [f"{name} = '{value}'\n" for name, value in {**cluster.settings, **fixed}.items()]
    (cluster.data / "vsync.conf").write_text("".join(lines), encoding="utf-8")
    (cluster.data / "vsync.conf").chmod(0o644)


def running(cluster: Cluster) -> bool:
    """Tell whether the cluster's postmaster is alive."""
    try:
        run_as_database_user([cluster.server.bindir / "pg_ctl", "status", "-D", cluster.data])
    except CommandError:
        return False
    return True


def reachable(cluster: Cluster) -> bool:
    """Tell whether the cluster takes connections."""
    try:
        run_as_database_user([cluster.server.bindir / "pg_isready", "-q", "-h", cluster.directory, "-p", str(PORT)])
    except CommandError:
        return False
    return True


def start(cluster: Cluster, *, timeout: float = 100) -> None:
    """Start the cluster, after a crash too, and wait until it takes connections; nothing if it does already.

    After a crash the old postmaster may still be seen for a moment, and a backend holds the shared memory until its
    statement ends, so a failure to start is tried again within `timeout` seconds. CommandError with the end of the log.
    """
    deadline = time.monotonic() + timeout
    failures = 0
    while not reachable(cluster):
        if not running(cluster):
            pg_ctl: list[str | Path] = [cluster.server.bindir / "pg_ctl", "start", "-D", cluster.data]
            try:
                run_as_database_user([*pg_ctl, "-w", "-t", str(int(timeout)), "-l", cluster.log], timeout=timeout + 10)
            except CommandError as error:
                failures += 1
                if failures >= _FAILURES and _HELD not in (tail := _tail(cluster.log)):
                    error.detail += tail
                    raise
        if time.monotonic() > deadline:
            raise CommandError("the cluster does not take connections", detail=_tail(cluster.log))
        time.sleep(0.1 + 0.1 * failures)


def stop(cluster: Cluster, mode: str = "fast") -> None:
    """Stop the cluster (`smart`, `fast` or `immediate`) and wait for it; nothing if it does not run."""
    if running(cluster):
        run_as_database_user([cluster.server.bindir / "pg_ctl", "stop", "-D", cluster.data, "-w", "-m", mode])


def kill(cluster: Cluster) -> None:
    """Kill the postmaster with SIGKILL and wait until it is gone: a crash of the whole server."""
    pid = int((cluster.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    for _ in range(500):
        if not running(cluster):
            return
        time.sleep(0.01)
    raise CommandError(f"postmaster {pid} is still there")


def destroy(cluster: Cluster) -> None:
    """Stop the cluster at once and delete its directory."""
    if cluster.data.exists():
        stop(cluster, "immediate")
    shutil.rmtree(cluster.directory, ignore_errors=True)


def _tail(log: Path) -> str:
    if not log.exists():
        return ""
    return "\n" + "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
