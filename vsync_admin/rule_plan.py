"""What it takes to make the rules of a database those of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import orjson
import psycopg

from vsync_admin import outside
from vsync_admin.connection import Row
from vsync_admin.errors import CommandError
from vsync_admin.queries import load
from vsync_admin.rule_files import Rule

_ALTERABLE = ("condition", "action", "params", "priority", "valid_from", "valid_until")
_DEFAULTS: Mapping[str, Any] = {"params": {}, "priority": 0, "valid_from": None, "valid_until": None}

Kind = Literal["create", "alter", "drop", "enable", "disable"]
Connection = psycopg.Connection[Row]


@dataclass(frozen=True)
class Change:
    """One call: to `kind` a rule. before and after: the fields that it changes."""

    kind: Kind
    rule: Rule
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def rows(self) -> list[dict[str, Any]]:
        """The change as lines of a table, one a field."""
        named = list(dict.fromkeys([*self.before, *self.after])) or [None]
        return [
            {
                "change": self.kind,
                "rule": self.rule.name,
                "field": field,
                "before": None if field is None else _shown(self.before.get(field)),
                "after": None if field is None else _shown(self.after.get(field)),
            }
            for field in named
        ]


def current(connection: Connection, embedding: str | None) -> list[Rule]:
    """Return the rules of the database, or of one embedding, by name."""
    rows = connection.execute(load("rules_as_code"), {"embedding": embedding}).fetchall()
    return [Rule(**row) for row in rows]


def plan(connection: Connection, wanted: Sequence[Rule], embedding: str | None) -> list[Change]:
    """Return the calls that lead from the rules of the database to those wanted, in the order in which they work."""
    others = [rule.name for rule in wanted if embedding is not None and rule.embedding != embedding]
    if others:
        raise CommandError(
            f'rules of another embedding than "{embedding}"',
            detail=f"They are {', '.join(others)}.",
            hint="Leave --embedding out, or move their files to another folder.",
        )
    return list(_changes(current(connection, embedding), [_normal(connection, rule) for rule in wanted]))


def carry_out(connection: Connection, changes: Iterable[Change]) -> None:
    """Make the changes, all or none."""
    with connection.transaction():
        for change in changes:
            outside.execute(connection, load(f"rule_{change.kind}"), _arguments(change))


def _changes(before: Sequence[Rule], after: Sequence[Rule]) -> Iterable[Change]:
    old = {rule.name: rule for rule in before}
    new = {rule.name: rule for rule in after}
    moved = {name for name in old.keys() & new.keys() if old[name].embedding != new[name].embedding}
    for name in sorted((old.keys() - new.keys()) | moved):
        yield Change("drop", old[name], _fields(old[name]), {})
    for name in sorted(new):
        if name in old and name not in moved:
            yield from _alterations(old[name], new[name])
        else:
            yield Change("create", new[name], {}, _fields(new[name]))
            if not new[name].enabled:
                yield Change("disable", new[name], {"enabled": True}, {"enabled": False})


def _alterations(old: Rule, new: Rule) -> Iterable[Change]:
    differing = [name for name in _ALTERABLE if getattr(old, name) != getattr(new, name)]
    if differing:
        yield Change(
            "alter",
            new,
            {name: getattr(old, name) for name in differing},
            {name: getattr(new, name) for name in differing},
        )
    if old.enabled != new.enabled:
        kind: Kind = "enable" if new.enabled else "disable"
        yield Change(kind, new, {"enabled": old.enabled}, {"enabled": new.enabled})


def _fields(rule: Rule) -> dict[str, Any]:
    named = [field.name for field in fields(rule) if field.name not in ("name", "enabled")]
    return {name: getattr(rule, name) for name in named if getattr(rule, name) != _DEFAULTS.get(name, object())}


def _normal(connection: Connection, rule: Rule) -> Rule:
    """The rule with its times as the server writes them."""
    row = connection.execute(load("rule_times"), [rule.valid_from, rule.valid_until]).fetchone()
    assert row is not None
    return replace(rule, **row)


def _arguments(change: Change) -> dict[str, Any]:
    rule = change.rule
    given: dict[str, Any] = {name: getattr(rule, name) for name in ("name", "embedding", *_ALTERABLE)}
    if change.kind == "alter":
        # null leaves as it is; what has no end is spelt as an infinity
        open_ends = {"valid_from": "-infinity", "valid_until": "infinity"}
        after = {name: open_ends.get(name) if value is None else value for name, value in change.after.items()}
        given = {**dict.fromkeys(_ALTERABLE), "name": rule.name, **after}
    if given.get("params") is not None:
        given["params"] = orjson.dumps(given["params"]).decode()
    return given


def _shown(value: object) -> object:
    return orjson.dumps(value).decode() if isinstance(value, dict) else value
