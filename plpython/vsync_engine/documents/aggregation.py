"""Which SELECTs aggregate and have window functions, as far as their text tells; the query tree has the last word."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from vsync_engine.documents import parser
from vsync_engine.documents.catalog import Catalog, Query
from vsync_engine.documents.scope import Block, here, resolve

_WRAPPERS = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls, exp.Dot)
_MULTIPLYING = (exp.Explode, exp.ExplodingGenerateSeries, exp.Unnest)


def is_aggregate(node: exp.Expr, catalog: Catalog) -> bool:
    """Whether a node is the call of an aggregate, and not of a window function."""
    if isinstance(node, (exp.Anonymous, exp.AnonymousAggFunc)):
        if not any(function.kind == "a" and function.name == node.name for function in catalog.functions):
            return False
    elif not isinstance(node, exp.AggFunc):
        return False
    parent, child = node.parent, node
    while isinstance(parent, _WRAPPERS) and (parent.this is child or isinstance(parent, exp.Dot)):
        parent, child = parent.parent, parent
    return not (isinstance(parent, exp.Window) and parent.this is child)


def aggregates(select: exp.Select, catalog: Catalog) -> bool:
    """Whether the rows of a SELECT are groups."""
    if select.args.get("group") or select.args.get("having"):
        return True
    return any(True for _ in _calls(select, catalog))


def windows(select: exp.Select) -> Iterator[exp.Window]:
    """The calls of window functions in a SELECT."""
    for part in _parts(select):
        for node in here(part):
            if isinstance(node, exp.Window) and node.args.get("over"):
                yield node


def multiplies(expression: exp.Expr, catalog: Catalog) -> bool:
    """Whether an expression calls a function that returns a set."""
    sets = {function.name for function in catalog.functions if function.returns_set}
    return any(
        isinstance(node, _MULTIPLYING) or (isinstance(node, exp.Anonymous) and node.name in sets)
        for node in here(expression)
    )


def require_own(block: Block, catalog: Catalog) -> None:
    """VS203 for an aggregate whose arguments are columns of an outer query only: it belongs to that one."""
    for call in _calls(block.select, catalog):
        found = [resolve(column, block) for column in here(call) if isinstance(column, exp.Column)]
        levels = {place.block for place in found if place is not None}
        if levels and block not in levels:
            hint = "Write it into the query whose columns it takes."
            raise parser.unsupported("an aggregate of an outer query", block.query, call, hint)


def hold_against_tree(tree: exp.Expr, query: Query, catalog: Catalog) -> None:
    """VS205 unless as many SELECTs of a stored text aggregate, and have window functions, as in its query tree.

    What ORDER BY repeats of a select list stands in the tree once and in the text twice.
    """
    selects = list(tree.find_all(exp.Select))
    aggregating = [select for select in selects if any(True for _ in _calls(select, catalog))]
    windowed = [select for select in selects if any(True for _ in windows(select))]
    for what, seen, recorded in (
        ("aggregate", aggregating, query.aggregating),
        ("have windows", windowed, query.windowed),
    ):
        if not len(set(seen)) <= recorded <= len(seen):
            raise parser.disagreement(
                f"{query.name}: {len(seen)} of its SELECTs seem to {what}, {recorded} do so in its query tree."
            )


def _calls(select: exp.Select, catalog: Catalog) -> Iterator[exp.Expr]:
    for part in _parts(select):
        for node in here(part):
            if is_aggregate(node, catalog):
                yield node


def _parts(select: exp.Select) -> Iterator[exp.Expr]:
    for key in ("expressions", "having", "order", "distinct", "windows"):
        value = select.args.get(key)
        yield from value if isinstance(value, list) else [value] if value is not None else []
