"""The query blocks of a document: each SELECT and what its FROM reads; views, CTEs and subqueries are blocks, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from vsync_engine.documents.catalog import Query, Relation
from vsync_engine.foundation.errors import CATALOG_DISAGREES, DOCUMENT_UNSUPPORTED, EngineError

# words of the grammar that the parser takes for columns; as columns these two kinds differ:
# the reserved ones would stand in quotes, the others may well be columns
_RESERVED_WORDS = frozenset({"user", "current_role", "current_catalog", "session_user", "current_user", "system_user"})
_GRAMMAR_WORDS = frozenset({"document", "content", "nfc", "nfd", "nfkc", "nfkd", "name"})
_SYSTEM_COLUMNS = frozenset({"tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"})


@dataclass(eq=False)
class Occurrence:
    """One mention of a table in some FROM, and what is read of it.

    names: the table's columns by the name the query calls them. query: the stored query it is written in.
    """

    alias: str
    relation: Relation
    names: Mapping[str, str]
    mention: exp.Table
    query: Query
    named: set[str] = field(default_factory=set[str])
    whole_row: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, in the order of the table."""
        every = (column.name for column in self.relation.columns)
        return tuple(name for name in every if self.whole_row or name in self.named)


@dataclass(eq=False)
class Derived:
    """A query in FROM: a subquery, a CTE or a view, one for each mention. names: positions of its outputs."""

    alias: str
    names: Mapping[str, int]
    block: Block
    used: set[int] = field(default_factory=set[int])
    whole_row: bool = False


@dataclass(eq=False)
class Opaque:
    """Rows that are no table's: a function in FROM, or VALUES."""

    alias: str
    names: frozenset[str]
    whole_row: bool = False


Source = Occurrence | Derived | Opaque


@dataclass(eq=False)
class Join:
    """Two items of FROM; without condition their product. outer: LEFT JOIN."""

    left: Item
    right: Item
    outer: bool = False
    on: exp.Expr | None = None
    using: tuple[str, ...] = ()


Item = Source | Join


@dataclass(eq=False)
class Block:
    """A SELECT. outer: the block whose columns it may name. nested: the SELECTs in its expressions, by their node's id.

    query: the stored query it is written in.
    """

    select: exp.Select
    query: Query
    outer: Block | None
    item: Item | None = None
    sources: dict[str, Source] = field(default_factory=dict[str, Source])
    nested: dict[int, Block] = field(default_factory=dict[int, "Block"])
    aggregates: bool = False
    windows: tuple[exp.Window, ...] = ()

    @property
    def outputs(self) -> list[exp.Expr]:
        """The select list, without names."""
        return [item.unalias() for item in self.select.expressions]

    def blocks(self) -> Iterator[Block]:
        """This block and all below it: those of FROM, in its order, then those in expressions."""
        yield self
        for source in self.sources.values():
            if isinstance(source, Derived):
                yield from source.block.blocks()
        for block in self.nested.values():
            yield from block.blocks()

    def occurrences(self) -> Iterator[Occurrence]:
        """Every table below, in the order of `blocks`, but those of a FROM all in its order."""
        for source in self.sources.values():
            if isinstance(source, Occurrence):
                yield source
            elif isinstance(source, Derived):
                yield from source.block.occurrences()
        for block in self.nested.values():
            yield from block.occurrences()


def leaves(item: Item | None) -> Iterator[Source]:
    """The sources of an item of FROM, from left to right."""
    if isinstance(item, Join):
        yield from leaves(item.left)
        yield from leaves(item.right)
    elif item is not None:
        yield item


def joins(item: Item | None) -> Iterator[Join]:
    """The joins of an item of FROM."""
    if isinstance(item, Join):
        yield item
        yield from joins(item.left)
        yield from joins(item.right)


def here(node: exp.Expr) -> Iterator[exp.Expr]:
    """The nodes of an expression; of a query within it only its outermost node."""
    yield from node.walk(bfs=False, prune=lambda part: isinstance(part, exp.Query))


@dataclass(frozen=True)
class Found:
    """What a column name means: a source of a block, and in it a column or output; None for the whole row."""

    block: Block
    source: Source
    name: str | None


def resolve(column: exp.Column, block: Block) -> Found | None:
    """What the column is, seen from a block; None for what is no column at all.

    VS203 for a system column, VS205 for a name that is not known.
    """
    name = column.name
    plain = isinstance(column.this, exp.Identifier) and not column.this.args.get("quoted")
    if column.table:
        return _qualified(column, block)
    if plain and name.lower() in _RESERVED_WORDS:
        return None
    level: Block | None = block
    while level is not None:
        holders = [source for source in level.sources.values() if name in source.names]
        if len(holders) == 1:
            return Found(level, holders[0], name)
        if name in level.sources:
            return Found(level, level.sources[name], None)
        level = level.outer
    if plain and name.lower() in _GRAMMAR_WORDS:
        return None
    raise _system_column(column) if name in _SYSTEM_COLUMNS else _unknown_column(column)


def trace(expression: exp.Expr, block: Block) -> tuple[Occurrence, str] | None:
    """The table's column that an expression is, through any number of derived tables; None if it is more than one."""
    column = expression.unalias().unnest()
    found = resolve(column, block) if isinstance(column, exp.Column) else None
    if found is None or found.name is None:
        return None
    if isinstance(found.source, Occurrence):
        return found.source, found.source.names[found.name]
    if isinstance(found.source, Derived):
        inner = found.source.block
        return trace(inner.outputs[found.source.names[found.name]], inner)
    return None


def _qualified(column: exp.Column, block: Block) -> Found:
    level: Block | None = block
    while level is not None:
        source = level.sources.get(column.table)
        if source is not None:
            break
        level = level.outer
    else:
        raise _unknown_column(column)
    if isinstance(column.this, exp.Star):
        return Found(level, source, None)
    if column.name in source.names or isinstance(source, Opaque):
        return Found(level, source, column.name)
    raise _system_column(column) if column.name in _SYSTEM_COLUMNS else _unknown_column(column)


def _unknown_column(column: exp.Column) -> EngineError:
    return EngineError(
        "document query and catalog disagree about a column",
        sqlstate=CATALOG_DISAGREES,
        detail=f"No table of the query has the column {column.sql(dialect='postgres')}.",
        hint="Write the expression around it in another way, for instance as an immutable SQL function of the column.",
    )


def _system_column(column: exp.Column) -> EngineError:
    return EngineError(
        "document query reads a system column",
        sqlstate=DOCUMENT_UNSUPPORTED,
        detail=f"{column.sql(dialect='postgres')} changes with the place of the row, not with what it says.",
        hint="Read columns of the table itself.",
    )
