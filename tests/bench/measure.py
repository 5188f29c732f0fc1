"""What the benchmarks share: a measured figure, a server of their own, real texts."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from vsync_admin import cluster as clusters
from vsync_admin import placement
from vsync_admin.cluster import Cluster
from vsync_admin.server import find_server

Connection = psycopg.Connection[tuple[Any, ...]]

_LONGEST = 200  # characters: about 45 tokens a text
_UNFOLD = re.compile(r"\n \.?")
_SETTINGS = {
    "wal_level": "logical",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "512MB",
    "autovacuum_naptime": "10s",
}


@dataclass(frozen=True)
class Figure:
    """One line of the table. must, aim: bounds of value, as ratios or in its unit; at_most: smaller is better.

    compared: False where neither more nor less is worse, as of a share or of another system.
    series: points of a curve, for a plot that shows more than the value.
    """

    name: str
    value: float
    unit: str
    must: float | None = None
    aim: float | None = None
    at_most: bool = False
    note: str = ""
    compared: bool = True
    series: tuple[tuple[float, float], ...] = ()

    def verdict(self) -> str:
        """Say which bound the value reaches."""
        for word, bound in (("aim", self.aim), ("must", self.must)):
            if bound is not None and (self.value <= bound if self.at_most else self.value >= bound):
                return word
        return "missed" if self.must is not None else ""


@contextmanager
def bench_cluster() -> Iterator[Cluster]:
    """Run a cluster that syncs to disk, with the current engine and extension in its server."""
    server = find_server()
    placement.install(server)
    own = Cluster(server, Path(tempfile.mkdtemp(prefix="vsync-bench-")) / "c", _SETTINGS)
    own.directory.parent.chmod(0o755)
    try:
        clusters.create(own)
        clusters.start(own)
        yield own
    finally:
        clusters.destroy(own)
        shutil.rmtree(own.directory.parent, ignore_errors=True)


@contextmanager
def database(cluster: Cluster, name: str) -> Iterator[Connection]:
    """Open a session in a new database with the extension."""
    with psycopg.connect(cluster.dsn(), autocommit=True) as session:
        session.execute(f"create database {name}".encode())
    with psycopg.connect(cluster.dsn(name), autocommit=True) as session:
        session.execute("create extension vsync cascade")
        yield session


def seconds(session: Connection, statement: str) -> float:
    """Run a statement and return how long it took."""
    start = time.perf_counter()
    session.execute(statement.encode())
    return time.perf_counter() - start


def median(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def real_texts(count: int) -> list[str]:
    """Return names of Debian packages and the beginnings of their descriptions."""
    catalogue = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=False).stdout
    catalogue = catalogue or Path("/var/lib/dpkg/status").read_text(encoding="utf-8")
    texts: dict[str, None] = {}
    for stanza in catalogue.split("\n\n"):
        match = re.search(r"^Package: (.*)(?:\n.*)*?\nDescription(?:-en)?: (.*(?:\n .*)*)", stanza, re.M)
        if match:
            description = _UNFOLD.sub("\n", match[2])[:_LONGEST]
            texts[f"{match[1]}: {description}"] = None
    everything = list(texts)
    step = max(1, len(everything) // count)
    chosen = everything[::step][:count]
    if len(chosen) < count:
        raise SystemExit(
            f"this machine knows {len(chosen)} package descriptions, {count} are needed: run apt-get update"
        )
    return chosen
