"""`vsync audit`: what is stored compared with the source rows, page by page."""

from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.errors import ExitCode
from vsync_admin.output import emit, say
from vsync_admin.queries import load

_EXISTS = "select from vsync_internal.find_embedding(%s::name)"
_PAGE = "select * from vsync_internal.audit_page(%s, %s, %s, %s)"
_KEYS = 10_000  # a page: each is read in a snapshot of its own
_DIFFERENT = ("missing", "extra", "stale", "mixed")
_COUNTS = ("checked", *_DIFFERENT, "held")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


@takes_session
def audit(
    session: Session,
    embedding: Annotated[str, typer.Argument(help="Name of the embedding.")],
    repair: Annotated[bool, typer.Option("--repair", help="Mark what differs; a worker puts it right.")] = False,
) -> None:
    """Compare every document with what is stored. Exit code 4 when something differs and --repair was not given.

    It goes through the keys page by page, so that no snapshot is held for long: what changes meanwhile, or waits for
    a worker, may differ.
    """
    with connect(session) as connection, _progress() as progress:
        connection.execute(_EXISTS, (embedding,))
        versions = connection.execute(load("audited"), {"embedding": embedding}).fetchall()
        rows = [_audit(connection, progress, version, repair) for version in versions]
    emit(rows, as_json=session.json)
    different = sum(row[name] for row in rows for name in _DIFFERENT)
    if not different:
        return
    if not repair:
        say(f"{different} differ; vsync audit {embedding} --repair marks them")
        raise typer.Exit(ExitCode.FINDINGS)
    say(f"{different} marked; a worker puts them right: vsync worker, or call vsync.work()")


def _audit(connection: psycopg.Connection[Row], progress: Progress, version: Row, repair: bool) -> Row:
    task = progress.add_task(f"version {version['version']}", total=version["documents"])
    counts = dict.fromkeys(_COUNTS, 0)
    after: str | None = None
    while True:
        page = connection.execute(_PAGE, (version["id"], after, _KEYS, repair)).fetchall()[0]
        counts = {name: counts[name] + page[name] for name in _COUNTS}
        progress.update(task, completed=counts["checked"], total=max(version["documents"] or 0, counts["checked"]))
        after = page["next_key"]
        if after is None:
            return {"version": version["version"], **counts}


def _progress() -> Progress:
    talk = Console(stderr=True)
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*parts, console=talk, transient=True, disable=not talk.is_terminal)
