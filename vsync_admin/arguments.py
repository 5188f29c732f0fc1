"""Arguments that several commands take: a document query, and JSON."""

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from vsync_admin.errors import CommandError, ExitCode
from vsync_admin.output import printable

Document = Annotated[
    str | None, typer.Option("--document", metavar="SQL", help="The document query: the key, and a text content.")
]
File = Annotated[
    Path | None, typer.Option("--file", help="File with the document query; - is standard input.", allow_dash=True)
]
Chunk = Annotated[
    str | None, typer.Option("--chunk", metavar="JSON", help='For example {"tokens": 200, "overlap": 20}.')
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost; CommandError where the answer is no, or nobody is there to answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("there is no terminal to ask at", hint="Add --yes.", code=ExitCode.USAGE)
    if not typer.confirm(printable(question), err=True):
        raise CommandError("nothing was dropped")


def read_document(document: str | None, file: Path | None) -> str | None:
    """Return the query that one of the two options gives, None where neither does; CommandError where both do."""
    if document is not None and file is not None:
        raise CommandError("give either --document or --file", code=ExitCode.USAGE)
    if file is None:
        return document
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {file}", detail=str(error), code=ExitCode.USAGE) from error


def check_json(text: str | None, option: str) -> str | None:
    """Return what was given; CommandError where it is not JSON."""
    if text is not None:
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise CommandError(f"{option} is not JSON", detail=str(error), code=ExitCode.USAGE) from error
    return text
