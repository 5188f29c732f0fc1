"""The condition of a rule as its author wrote it: one expression, and what it reads of old, new, doc, last and change.

Where strings, comments and names end, and so what is one expression and which columns it names, is decided by the
server's own lexical rules. The parser adds what only a tree shows. What passes stands in parentheses in a statement.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from vsync_engine.documents import parser
from vsync_engine.documents.catalog import quoted
from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import RULE_CONDITION, RULE_NAMES, EngineError
from vsync_engine.foundation.sql_lexer import Lexeme

NAMES = ("old", "new", "doc", "last", "change")

_LONGEST = 100_000
_DEEPEST = 1000
_CLOSED_BY = {"(": ")", "[": "]"}
_QUERY_WORDS = frozenset({"select", "table", "values"})
# what the parser takes for a column without a table
_SESSION_VALUES = frozenset({"current_role", "current_user", "session_user", "user"})
# types without "=", and those whose "=" compares less than what is written
_COMPARED_AS_TEXT = frozenset({"json", "xml", "point", "lseg", "line", "box", "path", "polygon", "circle"})
_EXAMPLE = "For instance: new.price < 10 and old.price >= 10."
_CHANGED_EXAMPLE = "Write vsync.changed(new, old, 'price', 'title'), with new, old and names of columns in quotes."


@dataclass(frozen=True)
class Column:
    """A column that can be named: its name, and its type as `format_type` writes it."""

    name: str
    type: str


@dataclass(frozen=True)
class Condition:
    """An expression understood. sql: as it is run. columns: of each of NAMES the columns it reads, in order."""

    sql: str
    columns: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Reference:
    """A name of NAMES at lexeme `index`, with the column named after it; None: the row as a whole."""

    index: int
    name: str
    column: str | None


def read(
    text: str, known: Mapping[str, Sequence[Column]], *, what: str = "condition", subqueries: bool = False
) -> Condition:
    """Understand an expression of a rule over the columns that each name has.

    VS601: it is not one expression, or has a part that no rule can have. VS602: it names what does not exist. DETAIL
    has line and column.
    """
    if len(text) > _LONGEST:
        detail = f"It has {len(text)} characters; {_LONGEST} are allowed."
        raise _error(f"{what} is too long", detail, "Keep the values in a table and set params.subqueries.")
    try:
        found = list(sql_lexer.lexemes(text))
        _require_expression(text, found, what, subqueries)
        rewritten = _spell_out_changed(text, found, known)
        with parser.deep_recursion():
            _require_parts(text, _tree(text, what), what, subqueries)
    except EngineError as error:
        raise _reworded(error, what) from error
    pieces = list(sql_lexer.lexemes(rewritten))
    references = list(_references(pieces))
    for reference in references:
        _require_column(rewritten, pieces, reference, known, what)
    return Condition(
        sql=_without_comments(rewritten, pieces),
        columns={name: _columns(name, references, known[name]) for name in NAMES},
    )


def _require_expression(text: str, found: Sequence[Lexeme], what: str, subqueries: bool) -> None:
    """One expression by lexical rules: no second one behind a sign, no placeholder, no query."""
    if not found:
        raise _error(f"{what} is empty", "It holds no expression.", _EXAMPLE)
    _require_brackets(text, found, what)
    for index, lexeme in enumerate(found):
        if lexeme.kind == "parameter":
            raise _at(text, lexeme, f"{what} has a placeholder", "Write the value itself.")
        if lexeme.text == ";":
            raise _at(text, lexeme, f"{what} is more than one expression", "Take the semicolon out.")
        if not subqueries and _begins_query(found, index):
            hint = "Set params.subqueries to true if the tables it reads are small and seldom change."
            raise _at(text, lexeme, f"{what} has a subquery", hint)
        if _is_unicode_escape(found, index):
            raise _at(text, lexeme, f"{what} has a Unicode escape", "Write the characters themselves.")


def _require_brackets(text: str, found: Sequence[Lexeme], what: str) -> None:
    """Brackets that match, so that none closes the one that a statement puts around the expression."""
    still_open: list[str] = []
    for lexeme in found:
        if lexeme.text in _CLOSED_BY:
            still_open.append(lexeme.text)
            if len(still_open) > _DEEPEST:
                raise _at(text, lexeme, f"{what} is nested too deeply", "Move a part into an immutable function.")
        elif lexeme.text in _CLOSED_BY.values():
            if not still_open or _CLOSED_BY[still_open.pop()] != lexeme.text:
                raise _at(text, lexeme, f"{what} closes a bracket that is not open", "Take it out.")
        elif lexeme.text == "," and not still_open:
            raise _at(text, lexeme, f"{what} is more than one expression", "Join the expressions with and, or or.")
    if still_open:
        raise _error(f"{what} does not close a bracket", f'A "{still_open[-1]}" is still open.', "Close it.")


def _begins_query(found: Sequence[Lexeme], index: int) -> bool:
    word = found[index].text.lower()
    before = found[index - 1].text if index else "("
    return word in _QUERY_WORDS and (before == "(" if word == "values" else before != ".")


def _is_unicode_escape(found: Sequence[Lexeme], index: int) -> bool:
    """U&"…" and U&'…' spell names and texts in a way that hides them from everything here."""
    if found[index].text.lower() != "u" or index + 2 >= len(found):
        return False
    sign, literal = found[index + 1], found[index + 2]
    adjoining = found[index].end == sign.start and sign.end == literal.start
    return adjoining and sign.text == "&" and literal.kind in ("quoted", "string")


def _tree(text: str, what: str) -> exp.Expr:
    try:
        return sqlglot.parse_one(text, dialect="postgres", into=exp.Condition)
    except SqlglotError as error:
        raise _error(
            f"{what} cannot be parsed",
            f"It is: {sql_lexer.shortened(' '.join(text.split()), 200)}.",
            f"It must be one boolean expression. {_EXAMPLE} An unusual operator is written operator(schema.sign).",
        ) from error


def _require_parts(text: str, tree: exp.Expr, what: str, subqueries: bool) -> None:
    for node in tree.walk():
        inside = node.find_ancestor(exp.Query) is not None
        match node:
            case exp.Insert() | exp.Update() | exp.Delete() | exp.Merge() | exp.Into() | exp.Lock():
                raise _about(text, node, f"{what} writes or locks", "A rule only reads.")
            case exp.Placeholder() | exp.Parameter():
                hint = "Write the value itself; the prefix operator @ is abs(…)."
                raise _about(text, node, f"{what} has a placeholder", hint)
            case exp.Query() if not subqueries:
                raise _about(text, node, f"{what} has a subquery", "Set params.subqueries to true.")
            case exp.AggFunc() if not inside:
                raise _about(text, node, f"{what} has an aggregate", "A rule looks at one document at a time.")
            case exp.Window() if not inside:
                raise _about(text, node, f"{what} has a window function", "A rule looks at one document at a time.")
            case exp.Explode() | exp.Unnest() | exp.GenerateSeries() if not inside:
                hint = "Compare with = any (…)."
                raise _about(text, node, f"{what} has a set-returning function", hint)
            case exp.Column() if not inside:
                _require_name(text, node, what)
            case _:
                pass


def _require_name(text: str, column: exp.Column, what: str) -> None:
    name, table = column.name, column.table
    if not table and (name.lower() in NAMES or name.lower() in _SESSION_VALUES):
        return
    if table.lower() in NAMES and not column.args.get("db"):
        return
    message = f'{what} names "{name}" without saying of which row'
    hint = f"Write new.{quoted(name)}, old.{quoted(name)}, doc.{quoted(name)} or last.{quoted(name)}."
    if table:
        message = f'{what} names "{parser.sql(column, 80)}"'
        hint = f"Columns are those of {', '.join(NAMES)}; a field of a composite column is (new.column).field."
    raise _about(text, column, message, hint, RULE_NAMES)


def _spell_out_changed(text: str, found: Sequence[Lexeme], known: Mapping[str, Sequence[Column]]) -> str:
    """The text with each vsync.changed(new, old, 'a', 'b') as the comparisons it stands for."""
    pieces: list[str] = []
    position = 0
    for index in range(len(found) - 3):
        words = [piece.text.lower() for piece in found[index : index + 4]]
        preceded = index > 0 and found[index - 1].text == "."
        if words != ["vsync", ".", "changed", "("] or preceded:
            continue
        end = next((i for i in range(index + 4, len(found)) if found[i].text == ")"), len(found))
        columns = _changed_columns(text, found[index], found[index + 4 : end], known)
        pieces += [text[position : found[index].start], columns]
        position = found[end].end
    return "".join([*pieces, text[position:]])


def _changed_columns(
    text: str, call: Lexeme, arguments: Sequence[Lexeme], known: Mapping[str, Sequence[Column]]
) -> str:
    given = [piece for place, piece in enumerate(arguments) if place % 2 == 0]
    commas = all(piece.text == "," for piece in arguments[1::2])
    rows = [piece.text.lower() for piece in given[:2]]
    names = [piece.text[1:-1].replace("''", "'") for piece in given[2:]]
    plain = all(piece.kind == "string" and piece.text.startswith("'") for piece in given[2:])
    if not commas or not plain or sorted(rows) != ["new", "old"] or len(arguments) % 2 == 0:
        raise _at(text, call, "vsync.changed is not called with new, old and names of columns", _CHANGED_EXAMPLE)
    types = {column.name: column.type for column in known["new"]}
    for name in names:
        if name not in types:
            message = f'vsync.changed names a column "{name}" that does not exist'
            raise _at(text, call, message, _nearest(name, list(types)), RULE_NAMES)
    return f"({' or '.join(_comparison(name, types[name]) for name in names or list(types))})"


def _comparison(name: str, kind: str) -> str:
    cast = "::text" if kind.rstrip("[]") in _COMPARED_AS_TEXT else ""
    return f"new.{quoted(name)}{cast} is distinct from old.{quoted(name)}{cast}"


def _references(found: Sequence[Lexeme]) -> Iterator[_Reference]:
    texts = ["", *(piece.text for piece in found), "", "", ""]
    for index, lexeme in enumerate(found):
        name = sql_lexer.plain_name(lexeme)
        before, after, column = texts[index], texts[index + 2], texts[index + 3]
        if name not in NAMES or before == "." or after == "(" or before.lower() == "nulls":
            continue
        qualifies = after == "." and column != "*" and index + 2 < len(found)
        yield _Reference(index, name, sql_lexer.plain_name(found[index + 2]) if qualifies else None)


def _require_column(
    text: str,
    found: Sequence[Lexeme],
    reference: _Reference,
    known: Mapping[str, Sequence[Column]],
    what: str,
) -> None:
    names = [column.name for column in known[reference.name]]
    lexeme = found[reference.index]
    if not names:
        hint = "Rules read old, new, doc, last and change, each in its stage."
        raise _at(text, lexeme, f'{what} names "{reference.name}", which has no columns here', hint, RULE_NAMES)
    if reference.column is not None and reference.column not in names:
        message = f'{what} names a column "{reference.name}.{reference.column}" that does not exist'
        raise _at(text, lexeme, message, _nearest(reference.column, names), RULE_NAMES)


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.lower(), names, n=1)
    return f'Did you mean "{close[0]}"?' if close else f"There are {', '.join(names)}."


def _columns(name: str, references: Sequence[_Reference], known: Sequence[Column]) -> tuple[str, ...]:
    read = {reference.column for reference in references if reference.name == name}
    return tuple(column.name for column in known if None in read or column.name in read)


def _without_comments(text: str, found: Sequence[Lexeme]) -> str:
    """The lexemes as written, with one space where there was a blank or a comment."""
    pieces = [found[0].text]
    for before, lexeme in pairwise(found):
        pieces += ["" if before.end == lexeme.start else " ", lexeme.text]
    return "".join(pieces)


def _reworded(error: EngineError, what: str) -> EngineError:
    """What was written for documents, said of a rule."""
    if error.sqlstate in (RULE_CONDITION, RULE_NAMES):
        return error
    return _error(error.message.replace("document query", what), error.detail, error.hint)


def _about(text: str, node: exp.Expr, message: str, hint: str, sqlstate: str = RULE_CONDITION) -> EngineError:
    return _error(message, f"It is at {sql_lexer.place(text, parser.offset(text, node))}.", hint, sqlstate)


def _at(text: str, lexeme: Lexeme, message: str, hint: str, sqlstate: str = RULE_CONDITION) -> EngineError:
    return _error(message, f"It is at {sql_lexer.place(text, lexeme.start)}.", hint, sqlstate)


def _error(message: str, detail: str, hint: str, sqlstate: str = RULE_CONDITION) -> EngineError:
    return EngineError(message, sqlstate=sqlstate, detail=detail, hint=hint)
