"""`vsync version`: another model, document or chunking, built beside the one that is served."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, LiteralString

import orjson
import typer

from vsync_admin import catalogue, comparison, outside, progress
from vsync_admin.arguments import Chunk, Document, File, Yes, check_json, confirm, read_document
from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.output import console, emit, say, table
from vsync_admin.queries import load
from vsync_admin.watch import watch as watch_rows

_EXISTS = "select from vsync_internal.find_embedding(%s::name)"
_ACTIVATE = "select vsync.activate_version(%s::name, %s, %s) as version"
_ROLLBACK = "select vsync.rollback_version(%s::name) as version"
_DROP = "select vsync.drop_version(%s::name, %s) as version"
_SHOWN = 60  # characters of a text in a table
_WORST = 3  # queries in the terminal
_WORST_ON_PAGE = 20
_FIGURES = ("overlap", "rbo", "rank_shift")
_JUDGED = ("ndcg_a", "ndcg_b", "recall_a", "recall_b")

group = typer.Typer(help="Versions: change the model, document or chunking with no downtime.", no_args_is_help=True)

Embedding = Annotated[str, typer.Argument(help="Name of the embedding.")]
Version = Annotated[int, typer.Argument(help="Number of the version.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="version")


@group.command()
@takes_session
def add(
    session: Session,
    embedding: Embedding,
    model: Annotated[str | None, typer.Option("--model", help="A registered model.")] = None,
    document: Document = None,
    file: File = None,
    chunk: Chunk = None,
    index: Annotated[
        str | None, typer.Option("--index", metavar="JSON", help='What differs, for example {"type": "ivfflat"}.')
    ] = None,
) -> None:
    """Add a version beside the active one; workers fill it, and every change reaches both.

    What is not given is as in the active version. --chunk null: one chunk a document.
    """
    given = check_json(index, "--index")
    arguments = {
        "embedding": embedding,
        "model": model,
        "document": read_document(document, file),
        "chunk": check_json(chunk, "--chunk"),
        "options": "{}" if given is None else orjson.dumps({"index": orjson.loads(given)}).decode(),
    }
    with connect(session) as connection, catalogue.suggesting(model):
        rows = outside.execute(connection, load("add_version"), arguments)
    emit(rows, as_json=session.json)
    say(f"once a worker has filled it: vsync version activate {embedding} {rows[0]['version']}")


@group.command("list")
@takes_session
def list_(
    session: Session,
    embedding: Annotated[str | None, typer.Argument(help="Name of the embedding; all without.")] = None,
) -> None:
    """List the live versions and what makes them; how far each is, vsync version status tells."""
    with connect(session) as connection:
        if embedding is not None:
            connection.execute(_EXISTS, (embedding,))
        rows = connection.execute(load("versions"), {"embedding": embedding}).fetchall()
    emit(rows, as_json=session.json)


@group.command()
@takes_session
def status(
    session: Session,
    embedding: Annotated[str | None, typer.Argument(help="Name of the embedding; all without.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until interrupted.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.1, help="Seconds between looks.")] = 1.0,
) -> None:
    """Show how far each live version is: its phase, a bar, documents done, how many a second, the time left.

    With --watch --json a line of JSON is written at each look.
    """
    with connect(session) as connection:
        if embedding is not None:
            connection.execute(_EXISTS, (embedding,))

        def look() -> list[Row]:
            return connection.execute(load("version_progress"), {"embedding": embedding}).fetchall()

        if watch:
            watch_rows(look, progress.bars, interval, as_json=session.json)
        elif session.json:
            emit(look(), as_json=True)
        else:
            console().print(progress.bars(look()))


@group.command()
@takes_session
def activate(
    session: Session,
    embedding: Embedding,
    version: Version,
    force: Annotated[bool, typer.Option("--force", help="Serve it whatever speaks against it; that is kept.")] = False,
) -> None:
    """Serve a version from the next statement on. Refused while documents lack vectors, or where the gate asks more."""
    _switch(session, _ACTIVATE, embedding, version, force)


@group.command()
@takes_session
def rollback(session: Session, embedding: Embedding) -> None:
    """Serve the version again that was served before the last activation; nothing is embedded."""
    _switch(session, _ROLLBACK, embedding)


@group.command()
@takes_session
def drop(session: Session, embedding: Embedding, version: Version, yes: Yes = False) -> None:
    """Drop a version with its vectors; never the active one, nor what a rollback would serve. Asks, or takes --yes."""
    confirm(f'Drop version {version} of embedding "{embedding}" with its vectors?', yes=yes)
    _switch(session, _DROP, embedding, version)


@group.command()
@takes_session
def compare(
    session: Session,
    embedding: Embedding,
    version_a: Annotated[int, typer.Argument(help="Number of a version.")],
    version_b: Annotated[int, typer.Argument(help="Number of another one.")],
    query: Annotated[list[str] | None, typer.Option("--query", help="A query. May be repeated.")] = None,
    queries: Annotated[Path | None, typer.Option("--queries", help="File with a query a line.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Documents compared.")] = 10,
    worst: Annotated[
        int | None, typer.Option("--worst", min=0, help="Queries shown with both answers; 3, on a page 20.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with plots, one file that needs no network."),
    ] = None,
) -> None:
    """Answer queries by both versions, without their indexes, and say how far they agree, the worst queries first.

    Without queries, those of vsync.judgements are taken, else 100 documents of the first version. Where queries are
    judged, nDCG and recall are told, too. --json prints every query with both answers.
    """
    arguments = {
        "embedding": embedding,
        "version_a": version_a,
        "version_b": version_b,
        "queries": _queries(query or [], queries),
        "k": k,
    }
    with connect(session) as connection:
        rows = outside.execute(connection, load("compare_versions"), arguments)
        versions = connection.execute(load("versions"), {"embedding": embedding}).fetchall()
    if html is not None:
        both = [next(row for row in versions if row["version"] == version) for version in (version_a, version_b)]
        _write(html, comparison.page(embedding, both, rows, k=k, shown=_WORST_ON_PAGE if worst is None else worst))
    if session.json:
        emit(rows, as_json=True)
        return
    emit([_scores(row, judged=rows[-1]["ndcg_a"] is not None) for row in rows], as_json=False)
    for row in rows[:-1][: _WORST if worst is None else worst]:
        title = _short(row["query"])
        console().print()
        console().print(table(_side_by_side(row, version_a, version_b), title=title))


def _switch(session: Session, statement: LiteralString, *arguments: object) -> None:
    with connect(session) as connection:
        rows = connection.execute(statement, arguments).fetchall()
    emit(rows, as_json=session.json)


def _queries(given: list[str], file: Path | None) -> list[str] | None:
    if file is not None:
        try:
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read {file}", detail=str(error), code=ExitCode.USAGE) from error
        given = [*given, *(line for line in lines if line.strip())]
        if not given:
            raise CommandError(f"{file} holds no query", code=ExitCode.USAGE)
    return given or None


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {file}", detail=str(error), code=ExitCode.USAGE) from error
    say(f"wrote {file}")


def _scores(row: Row, *, judged: bool) -> Row:
    name = "mean" if row["query"] is None else _short(row["query"])
    figures = (*_FIGURES, *_JUDGED) if judged else _FIGURES
    return {"query": name, **{figure: None if row[figure] is None else round(row[figure], 3) for figure in figures}}


def _side_by_side(row: Row, version_a: int, version_b: int) -> Sequence[dict[str, object]]:
    first: list[Row] = row["answers_a"] or []
    second: list[Row] = row["answers_b"] or []
    return [
        {
            "place": place + 1,
            f"version {version_a}": _answer(first[place : place + 1]),
            f"version {version_b}": _answer(second[place : place + 1]),
        }
        for place in range(max(len(first), len(second)))
    ]


def _answer(found: list[Row]) -> str:
    return "".join(f"{orjson.dumps(one['key']).decode()} {_short(one['content'])}" for one in found)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
