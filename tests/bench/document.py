"""Write docs/benchmark.json, docs/benchmark.md with plots, and the README's table: `python -m tests.bench.document`.

They show the figures of build/bench.json, or where that is missing those of docs/benchmark.json.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench import page, plots, results

_PAGE = Path("docs") / "benchmark.md"
_PICTURES = Path("docs") / "benchmark"
_README = Path("README.md")


def main() -> None:
    """Write all of it."""
    found = results.load(results.LATEST if results.LATEST.exists() else results.PUBLISHED)
    results.save(found, results.PUBLISHED)
    _PAGE.write_text(page.page(found), encoding="utf-8")
    _README.write_text(page.with_figures(_README.read_text(encoding="utf-8"), found), encoding="utf-8")
    _PICTURES.mkdir(exist_ok=True)
    figures = {name: run.figures for name, run in found.runs.items()}
    if "patterns" in figures:
        plots.patterns(figures["patterns"], _PICTURES / "patterns.svg")
    if "breakdown" in figures:
        plots.breakdown(figures["breakdown"], _PICTURES / "breakdown.svg")
    if "growth" in figures:
        plots.curves(plots.by_unit(figures["growth"]), _PICTURES / "growth.svg", scale="log")
    if "workers" in figures and "embeddings" in figures:
        panels = plots.by_unit([*figures["workers"], *figures["embeddings"]])
        plots.curves(panels, _PICTURES / "scaling.svg", scale="linear")


if __name__ == "__main__":
    main()
