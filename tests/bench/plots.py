"""The plots of docs/benchmark.md, as SVG that reads on light and dark pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import ScalarFormatter

mpl.rcParams.update({"svg.hashsalt": "vsync", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
_DAY = 24


def patterns(outcomes: dict[str, dict[str, Any]], target: Path) -> None:
    """Draw how many documents are stale over the day, and staleness against texts embedded."""
    figure, (over_day, against) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    hours = np.linspace(0, _DAY, 24 * 60 + 1)
    for name, outcome in outcomes.items():
        stale = np.array(outcome["stale"], dtype=float).reshape(-1, 2) / 3600
        counts = np.searchsorted(np.sort(stale[:, 0]), hours, "right") - np.searchsorted(
            np.sort(stale[:, 1]), hours, "right"
        )
        (line,) = over_day.plot(hours, counts, label=name, linewidth=1.8)
        total = float((stale[:, 1] - stale[:, 0]).sum())
        against.scatter(outcome["embedded"], max(total, 1e-3), color=line.get_color(), s=60, zorder=3)
        against.annotate(
            name, (outcome["embedded"], max(total, 1e-3)), xytext=(6, 6), textcoords="offset points", fontsize=9
        )
    over_day.set(
        xlabel="hour of the day", ylabel="stale documents", yscale="symlog", xlim=(0, _DAY), xticks=range(0, 25, 4)
    )
    over_day.yaxis.set_major_formatter(ScalarFormatter())
    over_day.legend(frameon=False, fontsize=9)
    against.set(xlabel="texts embedded", ylabel="staleness, document-hours", xscale="log", yscale="log")
    against.margins(0.25)
    against.grid(alpha=0.25)
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)


def breakdown(rows: list[dict[str, Any]], target: Path) -> None:
    """Draw the shares of the stages as stacked bars, one for each kind of work."""
    works = list(dict.fromkeys(row["name"].rpartition(": ")[0] for row in rows))
    stages = list(dict.fromkeys(row["name"].rpartition(": ")[2] for row in rows))
    known = {row["name"]: row["value"] for row in rows}
    figure, axes = plt.subplots(figsize=(11, 1.2 + 0.7 * len(works)), layout="constrained")
    left = np.zeros(len(works))
    colours = plt.get_cmap("tab20")
    for i, stage in enumerate(stages):
        shares = np.array([known.get(f"{work}: {stage}", 0.0) for work in works])
        axes.barh(works, shares, left=left, label=stage, color=colours(i))
        left += shares
    axes.set(xlabel="share of the time, %", xlim=(0, 100))
    axes.legend(frameon=False, fontsize=8, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.35))
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
