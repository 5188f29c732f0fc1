"""A document query, checked and understood: its root table, its key, and the columns that its text is made of.

`check` reads the text as its author wrote it, before anything is stored. `analyse` reads the stored view, where
the server has resolved every name, and holds what it finds against the catalog.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from vsync_engine import keys, lexer, occurrences, roots, shape, volatility
from vsync_engine.catalog import Catalog, Function, from_mapping
from vsync_engine.errors import CATALOG_DISAGREES, DOCUMENT_SYNTAX, DOCUMENT_UNSUPPORTED, EngineError
from vsync_engine.keys import Extra, Key
from vsync_engine.occurrences import Reading

_EXAMPLE = "Write select <key>, <text> as content from <table> where <condition>."
_DEEPEST = 1000
_RECURSION_LIMIT = 60_000
_KINDS = {"a": "an aggregate", "w": "a window function"}


@dataclass(frozen=True)
class Document:
    """What a document query is made of. Names are bare, as in the catalog; types as `format_type` writes them.

    keys: in the order of the primary key. columns: of the root, keys included, every one of them where the query
    takes the row as a whole (whole_row). generated: for each generated column among them the columns it is
    computed from. content_type: with domains stripped. extra: outputs that are neither key nor content.
    where: whether there is a condition. dependencies: none yet. warnings: sentences for a NOTICE.
    """

    root_oid: int
    root_schema: str
    root_name: str
    keys: tuple[Key, ...]
    columns: tuple[str, ...]
    whole_row: bool
    generated: Mapping[str, tuple[str, ...]]
    content_type: str
    extra: tuple[Extra, ...]
    where: bool
    dependencies: tuple[()]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The document as what `json.dumps` takes."""
        return {
            "root_oid": self.root_oid,
            "root_schema": self.root_schema,
            "root_name": self.root_name,
            "keys": [asdict(key) for key in self.keys],
            "columns": list(self.columns),
            "whole_row": self.whole_row,
            "generated": {name: list(columns) for name, columns in self.generated.items()},
            "content_type": self.content_type,
            "extra": [asdict(extra) for extra in self.extra],
            "where": self.where,
            "dependencies": list(self.dependencies),
            "warnings": list(self.warnings),
        }


