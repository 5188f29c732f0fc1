"""`vsync doctor`: what is wrong with an installation, and what to do about it."""

from enum import StrEnum
from typing import Annotated

import typer

from vsync_admin.connection import Session, connect, takes_session
from vsync_admin.errors import ExitCode
from vsync_admin.output import emit, say

_DOCTOR = "select d.level, d.name, d.detail, d.remediation from vsync.doctor() as d"


class Level(StrEnum):
    """How grave a finding is, the gravest first."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


@takes_session
def doctor(
    session: Session,
    everything: Annotated[bool, typer.Option("--all", help="Checks that found nothing, too.")] = False,
    fail_on: Annotated[Level, typer.Option("--fail-on", help="Exit code 4 from this level on.")] = Level.ERROR,
) -> None:
    """Check the installation and every embedding. Exit code 4 when an error was found, or what --fail-on says."""
    with connect(session) as connection:
        rows = connection.execute(_DOCTOR).fetchall()
    found = [row for row in rows if everything or row["level"] != "ok"]
    emit(found, as_json=session.json)
    levels = list(Level)
    failing = levels[: levels.index(fail_on) + 1]
    if not found:
        say("nothing to report")
    if any(row["level"] in failing for row in rows):
        raise typer.Exit(ExitCode.FINDINGS)
