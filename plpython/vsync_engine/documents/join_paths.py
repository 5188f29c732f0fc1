"""The shortest way from each occurrence to the root, and the query that follows it from changed rows to root keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from vsync_engine.documents.catalog import Column, quoted
from vsync_engine.documents.join_condition import Reference, Text, written
from vsync_engine.documents.join_edges import Edge, Endpoint
from vsync_engine.documents.outputs import Key, key
from vsync_engine.documents.scope import Occurrence

CHANGED = "changed"

# equal values of one of these types have one text
_EXACT_TYPES = frozenset(
    {
        *("bool", "bytea", "date", "int2", "int4", "int8", "oid", "text"),
        *("timestamp", "timestamptz", "uuid", "varchar"),
    }
)


@dataclass(frozen=True)
class Step:
    """All edges from one occurrence to the next one on its way."""

    near: Occurrence
    far: Occurrence
    edges: tuple[Edge, ...]

    def __str__(self) -> str:
        return " and ".join(
            f"{written(edge.near.text)} {edge.operator} {written(edge.far.text)}"
            if edge.operator
            else written(edge.text)
            for edge in self.edges
        )


Path = tuple[Step, ...]


def to_root(edges: list[Edge], root: Occurrence) -> Mapping[Occurrence, Path]:
    """A path of each occurrence that has one, the root's own being empty: the shortest one by equalities, if any."""
    paths: dict[Occurrence, Path] = {root: ()}
    pairs: dict[tuple[Occurrence, Occurrence], list[Edge]] = {}
    for chosen in ([e for e in edges if e.operator], [e for e in edges if not e.operator]):
        for edge in chosen:
            between = pairs.setdefault((edge.near.occurrence, edge.far.occurrence), [])
            if edge.operator or all(other.operator is None for other in between):
                between.append(edge)
        _extend(paths, pairs)
    return paths


def _extend(paths: dict[Occurrence, Path], pairs: Mapping[tuple[Occurrence, Occurrence], list[Edge]]) -> None:
    waiting = deque(paths)
    while waiting:
        reached = waiting.popleft()
        for (near, far), between in pairs.items():
            if far is reached and near not in paths:
                paths[near] = (Step(near, far, tuple(between)), *paths[far])
                waiting.append(near)


def tuple_of(path: Path) -> tuple[Key, ...]:
    """The columns of the changed table that its path begins with.

    A null leads somewhere if no edge is strict: then a single column is there twice, since a tuple of one null is not
    recorded.
    """
    names = dict.fromkeys(name for edge in path[0].edges for name in edge.near.columns)
    relation = path[0].near.relation
    keys = tuple(key(relation, name, name) for name in names)
    if len(keys) == 1 and not any(edge.strict for edge in path[0].edges):
        keys += (key(relation, keys[0].column, f"{keys[0].column} or null"),)
    return keys


def delta(path: Path, root_key: tuple[Key, ...]) -> str:
    """SELECT the root keys that lead from the rows of `changed`, along the path and nothing else."""
    aliases = _aliases(path)
    direct = _direct(path[-1], root_key)
    joined = path[:-1] if direct else path
    outputs = direct or [
        Endpoint(path[-1].far, (Reference(path[-1].far, part.column),), True, (), ()) for part in root_key
    ]
    tables = "".join(
        f" join {step.far.relation} as {aliases[step.far]} on {_condition(step, aliases)}" for step in joined
    )
    selected = ", ".join(
        f"{_rendered(output.text, aliases)} as {quoted(part.column)}"
        for output, part in zip(outputs, root_key, strict=True)
    )
    return f"select {selected} from {CHANGED}{tables}"


def _aliases(path: Path) -> dict[Occurrence, str]:
    aliases = {path[0].near: CHANGED}
    for step in path:
        wanted, number = step.far.alias, 1
        while quoted(wanted) in aliases.values():
            wanted, number = f"{step.far.alias}_{number}", number + 1
        aliases[step.far] = quoted(wanted)
    return aliases


def _direct(last: Step, root_key: tuple[Key, ...]) -> list[Endpoint]:
    """What the last step says the root's key is, where it says so of all of it; then the root need not be read."""
    found: list[Endpoint] = []
    for part in root_key:
        for edge in last.edges:
            if edge.far.plain == part.column and edge.operator == "=" and _exact(edge):
                found.append(edge.near)
                break
    return found if len(found) == len(root_key) else []


def _exact(edge: Edge) -> bool:
    near, far = _column(edge.near), _column(edge.far)
    if near is None or far is None or (near.type, near.collation) != (far.type, far.collation):
        return False
    return near.builtin and near.type_name in _EXACT_TYPES and not _folds(near)


def _column(end: Endpoint) -> Column | None:
    return end.occurrence.relation.column(end.plain) if end.plain else None


def _folds(column: Column) -> bool:
    """Whether values may be equal that are not the same: of the collations the server brings none does so."""
    return column.collation is not None and not column.collation.startswith("pg_catalog.")


def _condition(step: Step, aliases: Mapping[Occurrence, str]) -> str:
    return " and ".join(_rendered(edge.text, aliases, computed=edge.near.plain is None) for edge in step.edges)


def _rendered(text: Text, aliases: Mapping[Occurrence, str], *, computed: bool = False) -> str:
    """A condition as SQL, columns of `changed` with the collation that they have lost.

    computed: a function may go by any collation; whether two columns are equal, only by one that folds.
    """
    parts: list[str] = []
    for part in text:
        if isinstance(part, Reference):
            sql = f"{aliases[part.occurrence]}.{quoted(part.column)}"
            column = part.occurrence.relation.column(part.column)
            lost = column is not None and (_folds(column) or (computed and column.collation is not None))
            if column is not None and lost and aliases[part.occurrence] == CHANGED:
                sql = f"({sql} collate {column.collation})"
            parts.append(sql)
        else:
            parts.append(part)
    return "".join(parts)
