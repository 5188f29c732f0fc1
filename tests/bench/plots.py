"""The plots of docs/benchmark.md, as SVG that reads on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib import pyplot as plt
from matplotlib.ticker import NullLocator, ScalarFormatter

from tests.bench.measure import Figure

mpl.rcParams.update({"svg.hashsalt": "vsync", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
_DAY = 24


def patterns(figures: Iterable[Figure], target: Path) -> None:
    """Draw how many documents are stale over the day, and staleness against texts embedded."""
    known = {figure.name: figure for figure in figures}
    figure, (over_day, against) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name in dict.fromkeys(name.partition(": ")[0] for name in known):
        stale, embedded = known[f"{name}: staleness"], known[f"{name}: texts embedded"].value
        (line,) = over_day.plot(*zip(*stale.series, strict=True), label=name, linewidth=1.8)
        place = (embedded, max(stale.value, 1e-3))
        against.scatter(*place, color=line.get_color(), s=60, zorder=3)
        against.annotate(name, place, xytext=(6, 6), textcoords="offset points", fontsize=9)
    over_day.set(
        xlabel="hour of the day", ylabel="stale documents", yscale="symlog", xlim=(0, _DAY), xticks=range(0, 25, 4)
    )
    over_day.yaxis.set_major_formatter(ScalarFormatter())
    over_day.legend(frameon=False, fontsize=9)
    against.set(xlabel="texts embedded", ylabel="staleness, document-hours", xscale="log", yscale="log")
    against.margins(0.25)
    against.grid(alpha=0.25)
    _save(figure, target)


def breakdown(figures: Sequence[Figure], target: Path) -> None:
    """Draw the shares of the stages as stacked bars, one for each kind of work."""
    works = list(dict.fromkeys(figure.name.rpartition(": ")[0] for figure in figures))
    stages = list(dict.fromkeys(figure.name.rpartition(": ")[2] for figure in figures))
    known = {figure.name: figure.value for figure in figures}
    figure, axes = plt.subplots(figsize=(11, 1.2 + 0.7 * len(works)), layout="constrained")
    left = np.zeros(len(works))
    colours = plt.get_cmap("tab20")
    for i, stage in enumerate(stages):
        shares = np.array([known.get(f"{work}: {stage}", 0.0) for work in works])
        axes.barh(works, shares, left=left, label=stage, color=colours(i))
        left += shares
    axes.set(xlabel="share of the time, %", xlim=(0, 100))
    axes.legend(frameon=False, fontsize=8, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.35))
    _save(figure, target)


def by_unit(figures: Iterable[Figure]) -> list[list[Figure]]:
    """Return figures whose names begin with the number of something, those of one unit and one something together."""
    panels: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        panels.setdefault((figure.unit, _something(figure)), []).append(figure)
    return list(panels.values())


def curves(panels: Sequence[Sequence[Figure]], target: Path, *, scale: str) -> None:
    """Draw a panel for each group: a curve a measure over the number that the names begin with."""
    figure, every = plt.subplots(1, len(panels), figsize=(11, 4.4), layout="constrained", squeeze=False)
    for axes, panel in zip(every[0], panels, strict=True):
        measures = list(dict.fromkeys(figure.name.partition(": ")[2] for figure in panel))
        for measure in measures:
            points = [(_number(figure), figure.value) for figure in panel if figure.name.endswith(f": {measure}")]
            axes.plot(*zip(*points, strict=True), label=measure, marker="o", markersize=4, linewidth=1.6)
        numbers = sorted({_number(figure) for figure in panel})
        axes.set(xlabel=_something(panel[-1]), ylabel=panel[0].unit, xscale="log", yscale=scale, xticks=numbers)
        axes.set_xticklabels([f"{number:,}" for number in numbers])
        axes.xaxis.set_minor_locator(NullLocator())
        if scale == "linear":
            axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    _save(figure, target)


def _number(figure: Figure) -> int:
    return int(figure.name.split()[0].replace(",", ""))


def _something(figure: Figure) -> str:
    return figure.name.partition(": ")[0].partition(" ")[2].removesuffix("s") + "s"


def _save(figure: mpl_figure.Figure, target: Path) -> None:
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
