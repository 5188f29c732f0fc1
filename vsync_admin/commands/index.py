"""`vsync index`: a version's vector index, built beside the old one while searches and workers go on."""

import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.progress import Progress

from vsync_admin.arguments import check_json
from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.output import emit, say
from vsync_admin.pooler import refuse_transaction_pooling
from vsync_admin.queries import load

_STATEMENTS = "select statement from vsync.index_statements(%s::name, %s, %s::jsonb)"
_RECALL = "select vsync.estimate_recall(%s::name, %s, %s, %s) as recall"
_LOOK = 0.3  # seconds between looks at the progress

group = typer.Typer(help="Vector indexes: build or rebuild one without stopping anybody.", no_args_is_help=True)

Embedding = Annotated[str, typer.Argument(help="Name of the embedding.")]
Version = Annotated[int | None, typer.Argument(help="Number of the version; the active one without.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="index")


@group.command()
@takes_session
def build(session: Session, embedding: Embedding, version: Version = None) -> None:
    """Build the index of a version where it is missing; a worker would, and would keep publishing waiting meanwhile."""
    _build(session, embedding, version, None, anew=False)


@group.command()
@takes_session
def rebuild(
    session: Session,
    embedding: Embedding,
    version: Version = None,
    index: Annotated[
        str | None, typer.Option("--index", metavar="JSON", help='What shall differ, for example {"m": 32}.')
    ] = None,
) -> None:
    """Build a new index beside the old one, then swap them: after many changes, or with other options."""
    _build(session, embedding, version, check_json(index, "--index"), anew=True)


@group.command()
@takes_session
def recall(
    session: Session,
    embedding: Embedding,
    version: Version = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Neighbours looked for.")] = 10,
    samples: Annotated[int, typer.Option("--samples", min=1, max=1000, help="Stored vectors looked from.")] = 50,
) -> None:
    """Estimate how much of the exact answer the index gives; all vectors are read once a sample."""
    with connect(session) as connection:
        rows = connection.execute(_RECALL, (embedding, version, k, samples)).fetchall()
    emit(rows, as_json=session.json)


def _build(session: Session, embedding: str, version: int | None, index: str | None, *, anew: bool) -> None:
    with connect(session) as connection, connect(session) as watcher:
        refuse_transaction_pooling(connection, session.conninfo, "vsync index")
        arguments = {"embedding": embedding, "version": version}
        rows = connection.execute(load("index"), arguments).fetchall()
        if rows[0]["built"] and not anew:
            say("the index is built already")
            return
        listed = connection.execute(_STATEMENTS, (embedding, rows[0]["version"], index)).fetchall()
        _watch(connection, watcher, [row["statement"] for row in listed])
        rows = connection.execute(load("index"), arguments).fetchall()
    emit(rows, as_json=session.json)


def _watch(connection: psycopg.Connection[Row], watcher: psycopg.Connection[Row], statements: Sequence[str]) -> None:
    """Run the statements one by one and show how far the server is; an interrupt cancels the one that runs."""
    shown = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())
    with ThreadPoolExecutor(1) as pool, shown:
        bar = shown.add_task("", total=None)
        running: Future[None] = pool.submit(_run, connection, statements)
        try:
            while not wait([running], _LOOK).done:
                for row in watcher.execute(load("index_progress"), (connection.info.backend_pid,)):
                    shown.update(bar, description=row["phase"], completed=row["done"], total=row["total"])
            running.result()
        except BaseException:
            connection.cancel()
            raise


def _run(connection: psycopg.Connection[Row], statements: Sequence[str]) -> None:
    connection.execute("set statement_timeout = 0")
    for statement in statements:
        connection.execute(statement.encode())
