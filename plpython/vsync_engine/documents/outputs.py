"""The outputs of a document query: its key columns, the text called content, and what else it selects."""

from __future__ import annotations

from dataclasses import dataclass

from vsync_engine.documents.catalog import Catalog, Column, Relation, quoted
from vsync_engine.documents.scope import Block, Occurrence, trace
from vsync_engine.foundation.errors import CATALOG_DISAGREES, DOCUMENT_UNSUPPORTED, DOCUMENT_WITHOUT_KEY, EngineError

CONTENT = "content"
RESERVED = frozenset(
    {
        "attributes",
        "captured_at",
        "chunk",
        "chunks",
        CONTENT,
        "content_hash",
        "document_hash",
        "embedded_at",
        "embedding",
        "made_from",
        "token",
        "truncated",
        "version",
        "worker",
    }
)
_TEXT_TYPES = frozenset({"text", "varchar", "bpchar"})


@dataclass(frozen=True)
class Key:
    """A column of a key, or of what leads to one, and the output that carries it.

    type: with domains stripped, as `format_type` writes it. builtin: whether that type lives in pg_catalog.
    collation: schema-qualified, None for the database's default.
    """

    column: str
    output: str
    type: str
    builtin: bool
    collation: str | None


@dataclass(frozen=True)
class Extra:
    """An output that is neither key nor content; type as in `Key`."""

    output: str
    type: str


@dataclass(frozen=True)
class Output:
    """An output and, where it is a plain column of a table, that column."""

    name: str
    source: tuple[Occurrence, str] | None


def outputs(document: Block, catalog: Catalog) -> tuple[Output, ...]:
    """The select list beside the columns of the stored view; VS205 if they are not as many."""
    items = document.outputs
    if len(items) != len(catalog.outputs):
        raise EngineError(
            "document query and catalog disagree about the select list",
            sqlstate=CATALOG_DISAGREES,
            detail=f"The query selects {len(items)} expressions, its view has {len(catalog.outputs)} columns.",
            hint="Report the query: the analysis of it is wrong.",
        )
    return tuple(
        Output(column.name, trace(item, document)) for item, column in zip(items, catalog.outputs, strict=True)
    )


def require_keys(root: Relation, occurrence: Occurrence, selected: tuple[Output, ...]) -> tuple[Key, ...]:
    """The primary key, each column with the output that carries it.

    VS202: the root has no valid primary key, or a column of it is not selected. VS203: its output has a name that
    vsync uses itself, its type has no order, or operators outside pg_catalog.
    """
    if not root.primary_key:
        raise EngineError(
            "root of the document has no primary key",
            sqlstate=DOCUMENT_WITHOUT_KEY,
            detail=f"{root} has no primary key.",
            hint=f"alter table {root} add primary key (…);",
        )
    if not root.primary_key_valid:
        raise EngineError(
            "primary key of the document's root is not valid",
            sqlstate=DOCUMENT_WITHOUT_KEY,
            detail=f"The primary key of {root} does not cover every partition.",
            hint="Attach an index of each partition to it: alter index … attach partition …;",
        )
    carried = {column: [o.name for o in selected if o.source == (occurrence, column)] for column in root.primary_key}
    missing = [column for column in root.primary_key if not carried[column]]
    if missing:
        words = ", ".join(_written(occurrence, column) for column in missing)
        raise EngineError(
            "document query does not select its key",
            sqlstate=DOCUMENT_WITHOUT_KEY,
            detail=f"The primary key of {root} is ({', '.join(map(quoted, root.primary_key))}); as plain columns "
            f"the select list lacks {', '.join(map(quoted, missing))}.",
            hint=f"Begin with: select {words}, …",
        )
    return tuple(_key(root, occurrence, column, carried[column]) for column in root.primary_key)


def require_content(columns: tuple[Column, ...], chosen: tuple[Key, ...]) -> str:
    """The type of the output called content; VS203 if there is none or it is no text."""
    content = next((column for column in columns if column.name == CONTENT), None)
    if content is None:
        others = [column for column in columns if column.name not in {key.output for key in chosen}]
        texts = [column.name for column in others if _is_text(column)]
        hint = f"Name the output: … as {quoted(CONTENT)}."
        if len(texts) == 1:
            hint = f"Write as {CONTENT} after the expression that is now called {quoted(texts[0])}."
        raise EngineError(
            'document query has no output named "content"',
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail=f"Its outputs are {', '.join(quoted(column.name) for column in columns)}.",
            hint=hint,
        )
    if not _is_text(content):
        raise EngineError(
            'output "content" is not text',
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail=f"Its type is {content.type}.",
            hint="Cast it: (…)::text as content.",
        )
    return content.type


def extra(columns: tuple[Column, ...], chosen: tuple[Key, ...]) -> tuple[Extra, ...]:
    """The outputs that are neither key nor content, in the order of the select list."""
    used = {CONTENT, *(key.output for key in chosen)}
    return tuple(Extra(column.name, column.type) for column in columns if column.name not in used)


def key(relation: Relation, name: str, output: str) -> Key:
    """A column of a relation as part of a key."""
    column = relation.column(name)
    assert column is not None
    return Key(name, output, column.type, column.builtin, column.collation)


def _key(root: Relation, occurrence: Occurrence, name: str, carriers: list[str]) -> Key:
    column = root.column(name)
    assert column is not None
    output = next((carrier for carrier in carriers if carrier not in RESERVED), None)
    if output is None:
        raise EngineError(
            f'key output "{carriers[0]}" has a name that vsync uses itself',
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail=f"Beside the key the vector table has the columns {', '.join(sorted(RESERVED))}.",
            hint=f"Give it another name: {_written(occurrence, name)} as {quoted(f'{root.name}_{name}')}.",
        )
    if not column.ordered:
        raise EngineError(
            f'key column "{name}" cannot be put in order',
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail=f"{column.type} has no default btree operator class of its own that is safe to run for others.",
            hint=f"Give {root} a primary key of another type.",
        )
    if column.operator_schema not in (None, "pg_catalog"):
        raise EngineError(
            f'key column "{name}" has a type whose operators are not built in',
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail=f"{column.type} is compared by operators of the schema {quoted(column.operator_schema)}. "
            "Keys are compared under search_path = pg_catalog, which does not have them.",
            hint=f"Give {root} a primary key of a built-in type and keep a unique index on {quoted(name)}, such as: "
            f"alter table {root} drop constraint …, add column document_id bigint generated always as identity "
            f"primary key, add unique ({quoted(name)});",
        )
    return key(root, name, output)


def _written(occurrence: Occurrence, column: str) -> str:
    return f"{quoted(occurrence.alias)}.{quoted(column)}"


def _is_text(column: Column) -> bool:
    if column.builtin:
        return column.type_name in _TEXT_TYPES
    return column.type_name == "citext"
