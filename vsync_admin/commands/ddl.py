"""`vsync ddl`: a migration that changes what documents read, in one transaction, with every vector kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import psycopg
import typer

from vsync_admin import outside
from vsync_admin.arguments import read_document
from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.output import emit, say
from vsync_admin.queries import load

if TYPE_CHECKING:
    from vsync_admin.ddl import Ddl

_LOCK_TIMEOUT = "select set_config('lock_timeout', %s, true)"
_RELEASE = "select vsync.release_table(%s::oid::regclass)"
_IN_THE_WAY = ("0A000", "2BP01")  # a view reads the column; other objects depend on it
_RESUME = "select vsync.resume_table(%s::oid::regclass)"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ddl")(ddl)


@dataclass(frozen=True)
class _Outcome:
    """tables: those released, by name. rows: the versions that were, as they are now. error: why one stays so."""

    tables: list[str]
    rows: list[Row]
    error: psycopg.Error | None


@takes_session
def ddl(
    session: Session,
    statement: Annotated[list[str] | None, typer.Argument(help="Statements, as psql takes them.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="File of statements; - is standard input.", allow_dash=True)
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="A table to release that no statement names as its own.")
    ] = None,
    lock_timeout: Annotated[str, typer.Option("--lock-timeout", help="How long to wait for a lock.")] = "5s",
) -> None:
    """Alter tables that documents read: release them, run the statements, follow the tables again.

    Everything happens in one transaction. Vectors stay; each document is compared, and only texts that differ are
    embedded.
    """
    from vsync_admin.ddl import split  # brings the engine's lexer

    scripts = [*(statement or []), *filter(None, [read_document(None, file)])]
    parts = [part for script in scripts for part in split(script)]
    if not parts:
        raise CommandError("there is no statement to run", code=ExitCode.USAGE)
    with connect(session) as connection:
        outcome = _run(connection, parts, table or [], lock_timeout)
    emit(outcome.rows, as_json=session.json)
    said = "1 statement" if len(parts) == 1 else f"{len(parts)} statements"
    down = [f"{row['embedding']} version {row['version']}" for row in outcome.rows if row["reason"]]
    if down:
        error = outcome.error
        why = "" if error is None else ": ".join(filter(None, [error.diag.message_primary, error.diag.message_detail]))
        raise CommandError(
            f"{said} committed, but not followed again: {', '.join(down)}",
            detail=f"{why or outcome.rows[0]['reason']}. Vectors stay, and results are stale.",
            hint="A worker tries again. select name, detail, remediation from vsync.doctor() where level = 'error'",
            code=ExitCode.FINDINGS,
        )
    rest = (
        f"released and followed again: {', '.join(outcome.tables)}" if outcome.rows else "no table had to be released"
    )
    say(f"{said} committed; {rest}")


def _run(connection: psycopg.Connection[Row], parts: "list[Ddl]", tables: list[str], lock_timeout: str) -> _Outcome:
    needed = any(part.needs_release for part in parts)
    names = [name for part in parts for name in part.tables] if needed else []
    error = None
    with connection.transaction():
        connection.execute(_LOCK_TIMEOUT, (lock_timeout,))
        named = connection.execute(load("ddl_tables"), {"names": names, "tables": tables}).fetchall()
        relations = [row["relation"] for row in named]
        released = [row for relation in relations for row in _release(connection, relation)]
        for part in parts:
            try:
                connection.execute(part.text.encode())
            except psycopg.Error as failure:
                failure.add_note(f"Nothing was changed. The statement is: {part.text}")
                if failure.sqlstate in _IN_THE_WAY:
                    failure.add_note("Where vsync did not see which table it alters, give it as --table.")
                raise
        for relation in dict.fromkeys(row["relation"] for row in released):
            try:
                # at COMMIT a server without plpython3u would find nobody who analyses the documents
                outside.execute(connection, _RESUME, (relation,))
            except psycopg.Error as failure:
                error = failure
    rows = connection.execute(load("ddl_state"), {"data": [row["data"] for row in released]}).fetchall()
    taken = {row["relation"] for row in released}
    return _Outcome([row["name"] for row in named if row["relation"] in taken], rows, error)


def _release(connection: psycopg.Connection[Row], relation: int) -> list[Row]:
    """Release a table and return the versions that were not released before; if there are none, leave all as it was."""
    released: list[Row] = []
    with connection.transaction():
        before = connection.execute(load("ddl_released"), (relation,)).fetchall()
        connection.execute(_RELEASE, (relation,))
        after = connection.execute(load("ddl_released"), (relation,)).fetchall()
        released = [row for row in after if row not in before]
        if not released:
            raise psycopg.Rollback
    return released
