"""SQL text to syntax trees, and back to a place in the text when something is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from vsync_engine.documents.catalog import Query
from vsync_engine.documents.source_text import PostgresWithText
from vsync_engine.documents.unsupported import find_refusal, unwrapped
from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import CATALOG_DISAGREES, DOCUMENT_SYNTAX, DOCUMENT_UNSUPPORTED, EngineError

_RECURSION_LIMIT = 60_000
_FUNCTION_HINT = "Move the expression at that place into an immutable SQL function."


def original(text: str, what: str = "document query") -> exp.Expr:
    """The one statement of a text as its author wrote it; VS201 if it cannot be parsed or there are several."""
    try:
        statements = _parse(text)
    except SqlglotError as error:
        raise EngineError(
            f"{what} cannot be parsed",
            sqlstate=DOCUMENT_SYNTAX,
            detail=f"{_failure(text, error)}.",
            hint="If PostgreSQL accepts the query: write the operator there as operator(schema.sign), or move the "
            "expression into an immutable SQL function.",
        ) from error
    if len(statements) != 1:
        raise at(text, 0, "is more than one statement", "Give one SELECT.")
    return unwrapped(statements[0])


def stored(query: Query) -> exp.Select:
    """The tree of a stored query; VS203 for what is not understood, and for shapes that are not supported."""
    try:
        statements = _parse_stored(query)
    except SqlglotError as error:
        raise EngineError(
            "document query has an expression that is not understood",
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail=f"In the stored query of {query.name}: {_failure(query.text, error)}.",
            hint=_FUNCTION_HINT,
        ) from error
    refusal = find_refusal(statements[0])
    if refusal is not None:
        raise unsupported(refusal.what, query, refusal.node, refusal.hint, refusal.words)
    assert isinstance(statements[0], exp.Select)
    return statements[0]


def _parse_stored(query: Query) -> list[exp.Expr]:
    try:
        return _parse(query.text)
    except SqlglotError:
        # from version 16 on the server leaves a column called "drop" bare, which the parser takes for a command
        with suppress(SqlglotError):
            return _parse(query.quoted)
        raise


@contextmanager
def deep_recursion() -> Generator[None]:
    """The server writes a || b || c with a parenthesis for each operator, and the parser descends into each."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION_LIMIT))
    try:
        yield
    except RecursionError as error:
        raise EngineError(
            "document query has too deep a nesting",
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail="The parser cannot descend into it.",
            hint="Move a part into an immutable SQL function.",
        ) from error
    finally:
        sys.setrecursionlimit(before)


def sql(node: exp.Expr, length: int = 200) -> str:
    """A part of a query as text for people."""
    return sql_lexer.shortened(node.sql(dialect="postgres", normalize_functions=False), length)


def offset(text: str, node: exp.Expr, words: tuple[str, ...] = ()) -> int:
    """Where a part of the query begins: at one of its keywords, else at the first name or literal in it.

    A query in the query begins at the last SELECT before that.
    """
    first = min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=0)
    found = list(sql_lexer.lexemes(text))
    starts = [lexeme.start for lexeme in found if lexeme.kind in ("word", "symbol") and lexeme.text.lower() in words]
    if starts:
        return min(starts, key=lambda start: (abs(first - start), start)) if len(starts) > 1 else starts[0]
    if isinstance(node.unnest(), exp.Select) and node.parent is not None:
        selects = [lexeme.start for lexeme in found if lexeme.text.lower() == "select" and lexeme.start < first]
        return selects[-1] if selects else first
    return first


def standing_alone(text: str, sign: str, name: str = "") -> int | None:
    """Where a sign stands, right before the name, that is not a part of a longer operator."""
    for lexeme in sql_lexer.lexemes(text):
        around = text[max(0, lexeme.start - 1) : lexeme.start] + text[lexeme.end : lexeme.end + 1]
        if lexeme.text == sign and text.startswith(name, lexeme.end) and not set(around) & set("+-*/<>=~!@#%^&|`?:"):
            return lexeme.start
    return None


def at(text: str, start: int, what: str, hint: str, lead: str = "It is at") -> EngineError:
    """VS201 about a place in the author's text."""
    return EngineError(
        f"document query {what}", sqlstate=DOCUMENT_SYNTAX, detail=f"{lead} {sql_lexer.place(text, start)}.", hint=hint
    )


def unsupported(what: str, query: Query, node: exp.Expr | None, hint: str, words: tuple[str, ...] = ()) -> EngineError:
    """VS203 about a part of a stored query."""
    detail = f"In the stored query of {query.name}."
    if node is not None:
        place = sql_lexer.place(query.text, offset(query.text, node, words))
        detail = f"In the stored query of {query.name}: {place}: {sql(node, 120)}."
    return EngineError(f"document query has {what}", sqlstate=DOCUMENT_UNSUPPORTED, detail=detail, hint=hint)


def disagreement(detail: str) -> EngineError:
    """VS205: what was read in the text is not what the server recorded."""
    return EngineError(
        "document query and catalog disagree about what is read",
        sqlstate=CATALOG_DISAGREES,
        detail=detail,
        hint="Move an unusual expression (an operator such as @, XML) into an immutable SQL function of the columns.",
    )


def _parse(text: str) -> list[exp.Expr]:
    with deep_recursion():
        statements = sqlglot.parse(text, dialect=PostgresWithText)
    return [statement for statement in statements if statement is not None and not isinstance(statement, exp.Semicolon)]


def _failure(text: str, error: SqlglotError) -> str:
    first = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    line, column, found = first.get("line"), first.get("col"), first.get("highlight") or ""
    if line is None or column is None:
        return "The parser stops"
    start = sum(len(part) for part in text.splitlines(keepends=True)[: line - 1]) + column - len(found)
    return f"The parser stops at {sql_lexer.place(text, max(0, start))}"
