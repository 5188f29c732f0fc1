"""Statements that alter tables: where one ends, which tables it alters, whether a transaction block can hold it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vsync_admin.errors import CommandError, ExitCode
from vsync_engine.foundation.errors import EngineError
from vsync_engine.foundation.sql_lexer import Lexeme, lexemes

_TRANSACTION = re.compile(
    r"(begin|start transaction|commit|end|rollback|abort|savepoint|release|prepare transaction)\b"
)
_ALONE = re.compile(
    r"(vacuum|call|alter system|(create|drop) (database|tablespace|subscription)"
    r"|reindex .*\b(database|system|schema))\b|.*\bconcurrently\b"
)
_TARGET = re.compile(r"(alter|drop) ((foreign )?table|(materialized )?view)( if exists)?( only)?\b")
# what PostgreSQL refuses while a view reads the column, or a view groups by the primary key
_NEEDS_RELEASE = frozenset({"type", "expression", "drop"})
_NAME = ("word", "quoted")


@dataclass(frozen=True)
class Ddl:
    """One statement as it was written, and the tables that it alters or drops, each as SQL writes it.

    needs_release: whether the statement may fail while a document reads the table.
    """

    text: str
    tables: tuple[str, ...] = ()
    needs_release: bool = False


def split(script: str) -> list[Ddl]:
    """Return the statements of a script; CommandError (exit 2) for one that cannot run in a transaction block."""
    try:
        found = list(lexemes(script))
    except EngineError as error:
        message = error.message.replace("document query", "script")
        raise CommandError(message, detail=error.detail, hint=error.hint, code=ExitCode.USAGE) from error
    return [_statement(script, part) for part in _parts(found)]


def _parts(found: Sequence[Lexeme]) -> Iterator[list[Lexeme]]:
    """Cut at semicolons, but for those in the body of a function in standard SQL (begin atomic … end)."""
    part: list[Lexeme] = []
    open_blocks = 0
    for lexeme in found:
        word = lexeme.text.lower() if lexeme.kind == "word" else ""
        if word == "atomic" or (word == "case" and open_blocks):
            open_blocks += 1
        elif word == "end" and open_blocks:
            open_blocks -= 1
        if lexeme.text != ";" or open_blocks:
            part.append(lexeme)
        elif part:
            yield part
            part = []
    if part:
        yield part


def _statement(script: str, part: Sequence[Lexeme]) -> Ddl:
    text = script[part[0].start : part[-1].end]
    listed = [lexeme.text.lower() for lexeme in part if lexeme.kind == "word"]
    words = " ".join(listed)
    if _TRANSACTION.match(words):
        raise CommandError(
            "the statements run in one transaction, which vsync begins and ends",
            detail=f"One of them is: {text}",
            hint="Leave begin, commit, rollback and savepoint out.",
            code=ExitCode.USAGE,
        )
    if _ALONE.match(words):
        raise CommandError(
            "the statement cannot run in a transaction block",
            detail=f"It is: {text}",
            hint="Run it in psql: it changes no type of a column, so no table has to be released for it.",
            code=ExitCode.USAGE,
        )
    target = _TARGET.match(_leading_words(part))
    if target is None:
        return Ddl(text)
    names = part[len(target[0].split()) :]
    tables = _names(names) if target[1] == "drop" else _names(names)[:1]
    return Ddl(text, tuple(tables), not _NEEDS_RELEASE.isdisjoint(listed))


def _leading_words(part: Sequence[Lexeme]) -> str:
    """The words up to the first lexeme that is none: a quoted name is no keyword."""
    words: list[str] = []
    for lexeme in part:
        if lexeme.kind != "word":
            break
        words.append(lexeme.text.lower())
    return " ".join(words)


def _names(part: Sequence[Lexeme]) -> list[str]:
    """Return the names at the beginning, apart by commas, each with what stands before it and a dot."""
    names: list[str] = []
    name = ""
    for lexeme, following in zip(part, [*part[1:], None], strict=True):
        if lexeme.kind in _NAME:
            name += lexeme.text
            if following is None or following.text != ".":
                names.append(name)
                name = ""
                if following is None or following.text != ",":
                    break
        elif lexeme.text == ".":
            name += "."
        elif lexeme.text != ",":
            break
    return names
