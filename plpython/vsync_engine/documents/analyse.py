"""A document query understood: its root and key, and of every table it reads the columns and the way to the root.

`analyse` reads the stored view, where the server has resolved every name, and the views behind it, and holds what it
finds against the catalog.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vsync_engine.documents import (
    cardinality,
    expand,
    grouping,
    join_edges,
    join_paths,
    outputs,
    parser,
    relations,
    volatility,
)
from vsync_engine.documents.catalog import Catalog, Relation, from_mapping, quoted
from vsync_engine.documents.declared import Declaration, declarations
from vsync_engine.documents.join_condition import rendered
from vsync_engine.documents.join_paths import CHANGED
from vsync_engine.documents.outputs import Extra, Key
from vsync_engine.documents.places import place
from vsync_engine.documents.root import chain, find_root
from vsync_engine.documents.scope import Block, Occurrence, joins
from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import DOCUMENT_UNSUPPORTED, EngineError


@dataclass(frozen=True)
class Dependency:
    """A table that the document reads beside its root, one mention of it.

    columns: every one that matters, in the order of the table. declared: the path is the author's. keys: the
    columns that the path begins with. path: a text for each step. delta: SELECT of the root's key from `changed`,
    rows of these keys.
    """

    number: int
    relation_oid: int
    relation_schema: str
    relation_name: str
    alias: str
    columns: tuple[str, ...]
    whole_row: bool
    declared: bool
    keys: tuple[Key, ...]
    path: tuple[str, ...]
    delta: str


@dataclass(frozen=True)
class Document:
    """What a document query is made of. Names are bare, as in the catalog; types as `format_type` writes them.

    keys: in the order of the primary key. columns: of the root, keys included, every one of them where the query
    takes the row as a whole (whole_row). generated: for each generated column among them the columns it is
    computed from. content_type: with domains stripped. extra: outputs that are neither key nor content.
    where: whether there is a condition. dependencies: the other tables, numbered from 1. warnings: sentences for a
    NOTICE.
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
    dependencies: tuple[Dependency, ...]
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
            "dependencies": [
                {
                    **asdict(found),
                    "columns": list(found.columns),
                    "path": list(found.path),
                    "keys": list(map(asdict, found.keys)),
                }
                for found in self.dependencies
            ],
            "warnings": list(self.warnings),
        }


def analyse(facts: Mapping[str, Any]) -> Document:
    """Understand a stored document query from the answer of `vsync_internal.document_catalog`.

    VS202: no primary key, or not selected. VS203: a shape, table, key or content that is not supported, or a table
    without a path to the root. VS204: a function that is volatile or depends on time or session. VS205: text and
    catalog disagree.
    """
    with parser.deep_recursion():
        return _analyse(from_mapping(facts))


def _analyse(catalog: Catalog) -> Document:
    clock = "refresh_every" in catalog.options
    trees = {query.oid: parser.stored(query) for query in catalog.queries}
    block = expand.expand(catalog, trees)
    root = find_root(block)
    occurrences = list(block.occurrences())
    _require_tables(occurrences, root, catalog)
    _require_one_row(catalog)
    volatility.refuse(catalog, trees.values(), clock=clock)
    expand.hold_against_catalog(catalog, trees)
    grouping.require_key(block, root)
    chosen = outputs.require_keys(root.relation, root, outputs.outputs(block, catalog))
    content_type = outputs.require_content(catalog.outputs, chosen)
    return Document(
        root_oid=root.relation.oid,
        root_schema=root.relation.schema,
        root_name=root.relation.name,
        keys=chosen,
        columns=root.columns,
        whole_row=root.whole_row,
        generated={
            column.name: column.generated_from
            for column in root.relation.columns
            if column.generated_from and column.name in root.columns
        },
        content_type=content_type,
        extra=outputs.extra(catalog.outputs, chosen),
        where=any(_may_drop_rows(part) for part in chain(block)),
        dependencies=_dependencies(catalog, block, root, chosen, declarations(catalog, chosen, clock=clock)),
        warnings=(
            *relations.warnings(occurrence.relation for occurrence in occurrences),
            *volatility.warnings(catalog),
            *cardinality.warnings(block),
        ),
    )


