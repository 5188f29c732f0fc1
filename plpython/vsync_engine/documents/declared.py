"""Dependencies that the author declares in options.depends_on: a table, and a query from its changed rows to keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlglot import exp

from vsync_engine.documents import parser, source_check, volatility
from vsync_engine.documents.catalog import Catalog, Declared, Relation, quoted
from vsync_engine.documents.join_paths import CHANGED
from vsync_engine.documents.outputs import Key, key
from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import DOCUMENT_UNSUPPORTED, INVALID_ARGUMENT, EngineError, unknown_option

_KEYS = ("relation", "query")
_EXAMPLE = (
    '{"depends_on": [{"relation": "shop.rates", '
    '"query": "select p.id from changed join shop.products p on p.currency = changed.currency"}]}'
)


@dataclass(frozen=True)
class Declaration:
    """A declared dependency. keys: the columns of the changed rows that its query reads. query: without `;`."""

    relation: Relation
    keys: tuple[Key, ...]
    query: str

    def delta(self, root_key: tuple[Key, ...]) -> str:
        """The query with its outputs named as the root's key."""
        names = ", ".join(quoted(part.column) for part in root_key)
        return f"select answer.* from (\n{self.query}\n) as answer ({names})"


def declarations(catalog: Catalog, root_key: tuple[Key, ...], *, clock: bool) -> tuple[Declaration, ...]:
    """What options.depends_on declares.

    VS001: not of the form {"relation": …, "query": …}, no such table or column, another number of columns than the
    root's key. VS201, VS203, VS204: the query, as for a document.
    """
    entries: Any = catalog.options.get("depends_on", [])
    if not isinstance(entries, list):
        raise _invalid("depends_on is no list", f"It is {sql_lexer.shortened(repr(entries), 80)}.")
    given = cast("list[object]", entries)
    return tuple(
        _declaration(_entry(entry), known, catalog, root_key, clock)
        for entry, known in zip(given, catalog.declared, strict=True)
    )


def _entry(entry: object) -> Mapping[str, str]:
    if not isinstance(entry, Mapping):
        raise _invalid("an entry of depends_on is no object", f"It is {sql_lexer.shortened(repr(entry), 80)}.")
    found = cast("Mapping[str, Any]", entry)
    for name in found:
        if name not in _KEYS:
            raise unknown_option(name, _KEYS, "depends_on")
    for name in _KEYS:
        if not isinstance(found.get(name), str):
            raise _invalid(
                f'an entry of depends_on has no text "{name}"', f"Its keys are {', '.join(found) or 'none'}."
            )
    return found


def _declaration(
    entry: Mapping[str, str], known: Declared, catalog: Catalog, root_key: tuple[Key, ...], clock: bool
) -> Declaration:
    relation = catalog.relation(known.relation) if known.relation is not None else None
    if relation is None:
        raise _invalid(f'relation "{entry["relation"]}" of depends_on is not found', "It is named schema.table.")
    text = entry["query"]
    select = _select(text)
    _require_known(select, known, text)
    for function in known.functions:
        volatility.require_steady(function, "query of depends_on", clock=clock, text=text)
    outputs = select.expressions
    if len(outputs) != len(root_key) or any(output.is_star for output in outputs):
        names = ", ".join(quoted(part.column) for part in root_key)
        raise _invalid(
            "query of depends_on does not return the key", f"The key of the root is ({names}), in this order."
        )
    named = _columns_of_changed(select, text)
    for name in named:
        if relation.column(name) is None:
            raise _invalid(f'column "{name}" of depends_on is not found', f"{relation} has no such column.")
    return Declaration(relation, tuple(key(relation, name, name) for name in named), _statement(text))


def _select(text: str) -> exp.Select:
    try:
        return source_check.require_select(text, recursive=True)
    except EngineError as error:
        raise EngineError(
            error.message.replace("document query", "query of depends_on"),
            sqlstate=error.sqlstate,
            detail=error.detail,
            hint=error.hint,
        ) from error


def _require_known(select: exp.Select, known: Declared, text: str) -> None:
    names = {function.name for function in known.functions}
    for call in select.find_all(exp.Anonymous):
        if call.name not in names and call.name.lower() not in names:
            place = sql_lexer.place(text, parser.offset(text, call))
            raise _invalid(f'function "{call.name}" of depends_on is not found', f"It is called at {place}.")
    for table in select.find_all(exp.Table):
        ctes = {cte.alias for cte in select.find_all(exp.CTE)}
        if isinstance(table.this, exp.Identifier) and not table.db and table.name not in {CHANGED, *ctes}:
            place = sql_lexer.place(text, parser.offset(text, table))
            raise EngineError(
                f'table "{table.name}" of depends_on is named without its schema',
                sqlstate=DOCUMENT_UNSUPPORTED,
                detail=f"It is at {place}.",
                hint=f"Write schema.{table.name}.",
            )


def _columns_of_changed(select: exp.Select, text: str) -> tuple[str, ...]:
    tables = [table for table in select.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]
    aliases = {table.alias_or_name for table in tables if table.name == CHANGED and not table.db}
    if not aliases:
        raise _invalid("query of depends_on does not read changed", "changed has the changed rows of the relation.")
    named: dict[str, None] = {}
    for column in select.find_all(exp.Column):
        sources = [column.table] if column.table else _sources_around(column)
        if not set(sources) & aliases:
            if not column.table and len(sources) > 1:
                raise _without_table(column, text)
            continue
        if len(sources) > 1:
            raise _without_table(column, text)
        if isinstance(column.this, exp.Star):
            raise _invalid("query of depends_on reads all columns of changed", "Name those that lead to the key.")
        named[column.name] = None
    if not named:
        raise _invalid("query of depends_on reads no column of changed", "Name those that lead to the key.")
    return tuple(named)


def _sources_around(column: exp.Column) -> list[str]:
    """What a column without a table may belong to: all that the queries around it read, up to a common table."""
    sources: list[str] = []
    node: exp.Expr | None = column
    while node is not None and not isinstance(node, exp.CTE):
        if isinstance(node, exp.Select):
            clause = node.args.get("from_")
            sources += [
                part.this.alias_or_name for part in ([clause] if clause else []) + (node.args.get("joins") or [])
            ]
        node = node.parent
    return sources


def _without_table(column: exp.Column, text: str) -> EngineError:
    place = sql_lexer.place(text, parser.offset(text, column))
    return _invalid(f'column "{column.name}" of depends_on is named without its table', f"It is at {place}.")


def _statement(text: str) -> str:
    lexemes = [lexeme for lexeme in sql_lexer.lexemes(text) if lexeme.text != ";"]
    return text[lexemes[0].start : lexemes[-1].end]


def _invalid(message: str, detail: str) -> EngineError:
    return EngineError(message, sqlstate=INVALID_ARGUMENT, detail=detail, hint=f"For instance: {_EXAMPLE}")