def check(text: str) -> None:
    """Raise unless the text, as its author wrote it, is one SELECT of one table.

    VS201: no SELECT, several statements, not to be parsed, INTO, FOR UPDATE, placeholders. VS203: a shape that is
    not supported. DETAIL has line and column.
    """
    _check_lexemes(text)
    statement = _parse_original(text)
    for node in statement.walk():
        if isinstance(node, exp.Into):
            raise _syntax(text, node, ("into",), "writes into a table", "Take INTO out: the document only reads.")
        if isinstance(node, exp.Lock):
            offset = max(lexeme.start for lexeme in lexer.lexemes(text) if lexeme.text.lower() == "for")
            raise _at(text, offset, "locks rows", "Take FOR UPDATE or FOR SHARE out.")
        if isinstance(node, exp.Placeholder):
            offset = _standing_alone(text, ":", node.this) if node.this else _standing_alone(text, "?")
            if offset is not None:  # or else an operator such as <%, taken for a placeholder
                raise _at(text, offset, "has a placeholder", "Write the value itself.")
        if isinstance(node, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
            raise _syntax(text, node, ("insert", "update", "delete", "merge"), "writes", _EXAMPLE)
        if isinstance(node, exp.Parameter):
            detail = f"It is at {lexer.place(text, _standing_alone(text, '@') or 0)}."
            raise _unsupported("the prefix operator @", detail, "Write abs(…), or call the operator's function.")
    refusal = shape.find_refusal(statement)
    if refusal is not None:
        offset = _offset(text, refusal.node, refusal.words)
        raise _unsupported(refusal.what, f"It is at {lexer.place(text, offset)}.", refusal.hint)
    _check_names(text, statement)


def analyse(facts: Mapping[str, Any]) -> Document:
    """Understand a stored document query from the answer of `vsync_internal.document_catalog`.

    VS202: no primary key, or not selected. VS203: a shape, table, key or content that is not supported. VS204: a
    function that is volatile or depends on time or session. VS205: text and catalog disagree.
    """
    catalog = from_mapping(facts)
    select = _parse_stored(catalog.text)
    table = shape.root_table(select)
    assert table is not None
    among = occurrences.find([table], catalog)
    root = among[0].relation
    roots.require_root(root, only=bool(table.args.get("only")))
    for function in catalog.functions:
        _require_scalar(function)
    volatility.refuse(catalog, select)
    readings = occurrences.readings(select, among)
    _hold_against_catalog(catalog, readings)
    selected = keys.outputs(select, catalog, among)
    chosen = keys.require_keys(root, among[0], selected)
    content_type = keys.require_content(catalog.outputs, chosen)
    reading = readings[0]
    return Document(
        root_oid=root.oid,
        root_schema=root.schema,
        root_name=root.name,
        keys=chosen,
        columns=reading.columns,
        whole_row=reading.whole_row,
        generated={
            column.name: column.generated_from
            for column in root.columns
            if column.generated_from and column.name in reading.columns
        },
        content_type=content_type,
        extra=keys.extra(catalog.outputs, chosen),
        where=select.args.get("where") is not None,
        dependencies=(),
        warnings=(*roots.warnings(root), *volatility.warnings(catalog)),
    )


def _check_lexemes(text: str) -> None:
    """The statement by the server's own lexical rules: one, a SELECT, no parameters, brackets that match."""
    ended = False
    depth = 0
    first: lexer.Lexeme | None = None
    for lexeme in lexer.lexemes(text):
        if lexeme.text == ";" and lexeme.kind == "symbol":
            ended = True
            continue
        if ended and first is not None:
            raise _at(text, lexeme.start, "is more than one statement", "Give one SELECT.", "The second one begins at")
        if lexeme.kind == "parameter":
            raise _at(text, lexeme.start, "has a placeholder", "Write the value itself.")
        if lexeme.kind == "symbol":
            depth += {"(": 1, ")": -1}.get(lexeme.text, 0)
        if depth < 0:
            raise _at(text, lexeme.start, "closes a parenthesis that is not open", "Take it out.")
        if depth > _DEEPEST:
            detail = f"More than {_DEEPEST} parentheses are open at {lexer.place(text, lexeme.start)}."
            raise _unsupported("too many nested parentheses", detail, "Move a part into an immutable SQL function.")
        if first is None and lexeme.text != "(":
            first = lexeme
            if lexeme.text.lower() not in ("select", "with"):
                raise _at(text, lexeme.start, "is not a SELECT", _EXAMPLE)
    if first is None:
        raise EngineError(
            "document query is empty", sqlstate=DOCUMENT_SYNTAX, detail="It holds no statement.", hint=_EXAMPLE
        )
    if depth:
        raise _at(text, len(text.rstrip()), "does not close a parenthesis", "Close it.", "It is still open at")


def _parse_original(text: str) -> exp.Expr:
    try:
        statements = _parse(text)
    except SqlglotError as error:
        raise EngineError(
            "document query cannot be parsed",
            sqlstate=DOCUMENT_SYNTAX,
            detail=f"{_parse_failure(text, error)}.",
            hint="If PostgreSQL accepts the query: write the operator there as operator(schema.sign), or move the "
            "expression into an immutable SQL function.",
        ) from error
    if len(statements) != 1:
        raise _at(text, 0, "is more than one statement", "Give one SELECT.")
    return shape.unwrapped(statements[0])


def _parse_stored(text: str) -> exp.Select:
    try:
        statements = _parse(text)
    except SqlglotError as error:
        raise _unsupported(
            "an expression that is not understood",
            f"In the stored query: {_parse_failure(text, error)}.",
            "Move the expression at that place into an immutable SQL function.",
        ) from error
    refusal = shape.find_refusal(statements[0])
    if refusal is not None:
        raise _unsupported(refusal.what, f"In the stored query: {_sql(refusal.node)}", refusal.hint)
    assert isinstance(statements[0], exp.Select)
    return statements[0]


def _parse(text: str) -> list[exp.Expr]:
    with _deep_recursion():
        statements = sqlglot.parse(text, dialect="postgres")
    return [statement for statement in statements if statement is not None and not isinstance(statement, exp.Semicolon)]


@contextmanager
def _deep_recursion() -> Generator[None]:
    """The server writes a || b || c with a parenthesis for each operator, and the parser descends into each."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION_LIMIT))
    try:
        yield
    except RecursionError as error:
        hint = "Move a part into an immutable SQL function."
        raise _unsupported("too deep a nesting", "The parser cannot descend into it.", hint) from error
    finally:
        sys.setrecursionlimit(before)


def _parse_failure(text: str, error: SqlglotError) -> str:
    first = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    line, column, found = first.get("line"), first.get("col"), first.get("highlight") or ""
    if line is None or column is None:
        return "The parser stops"
    start = sum(len(part) for part in text.splitlines(keepends=True)[: line - 1]) + column - len(found)
    return f"The parser stops at {lexer.place(text, max(0, start))}"


def _check_names(text: str, select: exp.Expr) -> None:
    seen: set[str] = set()
    for item in select.selects if isinstance(select, exp.Query) else ():
        identifier = item.args.get("alias") if isinstance(item, exp.Alias) else item.this
        if not isinstance(identifier, exp.Identifier):
            continue
        name = identifier.name if identifier.args.get("quoted") else identifier.name.lower()
        if name in seen:
            detail = f"The second is at {lexer.place(text, _offset(text, item, ()))}."
            raise _unsupported(f'two outputs named "{name}"', detail, "Give one of them another name with AS.")
        seen.add(name)


def _require_scalar(function: Function) -> None:
    what = _KINDS.get(function.kind) or ("a set-returning function" if function.returns_set else None)
    if what is not None:
        raise _unsupported(what, f"It calls {function}.", "A document has one row for each row of its table.")


def _hold_against_catalog(catalog: Catalog, found: tuple[Reading, ...]) -> None:
    """VS205 unless the columns found in the text are those that the server recorded."""
    for reading in found:
        relation = reading.occurrence.relation
        recorded = frozenset(name for oid, name, _ in catalog.depends if oid == relation.oid)
        if recorded != reading.named:
            raise _disagreement(
                f"{relation}: the query reads {_names(reading.named)}, pg_depend has {_names(recorded)}."
            )
    if any(reading.whole_row for reading in found) != catalog.whole_row:
        raise _disagreement(f"The query tree has {'a' if catalog.whole_row else 'no'} reference to a whole row.")


def _names(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "no column"


def _disagreement(detail: str) -> EngineError:
    return EngineError(
        "document query and catalog disagree about the columns read",
        sqlstate=CATALOG_DISAGREES,
        detail=detail,
        hint="Move an unusual expression (an operator such as @, XML) into an immutable SQL function of the columns.",
    )


def _offset(text: str, node: exp.Expr, words: tuple[str, ...]) -> int:
    """Where a part of the query begins: at one of its keywords, else at the first name or literal in it.

    A query in the query begins at the last SELECT before that.
    """
    found = list(lexer.lexemes(text))
    for lexeme in found if words else ():
        if lexeme.kind in ("word", "symbol") and lexeme.text.lower() in words:
            return lexeme.start
    first = min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=0)
    if isinstance(node, exp.Query) and node.parent is not None:
        selects = [lexeme.start for lexeme in found if lexeme.text.lower() == "select" and lexeme.start < first]
        return selects[-1] if selects else first
    return first


def _standing_alone(text: str, sign: str, name: str = "") -> int | None:
    """Where a sign stands, right before the name, that is not a part of a longer operator."""
    for lexeme in lexer.lexemes(text):
        around = text[max(0, lexeme.start - 1) : lexeme.start] + text[lexeme.end : lexeme.end + 1]
        if lexeme.text == sign and text.startswith(name, lexeme.end) and not set(around) & set("+-*/<>=~!@#%^&|`?:"):
            return lexeme.start
    return None


def _sql(node: exp.Expr) -> str:
    return lexer.shortened(node.sql(dialect="postgres"), 200)


def _syntax(text: str, node: exp.Expr, words: tuple[str, ...], what: str, hint: str) -> EngineError:
    return _at(text, _offset(text, node, words), what, hint)


def _at(text: str, offset: int, what: str, hint: str, lead: str = "It is at") -> EngineError:
    return EngineError(
        f"document query {what}", sqlstate=DOCUMENT_SYNTAX, detail=f"{lead} {lexer.place(text, offset)}.", hint=hint
    )


def _unsupported(what: str, detail: str, hint: str) -> EngineError:
    return EngineError(f"document query has {what}", sqlstate=DOCUMENT_UNSUPPORTED, detail=detail, hint=hint)
