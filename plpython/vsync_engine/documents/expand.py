"""From stored text to query blocks: each mention of a view, CTE or derived table is replaced by its query.

Outputs that nothing uses are left out, so that what only they read does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from sqlglot import exp

from vsync_engine.documents import aggregation, parser
from vsync_engine.documents.catalog import Catalog, Query
from vsync_engine.documents.scope import (
    Block,
    Derived,
    Found,
    Item,
    Join,
    Occurrence,
    Opaque,
    Source,
    here,
    leaves,
    resolve,
)
from vsync_engine.foundation.errors import CATALOG_DISAGREES, EngineError

_MOST_TABLES = 500
_FROM = ("from_", "joins", "with_")
_JOIN_HINT = "Take the name of the join away, and name its tables instead."


@dataclass(frozen=True)
class _Definition:
    """A CTE: its query, the CTEs that it sees, and the block around the one it is written in."""

    cte: exp.CTE
    visible: Mapping[str, _Definition]
    outer: Block | None


_Visible = Mapping[str, _Definition]
Trees = Mapping[int, exp.Select]  # of the stored queries, by oid


@dataclass
class _Expansion:
    catalog: Catalog
    trees: Trees
    verbatim: bool
    tables: int = 0
    waiting: dict[int, _Visible] = field(default_factory=dict[int, "_Visible"])

    def fill(self, block: Block, visible: _Visible, wanted: set[int] | None) -> None:
        """Read a block whose outputs are wanted, all of them for None, and what is below it."""
        visible = self._definitions(block, visible)
        block.item = self._from(block.select, block, visible)
        for part in _parts(block.select, wanted, self.catalog):
            self._read(part, block, visible)
        for source in reversed(block.sources.values()):  # a lateral one may use outputs of those before it
            if isinstance(source, Derived):
                wanted = None if source.whole_row or self.verbatim else source.used
                self.fill(source.block, self.waiting.pop(id(source)), wanted)
        block.aggregates = aggregation.aggregates(block.select, self.catalog)
        block.windows = tuple(aggregation.windows(block.select))
        aggregation.require_own(block, self.catalog)

    def _definitions(self, block: Block, visible: _Visible) -> _Visible:
        clause = block.select.args.get("with_")
        for cte in clause.expressions if clause else ():
            visible = {**visible, cte.alias: _Definition(cte, visible, block.outer)}
            if self.verbatim:
                unread = Block(cte.this, block.query, block.outer)
                self.fill(unread, visible, None)
                block.nested[id(cte)] = unread
        return visible

    def _from(self, select: exp.Select, block: Block, visible: _Visible) -> Item | None:
        clause = select.args.get("from_")
        if clause is None:
            return None
        return self._joined(self._item(clause.this, block, visible), select.args.get("joins") or [], block, visible)

    def _joined(self, item: Item, following: list[exp.Join], block: Block, visible: _Visible) -> Item:
        """An item with joins after it; a comma binds less than any of these."""
        products: list[Item] = []
        for join in following:
            right = self._item(join.this, block, visible)
            condition, using = join.args.get("on"), join.args.get("using")
            if not (join.side or join.kind or condition or using):
                products.append(item)
                item = right
                continue
            columns = tuple(column.name for column in using or ())
            item = Join(item, right, join.side == "LEFT", condition, columns)
            if condition is not None:
                self._read(condition, block, visible)
            for name in columns:
                for side in (item.left, item.right):
                    _mark(merged(side, name, block))
        for product in reversed(products):
            item = Join(product, item)
        return item

    def _item(self, node: exp.Expr, block: Block, visible: _Visible) -> Item:
        """What a part of FROM reads; in parentheses, joins may follow it."""
        body = node.this if isinstance(node, (exp.Subquery, exp.Lateral)) else node
        query = body.unnest() if isinstance(body, exp.Subquery) else body
        if isinstance(node, exp.Subquery) and not node.alias:
            item = self._item(body, block, visible)
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            item = self._source(self._table(node, block, visible), block)
        elif isinstance(query, exp.Select):
            derived = _derived(node.alias, _columns(node), Block(query, block.query, block))
            self.waiting[id(derived)] = visible
            item = self._source(derived, block)
        elif isinstance(query, exp.Table) and query is not node:
            raise parser.unsupported("a join with a name of its own", block.query, node, _JOIN_HINT)
        else:
            self._read(body, block, visible)
            item = self._source(Opaque(node.alias, frozenset(_columns(node) or [node.alias])), block)
        return self._joined(item, node.args.get("joins") or [], block, visible)

    def _source(self, source: Source, block: Block) -> Source:
        block.sources[source.alias] = source
        self.tables += 1
        if self.tables > _MOST_TABLES:
            hint = "Read fewer tables, or views that read fewer."
            raise parser.unsupported(f"more than {_MOST_TABLES} tables", block.query, None, hint)
        return source

    def _table(self, table: exp.Table, block: Block, visible: _Visible) -> Source:
        definition = visible.get(table.name) if not table.db else None
        if definition is not None:
            inner = Block(definition.cte.this, block.query, definition.outer)
            derived = _derived(table.alias_or_name, _columns(table), inner, _columns(definition.cte))
            self.waiting[id(derived)] = definition.visible
            return derived
        relation = self.catalog.named(table.db, table.name)
        if relation is None:
            raise _unknown_table(table)
        names = [column.name for column in relation.columns]
        view = self.catalog.views.get(relation.oid)
        if view is None or self.verbatim:
            written = _columns(table)
            names = dict(zip(written + names[len(written) :], names, strict=True))
            return Occurrence(table.alias_or_name, relation, names, table, block.query)
        inner = Block(self.trees[view.oid], view, None)
        derived = _derived(table.alias_or_name, _columns(table), inner, names)
        self.waiting[id(derived)] = {}
        return derived

    def _read(self, expression: exp.Expr, block: Block, visible: _Visible) -> None:
        for node in here(expression):
            if isinstance(node, exp.Column):
                _mark(resolve(node, block))
            elif isinstance(node, exp.Query):
                select = node.unnest()
                if not isinstance(select, exp.Select):
                    self._read(select, block, visible)
                    continue
                nested = Block(select, block.query, block)
                block.nested[id(select)] = nested
                of_exists = isinstance(node.parent, exp.Exists) and not self.verbatim
                self.fill(nested, visible, set() if of_exists else None)


def expand(catalog: Catalog, trees: Trees) -> Block:
    """The blocks of the document, every view in its place, and what is read of each table.

    VS203: a shape that is not supported. VS205: text and catalog disagree.
    """
    block = Block(trees[catalog.document.oid], catalog.document, None)
    _Expansion(catalog, trees, verbatim=False).fill(block, {}, None)
    return block


def hold_against_catalog(catalog: Catalog, trees: Trees) -> None:
    """VS205 unless the columns named in each stored text are those that the server recorded for it."""
    for query in catalog.queries:
        aggregation.hold_against_tree(trees[query.oid], query, catalog)
        block = Block(trees[query.oid], query, None)
        _Expansion(catalog, trees, verbatim=True).fill(block, {}, None)
        named: dict[int, set[str]] = {}
        for occurrence in block.occurrences():
            named.setdefault(occurrence.relation.oid, set()).update(occurrence.named)
        recorded = _recorded(query, catalog)
        for oid in named | recorded:
            found, there = named.get(oid, set()), recorded.get(oid, set())
            # a field of a whole row is recorded as a column, too
            if found != there and not (found < there and query.whole_row):
                facts = f"{query.name} reads {_names(found)} of {catalog.relation(oid)}"
                raise parser.disagreement(f"{facts}, pg_depend has {_names(there)}.")
        whole = any(source.whole_row for part in block.blocks() for source in part.sources.values())
        if whole != query.whole_row:
            word = "a" if query.whole_row else "no"
            raise parser.disagreement(f"The query tree of {query.name} has {word} reference to a whole row.")


def _recorded(query: Query, catalog: Catalog) -> dict[int, set[str]]:
    recorded: dict[int, set[str]] = {}
    for oid, name in query.depends:
        relation = catalog.relation(oid)
        if relation is not None and relation.kind != "c":  # fields of composite types have columns of their own
            recorded.setdefault(oid, set()).add(name)
    return recorded


def merged(item: Item, name: str, block: Block) -> Found:
    """The column of that name on one side of JOIN … USING."""
    for source in leaves(item):
        if name in source.names:
            return Found(block, source, name)
    raise parser.disagreement(f"No table beside USING has the column {name}.")


def _derived(alias: str, written: list[str], block: Block, names: list[str] | None = None) -> Derived:
    outputs = [item.alias_or_name for item in block.select.expressions]
    for first in (names or [], written):
        outputs = first + outputs[len(first) :]
    return Derived(alias, {name: position for position, name in enumerate(outputs) if name}, block)


def _columns(node: exp.Expr) -> list[str]:
    """The names of columns that follow an alias."""
    alias = node.args.get("alias")
    columns: list[exp.Expr] = alias.args.get("columns") or [] if isinstance(alias, exp.TableAlias) else []
    found = [column.name for column in columns]
    inner = node.this if isinstance(node, exp.Lateral) else node
    if isinstance(inner, exp.Unnest) and isinstance(inner.args.get("offset"), exp.Identifier):
        found.append(inner.args["offset"].name)
    return found


def _parts(select: exp.Select, wanted: set[int] | None, catalog: Catalog) -> Iterator[exp.Expr]:
    """The expressions of a query that matter where only some of its outputs are wanted."""
    distinct = select.args.get("distinct")
    if distinct is not None and not distinct.args.get("on"):
        wanted = None
    for key, value in select.args.items():
        if key in _FROM:
            continue
        parts = cast("list[object]", value) if isinstance(value, list) else [value]
        for position, part in enumerate(parts):
            unused = key == "expressions" and wanted is not None and position not in wanted
            if isinstance(part, exp.Expr) and not (unused and not aggregation.multiplies(part, catalog)):
                yield part


def _mark(found: Found | None) -> None:
    if found is None:
        return
    source, name = found.source, found.name
    if name is None:
        source.whole_row = True
    elif isinstance(source, Occurrence):
        source.named.add(source.names[name])
    elif isinstance(source, Derived):
        source.used.add(source.names[name])


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "no column"


def _unknown_table(table: exp.Table) -> EngineError:
    return EngineError(
        "document query and catalog disagree about a table",
        sqlstate=CATALOG_DISAGREES,
        detail=f"The catalog records no dependency on {table.sql(dialect='postgres')}.",
        hint="Report the query: the analysis of it is wrong.",
    )
