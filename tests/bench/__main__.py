"""Run the benchmarks named as arguments, or all: `python -m tests.bench [drain pipeline …]`.

Each replaces its own figures in build/bench.json as soon as it is done, so that one file can be made of several runs.
Set LARGEST=10000000 for a table of that many documents in growth, which takes some minutes and 10 GB.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from tests.bench import (
    audit,
    breakdown,
    drain,
    embeddings,
    fanout,
    freshness,
    growth,
    patterns,
    pipeline,
    queries,
    results,
    rules,
    versions,
    wal,
    workers,
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
    "growth": growth.figures,
    "workers": workers.figures,
    "embeddings": embeddings.figures,
    "patterns": patterns.figures,
    "peer": peer.figures,
}


def main(arguments: list[str]) -> int:
    """Print the table on stdout and write build/bench.json; exit status 1 when a figure misses what it must reach."""
    wanted = arguments or list(BENCHMARKS)
    if unknown := set(wanted) - BENCHMARKS.keys():
        sys.stderr.write(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}\n")
        return 2
    known = results.known()
    reached: list[Figure] = []
    talk = Console(stderr=True)
    with bench_cluster() as cluster:
        for name in wanted:
            mine: list[Figure] = []
            for figure in BENCHMARKS[name](cluster):
                mine.append(figure)
                talk.print(f"{figure.name}: {figure.value:.3g} {figure.unit} {figure.verdict()} {figure.note}")
            known.runs[name] = results.measured(mine)
            results.save(known, results.LATEST)
            reached += mine
    table = Table(title=known.machine)
    for column in ("measure", "reached", "unit", "must", "aim", "verdict", "note"):
        table.add_column(column)
    for figure in reached:
        bounds = ("" if bound is None else f"{bound:g}" for bound in (figure.must, figure.aim))
        table.add_row(figure.name, f"{figure.value:.3g}", figure.unit, *bounds, figure.verdict(), figure.note)
    Console(width=160).print(table)
    return 1 if any(figure.verdict() == "missed" for figure in reached) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
