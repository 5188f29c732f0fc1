"""The shortest way from each occurrence to the root, and the query that follows it from changed rows to root keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from vsync_engine.blocks import Occurrence
from vsync_engine.catalog import Column, quoted
from vsync_engine.edges import Edge, Endpoint
from vsync_engine.keys import Key, key

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
            f"{_written(edge.near, self.near.alias)}{_operator(edge)}{_written(edge.far, self.far.alias)}"
            for edge in self.edges
        )


Path = tuple[Step, ...]


def to_root(edges: list[Edge], root: Occurrence) -> Mapping[Occurrence, Path]:
    """The shortest path of each occurrence that has one, the root's own being empty."""
    pairs: dict[tuple[Occurrence, Occurrence], list[Edge]] = {}
    for edge in edges:
        pairs.setdefault((edge.near.occurrence, edge.far.occurrence), []).append(edge)
    paths: dict[Occurrence, Path] = {root: ()}
    waiting = deque([root])
    while waiting:
        reached = waiting.popleft()
        for (near, far), between in pairs.items():
            if far is reached and near not in paths:
                paths[near] = (Step(near, far, tuple(between)), *paths[far])
                waiting.append(near)
    return paths


def tuple_of(path: Path) -> tuple[Key, ...]:
    """The columns of the changed table that its path begins with."""
    names = dict.fromkeys(name for edge in path[0].edges for name in edge.near.columns)
    return tuple(key(path[0].near.relation, name, name) for name in names)


def delta(path: Path, root_key: tuple[Key, ...]) -> str:
    """SELECT the root keys that lead from the rows of `changed`, along the path and nothing else."""
    aliases = _aliases(path)
    direct = _direct(path[-1], root_key)
    joined = path[:-1] if direct else path
    outputs = direct or [Endpoint(path[-1].far, exp.column(part.column, quoted=True), (), ()) for part in root_key]
    tables = "".join(
        f" join {step.far.relation} as {aliases[step.far]} on {_condition(step, aliases)}" for step in joined
    )
    selected = ", ".join(
        f"{_rendered(output, aliases)} as {quoted(part.column)}" for output, part in zip(outputs, root_key, strict=True)
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
            if edge.far.plain == part.column and not edge.schema and _exact(edge):
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
    parts: list[str] = []
    for edge in step.edges:
        ends = (edge.far, edge.near) if edge.turned else (edge.near, edge.far)
        parts.append(_operator(edge).join(_rendered(end, aliases) for end in ends))
    return " and ".join(parts)


def _rendered(end: Endpoint, aliases: Mapping[Occurrence, str]) -> str:
    alias = aliases[end.occurrence]
    return _written(end, alias, collate=alias == CHANGED)


def _written(end: Endpoint, alias: str, *, collate: bool = False) -> str:
    """The expression with its columns named after an alias; those of `changed` with the collation they have lost."""

    def named(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        text = f"{alias}.{quoted(node.name)}"
        column = end.occurrence.relation.column(node.name)
        if collate and column is not None and _folds(column):
            text = f"({text} collate {column.collation})"
        return exp.var(text)

    return end.expression.transform(named).sql(dialect="postgres", normalize_functions=False, comments=False)


def _operator(edge: Edge) -> str:
    return f" operator({quoted(edge.schema)}.=) " if edge.schema else " = "
