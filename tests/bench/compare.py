"""Compare two results of `make bench`: `python -m tests.bench.compare OLD.json NEW.json [NOISE]`.

NOISE is the share by which a figure may differ without meaning anything, 0.15 unless given. Exit status 1 when a figure
became worse by more than that, or misses now what it must reach.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import results
from tests.bench.measure import Figure

NOISE = 0.15
_BAD = ("worse", "missed")


def main(arguments: list[str]) -> int:
    """Print a line a figure, those beyond noise marked."""
    if len(arguments) not in (2, 3):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    old, new = (results.load(Path(path)) for path in arguments[:2])
    if old.machine != new.machine:
        sys.stderr.write(f"measured on different machines: {old.machine}; {new.machine}\n")
    noise = float(arguments[2]) if len(arguments) == 3 else NOISE
    before, after = old.figures(), new.figures()
    table = Table()
    for column in ("measure", "old", "new", "new ÷ old", "verdict"):
        table.add_column(column)
    verdicts: list[str] = []
    for name, figure in after.items():
        known = before.get(name)
        verdicts.append(verdict(known, figure, noise))
        ratio = f"{figure.value / known.value:.3g}" if known and known.value else ""
        table.add_row(name, f"{known.value:.3g}" if known else "", f"{figure.value:.3g}", ratio, verdicts[-1])
    for name in before.keys() - after.keys():
        table.add_row(name, f"{before[name].value:.3g}", "", "", "gone")
    Console(width=160).print(table)
    return 1 if any(verdict in _BAD for verdict in verdicts) else 0


def verdict(old: Figure | None, new: Figure, noise: float) -> str:
    """Say what became of a figure; nothing where the difference is noise."""
    if old is None:
        return "new"
    if new.verdict() == "missed" != old.verdict():
        return "missed"
    if not new.compared or abs(new.value - old.value) <= noise * abs(old.value):
        return ""
    return "better" if (new.value < old.value) == new.at_most else "worse"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
