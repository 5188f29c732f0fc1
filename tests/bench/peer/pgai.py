"""pgai in an environment of its own: its SQL in a database, its worker as a process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.bench.measure import Connection
from vsync_admin.cluster import PORT, Cluster

VERSION = "0.12.1"
# Its extra for the worker weighs gigabytes; this is what the worker needs for texts in a column.
_PACKAGES = (
    f"pgai=={VERSION}",
    "tiktoken<1",
    "ijson>=3.3",
    "filetype==1.2.0",
    "pgvector<1",
    "ollama>=0.4.5,<0.6",
    "langchain-text-splitters<1",
    "smart-open==7.1.0",
    "tokenizers",
    "numpy",
)
_HOME = Path("build") / f"pgai-{VERSION}"


def program() -> Path:
    """Return pgai's command, installing it first where it is missing."""
    command = (_HOME / "bin" / "pgai").absolute()
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", _HOME], check=True)
        subprocess.run([_HOME / "bin" / "python", "-m", "pip", "install", "-qq", *_PACKAGES], check=True)
    return command


def url(cluster: Cluster, dbname: str) -> str:
    """Return a connection URL as pgai takes it."""
    return f"postgresql://postgres@/{dbname}?host={quote(str(cluster.directory), safe='')}&port={PORT}"


def install(cluster: Cluster, dbname: str) -> None:
    """Put pgai's SQL into a database."""
    _run([program(), "install", "-d", url(cluster, dbname)])


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"pgai failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def create_vectorizer(
    session: Connection, table: str, column: str, *, endpoint: str, dimensions: int, batch: int | None
) -> int:
    """Declare a vectorizer without chunking and index. batch: None for its default. Returns its number."""
    row = session.execute(
        "select ai.create_vectorizer(%s::regclass, loading => ai.loading_column(%s),"
        " embedding => ai.embedding_ollama('bench', %s, base_url => %s), chunking => ai.chunking_none(),"
        " processing => ai.processing_default(batch_size => %s), indexing => ai.indexing_none(),"
        " destination => ai.destination_table(%s), scheduling => ai.scheduling_none())",
        [table, column, dimensions, endpoint, batch, f"{table}_vectors"],
    ).fetchone()
    assert row is not None
    return row[0]


def drain(cluster: Cluster, dbname: str) -> float:
    """Run a worker until its queue is empty and return the seconds that took, less those of starting it."""
    command = [program(), "vectorizer", "worker", "-d", url(cluster, dbname), "--once"]
    start = time.perf_counter()
    _run(command)
    drained = time.perf_counter()
    _run(command)
    return (drained - start) - (time.perf_counter() - drained)


@contextmanager
def worker(cluster: Cluster, dbname: str, *, poll: str = "1s") -> Generator[None]:
    """Keep a worker running."""
    command = [program(), "vectorizer", "worker", "-d", url(cluster, dbname), "--poll-interval", poll]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()
