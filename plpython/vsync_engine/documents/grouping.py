"""What a SELECT groups, takes apart and makes distinct by, and what of that the outermost SELECT may do.

Every row of a document must come from one row of the root: what groups it has to group by the root's key.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from vsync_engine.documents import parser, unsupported
from vsync_engine.documents.catalog import quoted
from vsync_engine.documents.scope import Block, Occurrence, trace
from vsync_engine.foundation.errors import EngineError


def groups(block: Block) -> list[exp.Expr] | None:
    """The expressions of GROUP BY, none for one group of all rows; None for grouping sets."""
    clause = block.select.args.get("group")
    if clause is None:
        return []
    expressions = [expression.unnest() for expression in clause.expressions]
    special = (exp.GroupingSets, exp.Rollup, exp.Cube, exp.Tuple)
    if any(isinstance(e, special) for e in expressions) or any(v for k, v in clause.args.items() if k != "expressions"):
        return None
    return expressions


def distinct_on(block: Block) -> list[exp.Expr]:
    """The expressions of DISTINCT ON."""
    distinct = block.select.args.get("distinct")
    chosen = distinct.args.get("on") if distinct else None
    if chosen is None:
        return []
    return [part.unnest() for part in (chosen.expressions if isinstance(chosen, exp.Tuple) else [chosen])]


def partition(window: exp.Window, block: Block) -> list[exp.Expr]:
    """The expressions that a window function is partitioned by, in OVER or in the WINDOW that it names."""
    own: list[exp.Expr] = window.args.get("partition_by") or []
    named = next((w for w in block.select.args.get("windows") or () if w.name == window.alias), None)
    return [part.unnest() for part in own] or (partition(named, block) if named is not None else [])


def require_key(document: Block, root: Occurrence) -> None:
    """VS203 if the outermost query makes rows that are not of one root row each."""
    refusal = unsupported.outermost_refusal(document.select)
    if refusal is not None:
        raise _refused(refusal.what, document, refusal.node, refusal.hint, refusal.words)
    grouped = groups(document)
    key = ", ".join(quoted(column) for column in root.relation.primary_key)
    if document.aggregates:
        if grouped is None:
            hint = f"Group by the key of {root.relation} ({key}) only."
            raise _refused("grouping sets", document, document.select.args["group"], hint, ("grouping", "group"))
        clause = document.select.args.get("group")
        if clause is None:
            hint = f"Say group by {key}, or write the aggregate as a subquery."
            raise _refused("an aggregate without group by", document, None, hint)
        _require(grouped, document, root, "group by without the whole key", clause, ("group",))
    if chosen := distinct_on(document):
        what = "distinct on without the whole key"
        _require(chosen, document, root, what, document.select.args["distinct"], ("distinct",))
    for window in document.windows:
        what = "a window function over rows of several keys"
        _require(partition(window, document), document, root, what, window, ("over",))


def _require(
    parts: Sequence[exp.Expr], block: Block, root: Occurrence, what: str, node: exp.Expr, words: tuple[str, ...]
) -> None:
    columns = {found[1] for found in (trace(part, block) for part in parts) if found and found[0] is root}
    if columns >= set(root.relation.primary_key):
        return
    names = ", ".join(f"{quoted(root.alias)}.{quoted(column)}" for column in root.relation.primary_key)
    begin = {"group": "Group by", "distinct": "Say distinct on", "over": "Say over (partition by"}[words[0]]
    hint = f"{begin} {names}{')' if words[0] == 'over' else ''}, or move it into a subquery."
    raise _refused(what, block, node, hint, words)


def _refused(what: str, block: Block, node: exp.Expr | None, hint: str, words: tuple[str, ...] = ()) -> EngineError:
    return parser.unsupported(what, block.query, node, hint, words)
