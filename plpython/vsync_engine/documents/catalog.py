"""What the catalog says about a stored document query: `vsync_internal.document_catalog` as dataclasses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlglot.dialects.postgres import Postgres

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
# key words of PostgreSQL that cannot be names everywhere, beside those that the parser knows
_KEY_WORDS = frozenset(
    {
        *("analyse", "asymmetric", "authorization", "both", "cast", "check", "coalesce", "collation"),
        *("concurrently", "current_role", "deferrable", "extract", "foreign", "freeze", "greatest"),
        *("group", "grouping", "initially", "leading", "least", "national", "none", "normalize", "nullif"),
        *("order", "overlay", "placing", "position", "precision", "primary", "setof", "similar"),
        *("substring", "symmetric", "system_user", "to", "trailing", "treat", "trim", "user", "verbose"),
        *("xmlattributes", "xmlconcat", "xmlelement", "xmlexists", "xmlforest", "xmlnamespaces"),
        # from 16 and 17 on
        *("json", "json_array", "json_arrayagg", "json_exists", "json_object", "json_objectagg", "json_query"),
        *("json_scalar", "json_serialize", "json_table", "json_value", "merge_action", "system_user"),
        *("xmlparse", "xmlpi", "xmlroot", "xmlserialize", "xmltable"),
    }
)


@dataclass(frozen=True)
class Column:
    """A column of a relation or an output of the query; types have their domains stripped.

    type: as `format_type` writes it, with modifier and, outside pg_catalog, with schema. ordered: has a default
    btree operator class. operator_schema: of its own equality, if it has one. collation: None for the
    database's default. generated_from: for a generated column the columns of its expression.
    """

    name: str
    number: int
    type: str
    type_schema: str
    type_name: str
    ordered: bool
    operator_schema: str | None
    collation: str | None
    generated_from: tuple[str, ...]

    @property
    def builtin(self) -> bool:
        """Whether the type lives in pg_catalog."""
        return self.type_schema == "pg_catalog"


@dataclass(frozen=True)
class Relation:
    """A relation the query reads. kind and persistence are pg_class' letters; primary_key is in key order.

    unique_keys: the columns of each unique index without condition or expression.
    """

    oid: int
    schema: str
    name: str
    visible: bool
    kind: str
    persistence: str
    partition: bool
    parents: tuple[str, ...]
    children: int
    foreign_partitions: bool
    primary_key: tuple[str, ...]
    primary_key_valid: bool
    unique_keys: tuple[frozenset[str], ...]
    columns: tuple[Column, ...]

    def __str__(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True)
class Function:
    """A function the query calls, by name or through operators. volatility and kind are pg_proc's letters.

    As text it is what ALTER FUNCTION takes; the server's own go without their schema.
    """

    schema: str
    name: str
    arguments: str
    volatility: str
    kind: str
    returns_set: bool
    operators: tuple[str, ...]

    def __str__(self) -> str:
        if self.schema == "pg_catalog":
            return f"{self.name}({self.arguments})"
        return f"{quoted(self.schema)}.{quoted(self.name)}({self.arguments})"


@dataclass(frozen=True)
class Query:
    """A stored query: the document's, or that of a view that it reads.

    name: as written in SQL. quoted: the text with all names quoted. depends: (relation oid, column name) as pg_depend
    has them. From the query tree: whole_row, whether it refers to some row as a whole; aggregating and windowed, how
    many of its SELECTs have aggregates and window functions; multiplying, whether its select list calls a set-returning
    function.
    """

    oid: int
    name: str
    text: str
    quoted: str
    depends: frozenset[tuple[int, str]]
    whole_row: bool
    aggregating: int
    windowed: int
    multiplying: bool


@dataclass(frozen=True)
class Declared:
    """What the catalog knows of an entry of options.depends_on: its relation, and functions with names it calls."""

    relation: int | None
    functions: tuple[Function, ...]


@dataclass(frozen=True)
class Catalog:
    """All facts about one stored document query.

    views: the queries of the views behind it, by oid. session_values: numbers of SQLValueFunctionOp. options: of
    the embedding. declared: one for each entry of options.depends_on. written: the document as its author wrote
    it, where the caller knows it.
    """

    document: Query
    views: Mapping[int, Query]
    outputs: tuple[Column, ...]
    relations: tuple[Relation, ...]
    functions: tuple[Function, ...]
    session_values: tuple[int, ...]
    options: Mapping[str, Any]
    declared: tuple[Declared, ...]
    written: str | None

    @property
    def queries(self) -> tuple[Query, ...]:
        """The document's query and those of all views."""
        return (self.document, *self.views.values())

    def relation(self, oid: int) -> Relation | None:
        """The relation of that oid."""
        return next((relation for relation in self.relations if relation.oid == oid), None)

    def named(self, schema: str, name: str) -> Relation | None:
        """The relation of that name; without a schema one that the search_path of the stored text shows."""
        for relation in self.relations:
            if relation.name == name and (relation.schema == schema or (relation.visible and not schema)):
                return relation
        return None


