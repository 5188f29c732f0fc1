"""Data to stdout as a table or as JSON; talk to stderr."""

import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import psycopg
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 10_000
_DRIVES = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories that move, colour, hide or reorder what a terminal shows
_HARMLESS = "\n\t\u200c\u200d"  # lines, tabs, and the joiners that Persian, Hindi and emoji are written with
_NO_GRANT = (
    "vsync_reader searches, vsync_operator runs workers and reads statistics, vsync_admin makes embeddings. As a"
    " superuser, for example: grant vsync_operator to ROLE"
)


def printable(text: str) -> str:
    """Return a text as a terminal may show it: characters that would drive the terminal are written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _DRIVES and c not in _HARMLESS else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def cell(value: object) -> Text:
    """Return a value as a cell of a table shows it: null is empty, markup is shown as it is written."""
    return Text("" if value is None else printable(str(value)))


def say(text: str) -> None:
    """Tell the person something; stdout stays free for data."""
    sys.stderr.write(f"{printable(text)}\n")


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
    made = Table(title=None if title is None else cell(title), box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        numeric = all(isinstance(row[name], (int, float)) for row in rows if row[name] is not None)
        made.add_column(cell(name), justify="right" if numeric else "left")
    for row in rows:
        made.add_row(*map(cell, row.values()))
    return made


def console() -> Console:
    """Return a console on stdout; wide enough never to wrap where stdout is no terminal."""
    return Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


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
    hint = diagnostic.message_hint or (_NO_GRANT if _lacks_grant(error) else "")
    report(message, detail=detail, hint=hint, sqlstate=error.sqlstate or "")


def _lacks_grant(error: psycopg.Error) -> bool:
    return error.sqlstate == "42501" and "vsync" in (error.diag.message_primary or "")


def close_stdout() -> None:
    """Drop what could not be written because the reader went away, so that nothing complains at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
