"""`vsync search`: a query from the shell."""

from typing import Annotated

import orjson
import typer

from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.output import emit

_SEARCH = "select * from vsync.search(%s::name, %s::text, %s, %s::text)"
_SHOWN = 100  # characters of a content in a table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(search)


@takes_session
def search(
    session: Session,
    embedding: Annotated[str, typer.Argument(help="Name of the embedding.")],
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="Documents wanted.")] = 10,
    caller: Annotated[
        str | None, typer.Option("--caller", help="Key of whoever asks: an experiment goes by it.")
    ] = None,
) -> None:
    """Find the documents nearest to a text, nearest first. A table shows the start of each text, --json all of it."""
    with connect(session) as connection:
        rows = connection.execute(_SEARCH, (embedding, query, k, caller)).fetchall()
    emit(rows if session.json else [_short(row) for row in rows], as_json=session.json)


def _short(row: Row) -> Row:
    content = " ".join(row["content"].split())
    return {
        "distance": round(row["distance"], 4),
        "key": orjson.dumps(row["key"]).decode(),
        "content": content if len(content) <= _SHOWN else f"{content[: _SHOWN - 1]}…",
        "stale": "stale" if row["stale"] else None,
    }
