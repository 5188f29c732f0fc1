"""Write docs/benchmark.md and its plots from what `make bench` left in build/: `python -m tests.bench.document`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Template

from tests.bench import patterns, plots
from tests.bench.peer.pgai import VERSION

_RESULTS = Path("build") / "bench.json"
_TEMPLATE = Path(__file__).with_name("benchmark.md.j2")
_TARGET = Path("docs") / "benchmark.md"
_PICTURES = Path("docs") / "benchmark"
Row = dict[str, Any]


def main() -> None:
    """Write the document from the figures that are there."""
    results = json.loads(_RESULTS.read_text(encoding="utf-8"))
    figures: list[Row] = results["figures"]
    days = [row for row in figures if _of_a_day(row)]
    beside = [row for row in figures if row["name"].startswith(("pgai", "vsync: ")) and not _of_a_day(row)]
    stages = [row for row in figures if row["unit"] == "%" and ": " in row["name"]]
    _PICTURES.mkdir(exist_ok=True)
    if days:
        plots.patterns(json.loads(patterns.TRACE.read_text(encoding="utf-8")), _PICTURES / "patterns.svg")
    if stages:
        plots.breakdown(stages, _PICTURES / "breakdown.svg")
    template = Template(_TEMPLATE.read_text(encoding="utf-8"), trim_blocks=True, keep_trailing_newline=True)
    text = template.render(
        machine=results["machine"],
        targets=_targets(figures),
        beside=beside and _side_by_side(beside),
        pgai_version=VERSION,
        days=days and _side_by_side(days),
        edits=f"{patterns.EDITS:,}",
        documents=f"{patterns.DOCUMENTS:,}",
        stages=stages and _shares(stages),
    )
    _TARGET.write_text(text, encoding="utf-8")


def _of_a_day(row: Row) -> bool:
    return row["name"].endswith((": staleness", ": texts embedded"))


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def _targets(figures: list[Row]) -> str:
    rows = [
        (
            row["name"],
            f"{_number(row['value'])} {row['unit']}",
            _number(row["must"]),
            _number(row["aim"]),
            row["verdict"],
            row["note"],
        )
        for row in figures
        if row["must"] is not None
    ]
    return _table(("measure", "reached", "must", "aim", "verdict", "note"), rows)


def _side_by_side(rows: list[Row]) -> str:
    """One line a measure, and a column for each that was measured."""
    measures: dict[str, dict[str, str]] = {}
    for row in rows:
        who, _, measure = row["name"].partition(": ")
        measures.setdefault(f"{measure} ({row['unit']})", {})[who] = _number(row["value"])
    columns = list(dict.fromkeys(row["name"].partition(": ")[0] for row in rows))
    lines = ((name, *(found.get(who, "") for who in columns)) for name, found in measures.items())
    return _table(("measure", *columns), lines)


def _shares(rows: list[Row]) -> str:
    return _table(("stage", "share", ""), ((row["name"], f"{row['value']:.1f} %", row["note"]) for row in rows))


if __name__ == "__main__":
    main()
