"""`vsync status`: how fresh the embeddings are."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.output import emit, table
from vsync_admin.queries import load
from vsync_admin.watch import watch as watch_rows

_EXISTS = "select from vsync_internal.find_embedding(%s::name)"
_COLUMNS = ("embedding", "version", "label", "state", "documents", "pending", "failed", "embedded_total", "workers")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


@takes_session
def status(
    session: Session,
    embedding: Annotated[str | None, typer.Argument(help="Only this one.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until interrupted.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.1, help="Seconds between looks.")] = 1.0,
    max_age: Annotated[
        str | None, typer.Option("--max-age", help="Exit code 4 where something is pending for longer, such as 5m.")
    ] = None,
) -> None:
    """Show each embedding: documents, what is pending, since when, what failed, and how many workers run.

    With --watch --json a line of JSON is written at each look. --max-age takes a number with s, m, h or d.
    """
    limit = None if max_age is None else _duration(max_age)
    with connect(session) as connection:
        if embedding is not None:
            connection.execute(_EXISTS, (embedding,))

        def look() -> list[Row]:
            return connection.execute(load("status"), {"embedding": embedding}).fetchall()

        if watch:
            watch_rows(look, _page(), interval, as_json=session.json)
        else:
            rows = look()
            emit(rows if session.json else [_short(row) for row in rows], as_json=session.json)
            ages = [row["oldest_pending_age"] for row in rows if row["oldest_pending_age"] is not None]
            if limit is not None and any(age > limit for age in ages):
                raise typer.Exit(ExitCode.FINDINGS)


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])", text.strip())
    if match is None:
        raise CommandError(
            f'invalid --max-age "{text}"', hint="Pass a number with s, m, h or d: 5m", code=ExitCode.USAGE
        )
    return timedelta(seconds=float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]])


def _page() -> Callable[[list[Row]], RenderableType]:
    """Return what lays rows out, with the texts embedded a second since it was called before."""
    before: dict[tuple[str, int], tuple[float, int]] = {}

    def page(seen: list[Row]) -> RenderableType:
        now = time.monotonic()
        rows: list[Row] = []
        for row in seen:
            name = (row["embedding"], row["version"])
            then, total = before.get(name, (now, row["embedded_total"]))
            rate = (row["embedded_total"] - total) / (now - then) if now > then else 0.0
            rows.append({**_short(row), "texts/s": round(rate, 1)})
            before[name] = (now, row["embedded_total"])
        return table(rows) if rows else Text("no embedding yet")

    return page


def _short(row: Row) -> Row:
    short = {name: row[name] for name in _COLUMNS}
    age: timedelta | None = row["oldest_pending_age"]
    short["oldest pending"] = None if age is None else f"{age.total_seconds():.1f} s"
    short["last error"] = row["last_error"]
    return short
