"""`vsync worker`: sessions that keep vectors fresh."""

from typing import Annotated

import typer

from vsync_admin.connection import Session, takes_session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(worker)


@takes_session
def worker(
    session: Session,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Sessions at work.")] = 1,
    embedding: Annotated[str | None, typer.Option("--embedding", help="Work for this one only.")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Run the models in this process instead of in the server.")
    ] = False,
) -> None:
    """Keep sessions at work that keep vectors fresh, until SIGTERM or SIGINT.

    A session that is lost is made anew, with growing pauses. --local takes the load off the server: the directories
    of the registered models must then be readable here, under the same path. With --json the log is JSON.
    """
    from vsync_admin.worker import Assignment, keep

    keep(Assignment(session.conninfo, embedding, local, session.json), workers)
