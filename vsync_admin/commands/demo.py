"""`vsync demo`: the main job, end to end."""

import sys
from dataclasses import asdict

import typer
from rich.console import Console

from vsync_admin.connection import Session, takes_json
from vsync_admin.output import emit_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


@takes_json
def demo(session: Session) -> None:
    """Show the main job on a private cluster: this machine's Debian packages, searched by meaning and kept fresh.

    May be repeated: the table is set back to the catalogue first. Exit code 1 when anything is not as it says.
    """
    from vsync_admin import demo as show

    talk = Console(file=sys.stderr, markup=False, highlight=False, soft_wrap=True)
    console = talk if session.json else Console(file=sys.stdout, markup=False, highlight=False, soft_wrap=True)
    outcome = show.run(console, talk)
    if session.json:
        emit_json(asdict(outcome))
    else:
        show.next_steps(console, outcome.dsn)
