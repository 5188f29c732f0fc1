"""Data to stdout as a table or as JSON; talk to stderr."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import psycopg
from rich.console import Console
from rich.table import Table

_PIPE_WIDTH = 10_000


def say(text: str) -> None:
    """Tell the person something; stdout stays free for data."""
    sys.stderr.write(f"{text}\n")


def emit(rows: Iterable[Mapping[str, Any]], *, as_json: bool, title: str | None = None) -> None:
    """Print rows: a JSON array of objects, or a table with the keys of the first row as its head."""
    listed = list(rows)
    if as_json:
        emit_json(listed)
    elif listed:
        console().print(table(listed, title=title))


def emit_json(value: object) -> None:
    """Print one JSON value; what JSON does not know (intervals, decimals, vectors) becomes its text."""
    sys.stdout.write(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")


def table(rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> Table:
    """Return rows as a rich table; numbers stand right, nulls are empty."""
    made = Table(title=title, box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        numeric = all(isinstance(row[name], (int, float)) for row in rows if row[name] is not None)
        made.add_column(name, justify="right" if numeric else "left")
    for row in rows:
        made.add_row(*("" if value is None else str(value) for value in row.values()))
    return made


def console() -> Console:
    """Return a console on stdout; wide enough never to wrap where stdout is no terminal."""
    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def report(message: str, *, detail: str = "", hint: str = "", sqlstate: str = "") -> None:
    """Write an error to stderr in the server's own form."""
    say(f"ERROR:  {f'{sqlstate}: ' if sqlstate else ''}{message}")
    for label, text in (("DETAIL", detail), ("HINT", hint)):
        if text:
            say(f"{label}:  {text}")


def report_database_error(error: psycopg.Error) -> None:
    """Write what the server said, with SQLSTATE, DETAIL, HINT and the notes added on the way."""
    diagnostic = error.diag
    detail = "\n".join(filter(None, [diagnostic.message_detail, *getattr(error, "__notes__", [])]))
    message = diagnostic.message_primary or str(error).strip() or type(error).__name__
    report(message, detail=detail, hint=diagnostic.message_hint or "", sqlstate=error.sqlstate or "")


def close_stdout() -> None:
    """Drop what could not be written because the reader went away, so that nothing complains at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
