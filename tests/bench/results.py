"""Results as one JSON file, a figure a line: what each benchmark measured, when, and of which commit."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.measure import Figure

LATEST = Path("build") / "bench.json"
PUBLISHED = Path("docs") / "benchmark.json"


@dataclass(frozen=True)
class Run:
    """The figures of one benchmark. at: UTC, to the minute. commit: with a + where files differed from it."""

    at: str
    commit: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Results:
    """Runs by the name of the benchmark, all of one machine."""

    machine: str
    runs: dict[str, Run] = field(default_factory=dict[str, Run])

    def figures(self) -> dict[str, Figure]:
        """Return all figures by name."""
        return {figure.name: figure for run in self.runs.values() for figure in run.figures}


def known() -> Results:
    """Return what was measured on this machine: the latest results, else the published ones, else none."""
    machine = f"{os.cpu_count()} cores, {_processor()}"
    for path in (LATEST, PUBLISHED):
        if path.exists() and (results := load(path)).machine == machine:
            return results
    return Results(machine)


def measured(figures: Iterable[Figure]) -> Run:
    """Return figures as measured now, in this checkout."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    commit = _git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    return Run(f"{datetime.now(UTC):%Y-%m-%d %H:%M}", commit, tuple(figures))


def load(path: Path) -> Results:
    """Read results."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Results(stored["machine"], {name: _run(run) for name, run in stored["benchmarks"].items()})


def save(results: Results, path: Path) -> None:
    """Write results."""
    runs = ",\n".join(f"  {json.dumps(name)}: {_lines(run)}" for name, run in results.runs.items())
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{{"machine": {json.dumps(results.machine)}, "benchmarks": {{\n{runs}\n}}}}\n', encoding="utf-8")


def _run(stored: dict[str, Any]) -> Run:
    figures = [Figure(**{**row, "series": tuple(map(tuple, row.get("series", ())))}) for row in stored["figures"]]
    return Run(stored["at"], stored["commit"], figures)


def _lines(run: Run) -> str:
    figures = ",\n".join(f"    {json.dumps(_stated(figure), ensure_ascii=False)}" for figure in run.figures)
    return f'{{"at": {json.dumps(run.at)}, "commit": {json.dumps(run.commit)}, "figures": [\n{figures}\n  ]}}'


def _stated(figure: Figure) -> dict[str, Any]:
    """Return the fields that are not as they always are."""
    return {entry.name: value for entry in fields(figure) if (value := getattr(figure, entry.name)) != entry.default}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()
