"""`vsync install`: vsync in a database whose server's files cannot be touched."""

import typer

from vsync_admin import __version__
from vsync_admin.connection import Session, connect, schemas_of_vsync, takes_session
from vsync_admin.errors import CommandError
from vsync_admin.output import emit, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(install)


@takes_session
def install(session: Session) -> None:
    """Install vsync into a database without an extension: the same SQL, in one transaction.

    Needs pgvector. Where plpython3u is missing, or the role is no superuser, what needs it is left out: the engine
    then runs in `vsync` and in `vsync worker --local`. On a server of your own use `make install` and `create
    extension vsync cascade`.
    """
    from vsync_admin.extension import install_into

    with connect(session, installed=False) as connection:
        if found := schemas_of_vsync(connection):
            raise CommandError(
                f'vsync is already installed in database "{connection.info.dbname}"',
                detail=f"It has schema {', '.join(found)}.",
                hint="Check it: vsync doctor. To start over, and lose all vectors: drop extension vsync cascade, or"
                f" without the extension: drop schema {', '.join(found)} cascade.",
            )
        omitted = install_into(connection)
        row = {"database": connection.info.dbname, "version": __version__, "omitted": " ".join(omitted)}
    for name in omitted:
        say(f"left out {name}: no plpython3u for this role")
    emit([row], as_json=session.json)
