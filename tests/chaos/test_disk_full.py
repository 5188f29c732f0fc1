"""The disk fills up, under all data or under the WAL alone: what was acknowledged is there afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from chaos.battery import Battery
from chaos.load import Load, Worker, Writer, open_shop
from fix_cluster import SETTINGS
from races.steps import scalar, wait_until
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster
from vsync_admin.processes import is_root
from vsync_admin.server import Server

SMALL = {**SETTINGS, "wal_level": "replica", "max_wal_size": "48MB", "min_wal_size": "32MB", "shared_buffers": "16MB"}
ROWS = 400
FULL = "No space left on device"
BACKED_OFF = "select count(*) from vsync_internal.marks where due_at > clock_timestamp() and due_at < 'infinity'"


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of a few megabytes that belongs to the server's user."""
    directory.mkdir(parents=True)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", directory],
        capture_output=True,
        check=False,
    )
    if mount.returncode:
        pytest.skip(f"cannot mount: {mount.stderr.decode().strip()}")
    try:
        _give_away(directory)
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
        shutil.rmtree(directory, ignore_errors=True)


def _give_away(path: Path) -> None:
    owner = pwd.getpwnam("postgres")
    os.chown(path, owner.pw_uid, owner.pw_gid)


@pytest.fixture
def small_cluster(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, Path]]:
    """A cluster and the small disk below it: of all its data, or of its WAL."""
    if not is_root():
        pytest.skip("a small disk is mounted by root")
    place = Path(tempfile.mkdtemp(prefix="vsync-disk-", dir="/tmp"))
    place.chmod(0o755)
    own = Cluster(server, place / "cluster", SMALL)
    try:
        if request.param == "data":
            with small_disk(own.directory, 260) as disk:
                log = place / "log"  # where there is room for what is counted in it
                log.touch()
                _give_away(log)
                own.log.symlink_to(log)
                yield from _started(own, disk)
        else:
            clusters.create(own)
            with small_disk(place / "wal", 96) as disk:
                subprocess.run(["cp", "-a", f"{own.data}/pg_wal/.", disk], check=True)
                shutil.rmtree(own.data / "pg_wal")
                (own.data / "pg_wal").symlink_to(disk)
                yield from _started(own, disk)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _started(own: Cluster, disk: Path) -> Iterator[tuple[Cluster, Path]]:
    try:
        clusters.create(own)
        clusters.start(own)
        with psycopg.connect(own.dsn(), autocommit=True) as session:
            session.execute("create database vsync")
        with psycopg.connect(own.dsn("vsync"), autocommit=True) as session:
            session.execute("create extension vsync cascade")
        yield own, disk
    finally:
        clusters.stop(own, "immediate")


def fill(disk: Path) -> Path:
    """Take all the room there is."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65536)
    return ballast


def use_up_wal(dsn: str) -> None:
    """Write more WAL than checkpoints make room for: recycled, it may be enough for the load for ever."""
    with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as session:
        for _ in range(100):
            session.execute("select pg_logical_emit_message(false, 'chaos', repeat('x', 1000000))")


def failures(cluster: Cluster) -> int:
    """Count what the server could not write."""
    return cluster.log.read_text(errors="replace").count(FULL)


@pytest.mark.parametrize("small_cluster", ["data", "wal"], indirect=True)
@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.chaos, id="10 times")])
def test_a_full_disk_loses_nothing(
    small_cluster: tuple[Cluster, Path], tiny_model: Path, battery: Battery, share: Callable[[int], int], times: int
) -> None:
    cluster, disk = small_cluster
    dsn = cluster.dsn("vsync")
    with psycopg.connect(dsn, autocommit=True) as session:
        open_shop(session, battery.journal, tiny_model, rows=ROWS)
    writer = Writer(dsn, battery.journal, 0, 1, ROWS, battery.seed, whatever_fails=True)
    workers = [Worker(dsn, whatever_fails=True), Worker(dsn, whatever_fails=True)]
    with Load([writer], workers) as load:
        for turn in range(times if times == 1 else share(times)):
            before = load.done
            load.allow(before + 500)
            wait_until(lambda before=before: load.done > before + 100, "the writer")
            seen = failures(cluster)
            ballast = fill(disk)
            load.allow(before + 1_000_000)
            use_up_wal(dsn)
            wait_until(lambda seen=seen: failures(cluster) > seen, "the disk to be full")
            battery.faults += 1
            load.allow(0)
            if turn % 2:
                with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as session:
                    session.execute("checkpoint")
            ballast.unlink()
            clusters.start(cluster)  # where the WAL is full the server stops at once
            done = load.done
            load.allow(done + 200)
            wait_until(lambda done=done: load.done > done, "the writer to go on")
    with psycopg.connect(dsn, autocommit=True) as session:
        # a document that the server went down with for the third time waits some seconds
        wait_until(lambda: scalar(session, BACKED_OFF) == 0, "failed documents to be due again")
        battery.rest(session)
