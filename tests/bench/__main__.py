"""Run the benchmarks named as arguments, or all: `python -m tests.bench [drain pipeline …]`."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import (
    audit,
    breakdown,
    drain,
    fanout,
    freshness,
    patterns,
    pipeline,
    queries,
    rules,
    versions,
    wal,
    writers,
)
from tests.bench.measure import Figure, bench_cluster
from tests.bench.peer import figures as peer
from vsync_admin.cluster import Cluster

BENCHMARKS: dict[str, Callable[[Cluster], Iterator[Figure]]] = {
    "drain": drain.figures,
    "pipeline": pipeline.figures,
    "writers": writers.figures,
    "wal": wal.figures,
    "freshness": freshness.figures,
    "fanout": fanout.figures,
    "rules": rules.figures,
    "memory": freshness.memory,
    "audit": audit.figures,
    "versions": versions.figures,
    "queries": queries.figures,
    "breakdown": breakdown.figures,
    "patterns": patterns.figures,
    "peer": peer.figures,
}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> int:
    """Print the table on stdout and write build/bench.json; exit status 1 when a figure misses what it must reach."""
    wanted = sys.argv[1:] or list(BENCHMARKS)
    results: list[Figure] = []
    talk = Console(stderr=True)
    with bench_cluster() as cluster:
        for name in wanted:
            for figure in BENCHMARKS[name](cluster):
                results.append(figure)
                talk.print(f"{figure.name}: {figure.value:.3g} {figure.unit} {figure.verdict()} {figure.note}")
    machine = f"{os.cpu_count()} cores, {_processor()}"
    table = Table(title=machine)
    for column in ("measure", "reached", "unit", "must", "aim", "verdict", "note"):
        table.add_column(column)
    for figure in results:
        bounds = ("" if bound is None else f"{bound:g}" for bound in (figure.must, figure.aim))
        table.add_row(figure.name, f"{figure.value:.3g}", figure.unit, *bounds, figure.verdict(), figure.note)
    Console(width=160).print(table)
    target = Path("build/bench.json")
    target.parent.mkdir(exist_ok=True)
    rows = [{**asdict(figure), "verdict": figure.verdict()} for figure in results]
    target.write_text(json.dumps({"machine": machine, "figures": rows}, indent=2) + "\n", encoding="utf-8")
    return 1 if any(figure.verdict() == "missed" for figure in results) else 0


if __name__ == "__main__":
    sys.exit(main())
