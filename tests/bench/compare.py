"""Compare two results of `make bench`: `python -m tests.bench.compare OLD.json NEW.json [NOISE]`.

Exit status 1 when a figure became worse by more than noise.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

NOISE = 0.15  # share by which a figure may differ without meaning anything


def main(arguments: list[str]) -> int:
    """Print a line a figure, those beyond noise marked."""
    if len(arguments) not in (2, 3):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    old, new = (_figures(Path(path)) for path in arguments[:2])
    noise = float(arguments[2]) if len(arguments) == 3 else NOISE
    table = Table()
    for column in ("measure", "old", "new", "new ÷ old", "verdict"):
        table.add_column(column)
    worse = 0
    for name, figure in new.items():
        before = old.get(name, {}).get("value")
        ratio = figure["value"] / before if before else None
        verdict = _verdict(ratio, figure, noise)
        worse += verdict == "worse"
        table.add_row(
            name, *(("" if number is None else f"{number:.3g}") for number in (before, figure["value"], ratio)), verdict
        )
    for name in old.keys() - new.keys():
        table.add_row(name, f"{old[name]['value']:.3g}", "", "", "gone")
    Console(width=160).print(table)
    return 1 if worse else 0


def _figures(path: Path) -> dict[str, dict[str, Any]]:
    return {figure["name"]: figure for figure in json.loads(path.read_text(encoding="utf-8"))["figures"]}


def _verdict(ratio: float | None, figure: dict[str, Any], noise: float) -> str:
    if ratio is None:
        return "new"
    if abs(ratio - 1) <= noise:
        return ""
    better = (ratio < 1) == (figure["at_most"] or figure["unit"] == "ms")
    return "better" if better else "worse"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
