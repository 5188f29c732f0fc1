"""The root of a document: the table whose rows are its documents, which is read first."""

from __future__ import annotations

from collections.abc import Iterator

from vsync_engine.documents import parser
from vsync_engine.documents.scope import Block, Derived, Occurrence, leaves
from vsync_engine.foundation.errors import DOCUMENT_UNSUPPORTED, EngineError

_ROOT_HINT = "Write select <key>, <text> as content from <table>, the table whose rows are the documents."
_NOT_PLAIN = {
    "group": "group by",
    "having": "having",
    "distinct": "distinct",
    "limit": "limit or offset",
    "offset": "limit or offset",
}


def chain(document: Block) -> Iterator[Block]:
    """The blocks from the outermost to the one with the root: each the first that the one before reads."""
    block = document
    while True:
        yield block
        source = next(leaves(block.item), None)
        if not isinstance(source, Derived):
            return
        block = source.block


def find_root(document: Block) -> Occurrence:
    """The first table of FROM, also of a view or subquery that passes each of its rows on; VS203 if there is none."""
    block = document
    for block in chain(document):
        if block is not document:
            _require_plain(block)
    source = next(leaves(block.item), None)
    if isinstance(source, Occurrence):
        return source
    node = block.select.args.get("from_") or block.select
    raise parser.unsupported("no root table", block.query, node, _ROOT_HINT)


def _require_plain(block: Block) -> None:
    what = next((words for key, words in _NOT_PLAIN.items() if block.select.args.get(key)), None)
    what = what or ("an aggregate" if block.aggregates else "a window function" if block.windows else None)
    if what is None:
        return
    raise EngineError(
        f"root of the document is behind {what}",
        sqlstate=DOCUMENT_UNSUPPORTED,
        detail=f"What is read first has rows that are not those of one table: {parser.sql(block.select, 120)}",
        hint="Begin with the table whose rows are the documents, and join the other query to it.",
    )
