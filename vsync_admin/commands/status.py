"""`vsync status`: how fresh the embeddings are."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import orjson
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.output import console, emit, table
from vsync_admin.queries import load

_EXISTS = "select from vsync_internal.find_embedding(%s::name)"
_COLUMNS = ("embedding", "version", "state", "documents", "pending", "failed", "embedded_total", "workers")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


@takes_session
def status(
    session: Session,
    embedding: Annotated[str | None, typer.Argument(help="Only this one.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until interrupted.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.1, help="Seconds between looks.")] = 1.0,
) -> None:
    """Show each embedding: documents, what is pending, since when, what failed, and how many workers run.

    With --watch --json a line of JSON is written at each look.
    """
    with connect(session) as connection:
        if embedding is not None:
            connection.execute(_EXISTS, (embedding,))

        def look() -> list[Row]:
            return connection.execute(load("status"), {"embedding": embedding}).fetchall()

        if not watch:
            rows = look()
            emit(rows if session.json else [_short(row) for row in rows], as_json=session.json)
        elif session.json:
            _write_lines(look, interval)
        else:
            _watch(look, interval)


def _write_lines(look: Callable[[], list[Row]], interval: float) -> None:
    while True:
        sys.stdout.write(orjson.dumps(look(), default=str).decode() + "\n")
        sys.stdout.flush()
        time.sleep(interval)


def _watch(look: Callable[[], list[Row]], interval: float) -> None:
    before: dict[tuple[str, int], tuple[float, int]] = {}
    with Live(console=console(), auto_refresh=False) as live:
        while True:
            now = time.monotonic()
            rows: list[Row] = []
            for row in look():
                name = (row["embedding"], row["version"])
                then, total = before.get(name, (now, row["embedded_total"]))
                rate = (row["embedded_total"] - total) / (now - then) if now > then else 0.0
                rows.append({**_short(row), "texts/s": round(rate, 1)})
                before[name] = (now, row["embedded_total"])
            live.update(_page(rows), refresh=True)
            time.sleep(interval)


def _page(rows: list[Row]) -> RenderableType:
    moment = Text(time.strftime("%H:%M:%S"), style="dim")
    return Group(moment, table(rows) if rows else Text("no embedding yet"))


def _short(row: Row) -> Row:
    short = {name: row[name] for name in _COLUMNS}
    age: timedelta | None = row["oldest_pending_age"]
    short["oldest pending"] = None if age is None else f"{age.total_seconds():.1f} s"
    short["last error"] = row["last_error"]
    return short
