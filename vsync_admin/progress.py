"""How far versions are, as a table with a bar each."""

from collections.abc import Sequence
from datetime import timedelta

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vsync_admin.connection import Row
from vsync_admin.output import cell

_BAR = 30  # characters
_WHOLE = ("ready", "active", "retired")


def bars(rows: Sequence[Row]) -> RenderableType:
    """Return rows of queries/version_progress.sql as a table; bars of what has no total are empty or full."""
    if not rows:
        return Text("no embedding yet")
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("embedding", "version", "label", "phase", "", "done", "rate", "time left"):
        made.add_column(name, justify="right" if name in ("version", "done", "rate", "time left") else "left")
    for row in rows:
        made.add_row(
            cell(row["embedding"]),
            cell(row["version"]),
            cell(row["label"]),
            cell(row["phase"]),
            _bar(row),
            "" if row["total"] is None else f"{row['done']} of {row['total']}",
            f"{row['rate']:.1f}/s" if row["rate"] else "",
            "" if row["eta_seconds"] is None else str(timedelta(seconds=row["eta_seconds"])),
        )
    return made


def _bar(row: Row) -> ProgressBar:
    if row["total"]:
        return ProgressBar(total=row["total"], completed=min(row["done"], row["total"]), width=_BAR)
    return ProgressBar(total=1, completed=int(row["phase"] in _WHOLE), width=_BAR)
