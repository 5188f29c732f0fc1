"""`vsync doctor`: what is wrong with an installation, and what to do about it."""

from typing import Annotated

import typer

from vsync_admin.connection import Session, connect, takes_session
from vsync_admin.errors import ExitCode
from vsync_admin.output import emit, say

_DOCTOR = "select d.level, d.name, d.detail, d.remediation from vsync.doctor() as d"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


@takes_session
def doctor(
    session: Session,
    everything: Annotated[bool, typer.Option("--all", help="Checks that found nothing, too.")] = False,
) -> None:
    """Check the installation and every embedding. Exit code 4 when an error was found, 0 for less."""
    with connect(session) as connection:
        rows = connection.execute(_DOCTOR).fetchall()
    found = [row for row in rows if everything or row["level"] != "ok"]
    emit(found, as_json=session.json)
    errors = sum(row["level"] == "error" for row in rows)
    if not found:
        say("nothing to report")
    if errors:
        raise typer.Exit(ExitCode.FINDINGS)
