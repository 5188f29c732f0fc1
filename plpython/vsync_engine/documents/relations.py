"""Which tables a document may read, as its root or beside it: those whose every change a trigger of theirs can see."""

from __future__ import annotations

from collections.abc import Iterable

from vsync_engine.documents.catalog import Relation
from vsync_engine.foundation.errors import DOCUMENT_UNSUPPORTED, EngineError

_KINDS = {
    "v": ("a view", "Name the tables of its query."),
    "m": ("a materialized view", "Name the table it is made from."),
    "f": ("a foreign table", "Its changes cannot be seen from here: copy the rows into a table."),
    "S": ("a sequence", "Name a table."),
    "t": ("a TOAST table", "Name the table it belongs to."),
    "c": ("a composite type", "Name a table."),
}
_SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})
_OWN_SCHEMAS = frozenset({"vsync", "vsync_internal", "vsync_data"})


def require_root(root: Relation, *, only: bool) -> None:
    """Raise VS203 if the relation cannot be the root; `only` says that the query reads it without its children."""
    refusal = _refusal(root, only=only)
    if refusal is not None:
        what, hint = refusal
        raise EngineError(
            f"root of the document is {what}",
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail=f"{root} is {what}.",
            hint=hint,
        )


def require_dependency(relation: Relation, *, only: bool, place: str) -> None:
    """Raise VS203 if the relation cannot be read beside the root; it may lack a primary key."""
    refusal = _refusal(relation, only=only)
    if refusal is not None:
        what, hint = refusal
        raise EngineError(
            f"document query reads {what}",
            sqlstate=DOCUMENT_UNSUPPORTED,
            detail=f"{relation} is {what}: {place}.",
            hint=hint,
        )


def warnings(relations: Iterable[Relation]) -> tuple[str, ...]:
    """Sentences about what is allowed and yet worth knowing."""
    return tuple(
        f"{relation} is unlogged: after a crash it is empty, and vectors made of it stay until an audit."
        for relation in dict.fromkeys(relations)
        if relation.persistence == "u"
    )


def _refusal(root: Relation, *, only: bool) -> tuple[str, str] | None:
    if root.schema in _SYSTEM_SCHEMAS:
        return "a catalog table", "Copy the rows into a table of your own."
    if root.schema in _OWN_SCHEMAS:
        return "a table of vsync", "Name the table the rows come from."
    if root.kind not in ("r", "p"):
        return _KINDS.get(root.kind, ("no table", "Name a table."))
    if root.persistence == "t":
        return "a temporary table", "Create it without TEMPORARY: workers are other sessions."
    if root.partition:
        parent = root.parents[0] if root.parents else "the partitioned table"
        return "a partition", f"Name {parent}, which changes may go through, and say in WHERE which rows are documents."
    if root.foreign_partitions:
        return (
            "a partitioned table with a foreign partition",
            "Changes of a foreign partition cannot be seen from here: detach it.",
        )
    return _inheritance_refusal(root, only=only)


def _inheritance_refusal(root: Relation, *, only: bool) -> tuple[str, str] | None:
    if root.kind == "p":
        hint = f"Say from {root}, without ONLY: the rows are in the partitions."
        return ("a partitioned table without its partitions", hint) if only else None
    if root.parents:
        return "an inheritance child", f"Changes may go through {root.parents[0]}: turn inheritance into partitions."
    if root.children:
        return "an inheritance parent", "Its key is not unique across its children: turn inheritance into partitions."
    return None
