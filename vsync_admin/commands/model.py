"""`vsync model`: fetching models and registering them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import orjson
import typer

from vsync_admin import catalogue, outside
from vsync_admin.connection import Row, Session, connect, takes_session
from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.output import emit, say
from vsync_admin.queries import load

_SERVER_DIRECTORY = "file://"
_REGISTER = "select vsync.register_model(%s::name, %s::text, %s::jsonb)"
_COLUMNS = ("name", "revision", "current", "dimensions", "max_tokens", "pooling", "source")
_KNOWN = "\n\n".join(f"{name}: {entry.summary}; {entry.licence}" for name, entry in catalogue.CATALOGUE.items())

group = typer.Typer(help="Models: ONNX text embedders, registered by name.", no_args_is_help=True)

Store = Annotated[
    Path | None, typer.Option("--store", help="Where fetched models are kept; the server must be able to read it.")
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="pooling, max_tokens, normalize, query_prefix, passage_prefix or file. May be repeated.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="model")


@group.command(epilog=f"The catalogue:\n\n{_KNOWN}")
@takes_session
def add(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name to register the model under.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A directory of this machine; hf:owner/name[@revision]; a name of the catalogue;"
            " or file:///directory, a directory of the server that is not looked at here"
            " unless the server runs no models."
        ),
    ],
    store: Store = None,
    option: Options = None,
) -> None:
    """Fetch a model if need be, and register it with the database. For superusers, and for who installed vsync.

    The same files again change nothing; other files under the same name make a new revision.
    """
    options = parse_options(option or [])
    with connect(session) as connection:
        if not source.startswith(_SERVER_DIRECTORY):
            file = options.get("file")
            directory = catalogue.locate(source, store=store, file=str(file) if file else None, report=say)
            source = f"{_SERVER_DIRECTORY}{directory}"
        outside.execute(connection, _REGISTER, (name, source, orjson.dumps(options).decode()))
        rows = connection.execute(load("models"), {"name": name}).fetchall()
    emit(rows if session.json else _short(rows), as_json=session.json)


@group.command("list")
@takes_session
def list_(session: Session) -> None:
    """List the registered models, a line a revision."""
    with connect(session) as connection:
        rows = connection.execute(load("models"), {"name": None}).fetchall()
    if not rows:
        say("no model is registered; for a first one: vsync model add minilm minilm")
    emit(rows if session.json else _short(rows), as_json=session.json)


def _short(rows: list[Row]) -> list[Row]:
    return [{name: row[name] for name in _COLUMNS} for row in rows]


def parse_options(given: Iterable[str]) -> dict[str, object]:
    """Return `key=value` words as a mapping; a value that is JSON counts as JSON, anything else as text."""
    options: dict[str, object] = {}
    for word in given:
        key, equals, text = word.partition("=")
        if not key or not equals:
            raise CommandError(
                f'"{word}" is not KEY=VALUE', hint="For example: --option pooling=cls", code=ExitCode.USAGE
            )
        options[key] = _value(text)
    return options


def _value(text: str) -> object:
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value
