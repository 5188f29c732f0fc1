"""Where a table of the expanded query is written: in the author's text if it can be found there."""

from __future__ import annotations

from sqlglot import exp

from vsync_engine.documents import parser
from vsync_engine.documents.catalog import Catalog
from vsync_engine.documents.scope import Occurrence
from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import EngineError


def place(occurrence: Occurrence, catalog: Catalog) -> str:
    """Line and column of a mention; of what only a view reads, in the stored text of that view."""
    mention, query = occurrence.mention, occurrence.query
    start = parser.offset(query.text, mention)
    if query is not catalog.document:
        return f"in the view {query.name}, {sql_lexer.place(query.text, start)}"
    if catalog.written is not None:
        stored = _mentions(mention.root(), mention.name)
        before = [other for other in stored if parser.offset(query.text, other) < start]
        try:
            written = _mentions(parser.original(catalog.written), mention.name)
        except EngineError:
            written = []
        if len(written) == len(stored):
            return f"at {sql_lexer.place(catalog.written, parser.offset(catalog.written, written[len(before)]))}"
    return f"at {sql_lexer.place(query.text, start)} of the stored query"


def _mentions(tree: exp.Expr, name: str) -> list[exp.Table]:
    found = [table for table in tree.find_all(exp.Table) if table.name.lower() == name.lower()]
    return sorted(found, key=lambda table: min((part.meta.get("start", 0) for part in table.walk()), default=0))
