"""`vsync embedding`: declaring embeddings and looking at them."""

from typing import Annotated

import orjson
import typer

from vsync_admin import catalogue, outside
from vsync_admin.arguments import Chunk, Document, File, Yes, check_json, confirm, read_document
from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.output import console, emit, emit_json, table
from vsync_admin.queries import load

_DROP = "select vsync.drop_embedding(%s::name, %s) as name"
_REPAIR = "select vsync.repair_capture(%s::name) as triggers"
_EXISTS = "select from vsync_internal.find_embedding(%s::name)"
_INDEX = '{"type": "hnsw", "distance": "cosine"}'

group = typer.Typer(help="Embeddings: which text of which rows is kept fresh.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the embedding.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="embedding")


@group.command()
@takes_session
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the embedding, and of the view that serves it.")],
    model: Annotated[str, typer.Option("--model", help="A registered model.")],
    document: Document = None,
    file: File = None,
    chunk: Chunk = None,
    index: Annotated[str, typer.Option("--index", metavar="JSON", help="The vector index.")] = _INDEX,
    capture: Annotated[str, typer.Option("--capture", help="trigger or manual.")] = "trigger",
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="Nothing happens when it is there.")] = False,
) -> None:
    """Declare an embedding; workers fill it.

    Exactly one of --document and --file says which rows and which text.
    """
    query = read_document(document, file)
    if query is None:
        raise CommandError("give either --document or --file", code=ExitCode.USAGE)
    arguments = {
        "name": name,
        "document": query,
        "model": model,
        "capture": capture,
        "chunk": check_json(chunk, "--chunk"),
        "index": check_json(index, "--index"),
        "if_not_exists": if_not_exists,
    }
    with connect(session) as connection, catalogue.suggesting(model):
        rows = outside.execute(connection, load("create_embedding"), arguments)
    emit(rows, as_json=session.json)


@group.command("list")
@takes_session
def list_(session: Session) -> None:
    """List the embeddings, a line a live version."""
    with connect(session) as connection:
        rows = connection.execute(load("embeddings")).fetchall()
    emit(rows, as_json=session.json)


@group.command()
@takes_session
def show(session: Session, name: Name) -> None:
    """Show what an embedding is made of and how it stands."""
    with connect(session) as connection:
        connection.execute(_EXISTS, (name,))
        versions = connection.execute(load("embedding"), {"name": name}).fetchall()
        status = connection.execute(load("status"), {"embedding": name}).fetchall()
    if session.json:
        emit_json({"versions": versions, "status": status})
        return
    for row, standing in zip(versions, status, strict=True):
        console().print(table(_upright({**row, **standing})))


@group.command()
@takes_session
def drop(
    session: Session,
    name: Name,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="Nothing happens when it is not there.")] = False,
    yes: Yes = False,
) -> None:
    """Drop an embedding with its vectors, view and capture; the source table stays as it is. Asks, or takes --yes."""
    confirm(f'Drop embedding "{name}" with all its versions and vectors?', yes=yes)
    with connect(session) as connection:
        rows = connection.execute(_DROP, (name, if_exists)).fetchall()
    emit([row for row in rows if row["name"]], as_json=session.json)


@group.command()
@takes_session
def repair(session: Session, name: Name) -> None:
    """Put triggers back, follow renames that no event trigger saw, and look at every document again."""
    with connect(session) as connection:
        rows = outside.execute(connection, _REPAIR, (name,))
    emit(rows, as_json=session.json)


def _upright(row: Row) -> list[dict[str, object]]:
    return [{"what": name, "value": _text(value)} for name, value in row.items() if value is not None]


def _text(value: object) -> str:
    return orjson.dumps(value).decode() if isinstance(value, (dict, list)) else str(value)