def _require_tables(occurrences: list[Occurrence], root: Occurrence, catalog: Catalog) -> None:
    for occurrence in occurrences:
        only = bool(occurrence.mention.args.get("only"))
        if occurrence is root:
            relations.require_root(occurrence.relation, only=only)
        else:
            relations.require_dependency(occurrence.relation, only=only, place=place(occurrence, catalog))


def _may_drop_rows(block: Block) -> bool:
    return block.select.args.get("where") is not None or any(not join.outer for join in joins(block.item))


def _require_one_row(catalog: Catalog) -> None:
    if catalog.document.multiplying:
        names = ", ".join(str(function) for function in catalog.functions if function.returns_set)
        hint = "A document has one row for each row of its table: aggregate the rows in a subquery."
        raise EngineError(
            "document query has a set-returning function",
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail=f"Its select list calls {names}.",
            hint=hint,
        )


def _dependencies(
    catalog: Catalog, block: Block, root: Occurrence, root_key: tuple[Key, ...], declared: tuple[Declaration, ...]
) -> tuple[Dependency, ...]:
    others = [occurrence for occurrence in block.occurrences() if occurrence is not root]
    found = join_edges.find(block, catalog)
    ways = join_paths.to_root(found.found, root)
    dependencies: list[Dependency] = []
    for occurrence in others:
        relation = occurrence.relation
        way = ways.get(occurrence)
        if way is None:
            if any(declaration.relation is relation for declaration in declared):
                continue
            raise _without_path(occurrence, root, catalog, found)
        dependencies.append(
            _dependency(
                len(dependencies) + 1,
                relation,
                occurrence.alias,
                set(occurrence.columns),
                whole_row=occurrence.whole_row,
                declared=False,
                keys=join_paths.tuple_of(way),
                path=tuple(map(str, way)),
                delta=join_paths.delta(way, root_key),
            )
        )
    for declaration in declared:
        read = [occurrence for occurrence in others if occurrence.relation is declaration.relation]
        columns = {key.column for key in declaration.keys}.union(*(occurrence.columns for occurrence in read))
        if not read or volatility.may_read_tables(catalog):
            columns = {column.name for column in declaration.relation.columns}
        dependencies.append(
            _dependency(
                len(dependencies) + 1,
                declaration.relation,
                declaration.relation.name,
                columns,
                whole_row=any(occurrence.whole_row for occurrence in read),
                declared=True,
                keys=declaration.keys,
                path=(declaration.query,),
                delta=declaration.delta(root_key),
            )
        )
    return tuple(dependencies)


def _dependency(number: int, relation: Relation, alias: str, columns: set[str], **facts: Any) -> Dependency:
    for column in relation.columns:
        if column.name in columns:
            columns = columns | set(column.generated_from)
    return Dependency(
        number=number,
        relation_oid=relation.oid,
        relation_schema=relation.schema,
        relation_name=relation.name,
        alias=alias,
        columns=tuple(column.name for column in relation.columns if column.name in columns),
        **facts,
    )


def _without_path(occurrence: Occurrence, root: Occurrence, catalog: Catalog, found: join_edges.Edges) -> EngineError:
    reason = found.refused.get(occurrence)
    return EngineError(
        f"document query reads {occurrence.relation} without a path to the root",
        sqlstate=DOCUMENT_UNSUPPORTED,
        detail=f"It is {place(occurrence, catalog)}." + (f" {reason}" if reason else ""),
        hint=f"Write an equality of its columns as a condition of WHERE or ON that is not under OR or NOT, such as "
        f"{occurrence.alias}.… = …, or declare the way from its rows to the keys: "
        f"options => {sql_lexer.literal(_declaration(occurrence, root, found))}",
    )


def _declaration(occurrence: Occurrence, root: Occurrence, found: join_edges.Edges) -> str:
    """options.depends_on for a table without a path: by a condition that it has with the root, or to all documents."""
    condition = found.others.get((occurrence, root))
    names = {occurrence: CHANGED, root: "r"}
    written = rendered(condition, names) if condition else f"{CHANGED}.{_column(occurrence.relation)} is not null"
    keys = ", ".join(f"r.{quoted(column)}" for column in root.relation.primary_key)
    query = f"select {keys} from {CHANGED} join {root.relation} r on {written}"
    return json.dumps({"depends_on": [{"relation": str(occurrence.relation), "query": query}]}, ensure_ascii=False)


def _column(relation: Relation) -> str:
    return quoted(next(iter(relation.primary_key), relation.columns[0].name))
