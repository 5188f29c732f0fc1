"""`vsync impact`: which documents a change to a row would touch."""

from typing import Annotated

import orjson
import typer

from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.output import emit, say

_IMPACT = "select * from vsync.explain_impact(%s::regclass, %s::jsonb)"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(impact)


@takes_session
def impact(
    session: Session,
    relation: Annotated[str, typer.Argument(help="The table, as SQL writes it: shop.categories.")],
    key: Annotated[str, typer.Argument(help='Its primary key: 3, or {"id": 3}. What is no JSON is taken as text.')],
) -> None:
    """Tell which documents a change to a row would have looked at, and at what cost. Changes nothing."""
    with connect(session) as connection:
        rows = connection.execute(_IMPACT, (relation, _json(key))).fetchall()
    emit(rows if session.json else [_short(row) for row in rows], as_json=session.json)
    if not rows:
        say(f"no document reads {relation}")


def _json(key: str) -> str:
    try:
        orjson.loads(key)
    except orjson.JSONDecodeError:
        return orjson.dumps(key).decode()
    return key


def _short(row: Row) -> Row:
    seconds: float | None = row["seconds"]
    sample = ", ".join(orjson.dumps(key).decode() for key in row["sample"])
    return {**row, "seconds": None if seconds is None else round(seconds, 3), "sample": sample}