def quoted(name: str) -> str:
    """An identifier, in double quotes where SQL needs them or might."""
    if _PLAIN_NAME.fullmatch(name) and name not in _KEY_WORDS and name.upper() not in Postgres.Tokenizer.KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def from_mapping(facts: Mapping[str, Any]) -> Catalog:
    """Read the answer of `vsync_internal.document_catalog`; KeyError where it has another shape."""
    relations = tuple(_relation(relation) for relation in facts["relations"])
    names = {relation.oid: str(relation) for relation in relations}
    return Catalog(
        document=_query(facts["query"], facts["document"]["name"]),
        views={view["oid"]: _query(view, names[view["oid"]]) for view in facts["views"]},
        outputs=tuple(_column(column) for column in facts["outputs"]),
        relations=relations,
        functions=tuple(_function(function) for function in facts["functions"]),
        session_values=tuple(facts["session_values"]),
        options=facts["options"],
        declared=tuple(
            Declared(entry["relation"], tuple(_function(function) for function in entry["functions"]))
            for entry in facts["declared"]
        ),
        written=facts.get("written"),
    )


def _query(facts: Mapping[str, Any], name: str) -> Query:
    return Query(
        oid=facts["oid"],
        name=name,
        text=facts["text"],
        quoted=facts["quoted"],
        depends=frozenset((row["relation"], row["column"]) for row in facts["depends"]),
        whole_row=facts["whole_row"],
        aggregating=facts["aggregating"],
        windowed=facts["windowed"],
        multiplying=facts["multiplying"],
    )


def _column(facts: Mapping[str, Any]) -> Column:
    return Column(
        name=facts["name"],
        number=facts["number"],
        type=facts["type"],
        type_schema=facts["type_schema"],
        type_name=facts["type_name"],
        ordered=facts["ordered"],
        operator_schema=facts["operator_schema"],
        collation=facts["collation"],
        generated_from=tuple(facts["generated_from"] or ()),
    )


def _relation(facts: Mapping[str, Any]) -> Relation:
    key: Mapping[str, Any] = facts["primary_key"] or {"columns": (), "valid": False}
    return Relation(
        oid=facts["oid"],
        schema=facts["schema"],
        name=facts["name"],
        visible=facts["visible"],
        kind=facts["kind"],
        persistence=facts["persistence"],
        partition=facts["partition"],
        parents=tuple(facts["parents"]),
        children=facts["children"],
        foreign_partitions=facts["foreign_partitions"],
        primary_key=tuple(key["columns"]),
        primary_key_valid=key["valid"],
        unique_keys=tuple(frozenset(columns) for columns in facts["unique_keys"]),
        columns=tuple(_column(column) for column in facts["columns"]),
    )


def _function(facts: Mapping[str, Any]) -> Function:
    return Function(
        schema=facts["schema"],
        name=facts["name"],
        arguments=facts["arguments"],
        volatility=facts["volatility"],
        kind=facts["kind"],
        returns_set=facts["returns_set"],
        operators=tuple(facts["operators"]),
    )
