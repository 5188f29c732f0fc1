"""The text of docs/benchmark.md, and of the README's table, from results."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from tests.bench import patterns
from tests.bench.__main__ import BENCHMARKS
from tests.bench.measure import Figure
from tests.bench.peer.pgai import VERSION
from tests.bench.results import Results, Run

_TEMPLATE = Path(__file__).with_name("benchmark.md.j2")
_SIDE_BY_SIDE = ("peer", "patterns", "growth", "workers", "embeddings", "breakdown")
_TITLES = {"fanout": "Fan-out", "queries": "The query side", "wal": "Capture by WAL"}
_BETWEEN = re.compile(r"(?<=<!-- figures: written by make benchmark -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)


def page(results: Results) -> str:
    """Return docs/benchmark.md."""
    shown = _in_order(results)
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        machine=results.machine,
        targets=_targets(shown),
        tables={name: _side_by_side(shown[name].figures) for name in _SIDE_BY_SIDE if name in shown},
        further={
            _TITLES.get(name, name.capitalize()): (_about(name), _plain(run.figures))
            for name, run in shown.items()
            if name not in _SIDE_BY_SIDE and any(figure.must is None for figure in run.figures)
        },
        methods=_table(
            ("benchmark", "what it does", "measured (UTC)", "commit"),
            ((f"`{name}`", _about(name), run.at, run.commit) for name, run in shown.items()),
        ),
        pgai=VERSION,
        edits=f"{patterns.EDITS:,}",
        documents=f"{patterns.DOCUMENTS:,}",
    )


def with_figures(readme: str, results: Results) -> str:
    """Return the README with the goals and what was reached."""
    goals = [figure for run in _in_order(results).values() for figure in run.figures if figure.must is not None]
    rows = ((figure.name, _reached(figure), _bound(figure, figure.must)) for figure in goals)
    return _BETWEEN.sub(
        lambda _: f"Measured on {results.machine}.\n\n{_table(('measure', 'reached', 'goal'), rows)}\n", readme
    )


def _in_order(results: Results) -> dict[str, Run]:
    return {name: results.runs[name] for name in BENCHMARKS if name in results.runs}


def _about(name: str) -> str:
    """Return what a benchmark says of itself: its module, then its function."""
    call = BENCHMARKS[name]
    documents = (sys.modules[call.__module__].__doc__, call.__doc__)
    return " ".join(" ".join((document or "").split()) for document in documents)


def _targets(shown: dict[str, Run]) -> str:
    """Every figure that has a goal. Ratio: 1 or more means reached."""
    rows = [
        (
            figure.name,
            _bound(figure, figure.must),
            _reached(figure),
            f"{figure.must / figure.value if figure.at_most else figure.value / figure.must:.2f}",
            _bound(figure, figure.aim),
            f"`{name}`" + (f": {figure.note}" if figure.note else ""),
        )
        for name, run in shown.items()
        for figure in run.figures
        if figure.must is not None
    ]
    return _table(("measure", "target", "reached", "ratio", "aim", "how measured"), rows)


def _reached(figure: Figure) -> str:
    text = _quantity(figure.value, figure.unit)
    return f"**{text}**" if figure.verdict() == "missed" else text


def _bound(figure: Figure, bound: float | None) -> str:
    return "" if bound is None else f"{'≤' if figure.at_most else '≥'} {_quantity(bound, figure.unit)}"


def _quantity(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return number if unit == "ratio" else f"{number} {unit}"


def _plain(figures: Iterable[Figure]) -> str:
    return _table(("measure", "reached", ""), ((f.name, _reached(f), f.note) for f in figures))


def _side_by_side(figures: Sequence[Figure]) -> str:
    """One line a measure, and a column for each that was measured: the part of the name before the colon."""
    measures: dict[str, dict[str, str]] = {}
    for figure in figures:
        who, _, measure = figure.name.partition(": ")
        unit = "" if figure.unit == "ratio" else f" ({figure.unit})"
        measures.setdefault(measure + unit, {})[who] = _quantity(figure.value, "ratio")
    columns = list(dict.fromkeys(figure.name.partition(": ")[0] for figure in figures))
    lines = ((name, *(found.get(who, "") for who in columns)) for name, found in measures.items())
    return _table(("measure", *columns), lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
