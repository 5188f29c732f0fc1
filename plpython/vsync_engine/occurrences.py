"""The tables of a stored document query, one occurrence at a time, and what each of them is read for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from vsync_engine.catalog import Catalog, Relation
from vsync_engine.errors import CATALOG_DISAGREES, DOCUMENT_UNSUPPORTED, EngineError

# words of the grammar that the parser takes for columns; as columns these two kinds differ:
# the reserved ones would stand in quotes, the others may well be columns
_RESERVED_WORDS = frozenset({"user", "current_role", "current_catalog", "session_user", "current_user", "system_user"})
_GRAMMAR_WORDS = frozenset({"document", "content", "nfc", "nfd", "nfkc", "nfkd", "name"})
_SYSTEM_COLUMNS = frozenset({"tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"})


@dataclass(frozen=True)
class Occurrence:
    """One mention of a table in FROM. names: its columns by the name the query calls them."""

    alias: str
    relation: Relation
    names: Mapping[str, str]


@dataclass(frozen=True)
class Reading:
    """What a query reads of one occurrence: the columns it names, and whether it also takes the row as a whole."""

    occurrence: Occurrence
    named: frozenset[str]
    whole_row: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that matters, in the order of the table."""
        every = (column.name for column in self.occurrence.relation.columns)
        return tuple(name for name in every if self.whole_row or name in self.named)


def find(tables: Iterable[exp.Table], catalog: Catalog) -> tuple[Occurrence, ...]:
    """Find the relation of each mentioned table; VS205 if the catalog does not know it."""
    return tuple(_occurrence(table, catalog) for table in tables)


def resolve(column: exp.Column, among: Iterable[Occurrence]) -> tuple[Occurrence, str | None] | None:
    """The occurrence and the column that are meant: (occurrence, None) for a whole row, None for no column at all.

    VS203 for a system column, VS205 for a name that the catalog does not have.
    """
    name = column.name
    whole = isinstance(column.this, exp.Star)
    if not column.table:
        written_plain = isinstance(column.this, exp.Identifier) and not column.this.args.get("quoted")
        if written_plain and name.lower() in _RESERVED_WORDS:
            return None
        holders = [occurrence for occurrence in among if name in occurrence.names]
        if not holders and written_plain and name.lower() in _GRAMMAR_WORDS:
            return None
        if not holders:
            holders = [occurrence for occurrence in among if occurrence.alias == name]
            whole = bool(holders)
        if not holders and name in _SYSTEM_COLUMNS:
            raise _system_column(column)
    else:
        holders = [occurrence for occurrence in among if occurrence.alias == column.table]
    if len(holders) != 1:
        raise _unknown_column(column)
    holder = holders[0]
    if whole:
        return holder, None
    if name not in holder.names:
        raise _system_column(column) if name in _SYSTEM_COLUMNS else _unknown_column(column)
    return holder, holder.names[name]


def readings(tree: exp.Expr, among: tuple[Occurrence, ...]) -> tuple[Reading, ...]:
    """What a query reads of each occurrence, in the order of `among`; errors as `resolve`."""
    named: list[set[str]] = [set() for _ in among]
    whole = [False for _ in among]
    for column in tree.find_all(exp.Column):
        found = resolve(column, among)
        if found is None:
            continue
        occurrence, name = found
        index = among.index(occurrence)
        if name is None:
            whole[index] = True
        else:
            named[index].add(name)
    return tuple(
        Reading(occurrence, frozenset(names), row) for occurrence, names, row in zip(among, named, whole, strict=True)
    )


def _occurrence(table: exp.Table, catalog: Catalog) -> Occurrence:
    relation = next(
        (
            relation
            for relation in catalog.relations
            if relation.name == table.name and (relation.schema == table.db or (relation.visible and not table.db))
        ),
        None,
    )
    if relation is None:
        raise EngineError(
            "document query and catalog disagree about a table",
            sqlstate=CATALOG_DISAGREES,
            detail=f"The catalog records no dependency on {table.sql(dialect='postgres')}.",
            hint="Create the embedding again; if the error stays, report the query.",
        )
    written = [column.name for column in table.args["alias"].columns] if table.args.get("alias") else []
    real = [column.name for column in relation.columns]
    return Occurrence(
        alias=table.alias_or_name,
        relation=relation,
        names=dict(zip(written + real[len(written) :], real, strict=True)),
    )


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
