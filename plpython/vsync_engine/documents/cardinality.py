"""Whether a document may have several rows for one key: a table joined to its root on what is not unique."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from vsync_engine.documents.join_edges import NULL_SAFE, equalities, restricted
from vsync_engine.documents.root import chain
from vsync_engine.documents.scope import Block, Occurrence, Opaque, Source, here, leaves, resolve


def warnings(document: Block) -> tuple[str, ...]:
    """A sentence for each such table, where catalog and text tell; none where the document groups its rows."""
    if document.aggregates or document.select.args.get("distinct"):
        return ()
    return tuple(
        f"{occurrence.relation} is joined on columns that are not unique: "
        "the document may return several rows for one key."
        for block in chain(document)
        for occurrence in _multiplying(block)
    )


def _multiplying(block: Block) -> Iterator[Occurrence]:
    """The tables of FROM of which one row of all that is read before may meet several."""
    waiting = list(leaves(block.item))
    known = {waiting.pop(0)}
    while waiting:
        source = next((source for source in waiting if _is_one(source, known, block)), waiting[0])
        if isinstance(source, Occurrence) and not _is_one(source, known, block):
            yield source
        waiting.remove(source)
        known.add(source)


def _is_one(source: Source, known: set[Source], block: Block) -> bool:
    """Whether a row of the sources that are known meets at most one row of this one, or nobody can tell."""
    if not isinstance(source, Occurrence):
        return True
    fixed: set[str] = set()
    for equality in equalities(block):
        if equality.operator == NULL_SAFE:
            continue
        for side, other in ((equality.left, equality.right), (equality.right, equality.left)):
            column = side.expression.unnest()
            while isinstance(column, exp.Cast):
                column = column.this.unnest()
            if side.subquery or not isinstance(column, exp.Column) or not _known(other.expression, known, other.block):
                continue
            place = resolve(column, block)
            if place is None or place.source is not source or place.name is None or other.subquery:
                continue
            if source in restricted(side, equality.join, block):
                fixed.add(source.names[place.name])
    return any(key <= fixed for key in source.relation.unique_keys)


def _known(expression: exp.Expr, known: set[Source], block: Block) -> bool:
    for node in here(expression):
        place = resolve(node, block) if isinstance(node, exp.Column) else None
        if (
            place is not None
            and place.block is block
            and place.source not in known
            and not isinstance(place.source, Opaque)
        ):
            return False
    return True
