"""`vsync dev`: the private cluster of this checkout."""

from typing import Annotated

import typer

from vsync_admin import dev
from vsync_admin.connection import Session, takes_json
from vsync_admin.output import emit_json, say

group = typer.Typer(help="A private PostgreSQL cluster: own directory, own socket, no TCP.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="dev")


@group.command()
@takes_json
def up(session: Session) -> None:
    """Start it, after a crash too; the first time it is created."""
    private = dev.up()
    if session.json:
        emit_json({"dsn": dev.dsn(), "directory": str(private.directory)})
    else:
        say(f"running in {private.directory}; log: {private.log}")


@group.command()
@takes_json
def down(session: Session) -> None:
    """Stop it; its data stays."""
    was_running = dev.down()
    if session.json:
        emit_json({"was_running": was_running})
    else:
        say("stopped" if was_running else "was not running")


@group.command()
@takes_json
def dsn(session: Session) -> None:
    """Print its connection string and nothing else."""
    if session.json:
        emit_json({"dsn": dev.dsn()})
    else:
        typer.echo(dev.dsn())


@group.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to psql.")] = None) -> None:
    """Run psql in it."""
    dev.psql(arguments or [])
