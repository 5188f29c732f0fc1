"""A rule understood: what its condition and its params read, and so the stage at which it is asked.

Nothing here is asked of the server: `create_rule` proves the expressions there, with the rights of the owner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vsync_engine.foundation.errors import RULE_NAMES, EngineError
from vsync_engine.rules import condition
from vsync_engine.rules import params as rule_params
from vsync_engine.rules.condition import NAMES, Column, Condition

Stage = Literal["change", "document"]

_CHANGE = (
    Column("op", "text"),
    Column("relation", "regclass"),
    Column("at", "timestamp with time zone"),
    Column("documents", "bigint"),
)
_EMBEDDED = (
    Column("content", "text"),
    Column("embedded_at", "timestamp with time zone"),
    Column("version", "integer"),
)
_OF_THE_CHANGE = ("old", "change")
_OF_THE_DOCUMENT = ("doc", "last")


@dataclass(frozen=True)
class Rule:
    """What a rule asks, and when.

    stage: change, where old, new and change are known; document, where doc, last and the root's row new are. sql: the
    condition as it is run. expression: likewise that of params.expression, or None. columns: what the two read, of
    each of old, new, doc, last and change.
    """

    stage: Stage
    sql: str
    expression: str | None
    columns: Mapping[str, tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        """The rule as what `json.dumps` takes."""
        columns = {name: list(columns) for name, columns in self.columns.items()}
        return {"stage": self.stage, "sql": self.sql, "expression": self.expression, "columns": columns}


def analyse(facts: Mapping[str, Any]) -> Rule:
    """Understand a rule.

    facts: {"condition", "action", "params", "root", "relation", "document"}; root, and relation where params name one,
    are {"schema", "name", "columns": [{"name", "type"}]}, the document {"columns"}.

    VS001: an unknown action or param, or a value that does not fit. VS601: the condition is not one expression that a
    rule can have. VS602: it names what does not exist, or names that are known at different times.
    """
    action, params = facts["action"], facts["params"]
    rule_params.check(action, params)
    known = _known(facts)
    asked = condition.read(facts["condition"], known, subqueries=params.get("subqueries", False))
    expression = params.get("expression")
    number = None
    if expression is not None:
        number = condition.read(expression, known, what="params.expression", subqueries=params.get("subqueries", False))
    columns = _columns(asked, number, known)
    return Rule(
        stage=_stage(action, params, columns),
        sql=asked.sql,
        expression=number.sql if number else None,
        columns=columns,
    )


def _known(facts: Mapping[str, Any]) -> dict[str, tuple[Column, ...]]:
    row = _listed((facts.get("relation") or facts["root"])["columns"])
    document = _listed(facts["document"]["columns"])
    own = {column.name for column in _EMBEDDED}
    last = (*_EMBEDDED, *(column for column in document if column.name not in own))
    return {"old": row, "new": row, "doc": document, "last": last, "change": _CHANGE}


def _listed(columns: Sequence[Mapping[str, str]]) -> tuple[Column, ...]:
    return tuple(Column(column["name"], column["type"]) for column in columns)


def _columns(
    asked: Condition, number: Condition | None, known: Mapping[str, Sequence[Column]]
) -> dict[str, tuple[str, ...]]:
    read = {name: {*asked.columns[name], *(number.columns[name] if number else ())} for name in NAMES}
    return {name: tuple(column.name for column in known[name] if column.name in read[name]) for name in NAMES}


def _stage(action: str, params: Mapping[str, Any], columns: Mapping[str, tuple[str, ...]]) -> Stage:
    of_change = [name for name in _OF_THE_CHANGE if columns[name]]
    of_document = [name for name in _OF_THE_DOCUMENT if columns[name]]
    if action == "exclude" and (of_change or columns["last"]):
        name = (*of_change, "last")[0]
        hint = "Ask doc and new: a document is excluded for as long as they say so."
        raise _error(f'a rule that excludes reads "{name}"', f"{name} is not known where documents are served.", hint)
    if action == "refresh" and of_change:
        hint = "Ask doc, new and last."
        detail = f"{of_change[0]} is known when a change arrives; refresh acts without one."
        raise _error(f'a rule that refreshes reads "{of_change[0]}"', detail, hint)
    if of_change and of_document:
        first, second = of_change[0], of_document[0]
        detail = f"{first} is known when a change arrives, {second} when the document has been rendered."
        hint = "Let the document query return the column and compare doc with last, or make two rules."
        raise _error(f'a rule reads "{first}" and "{second}"', detail, hint)
    if of_document and (params.get("relation") is not None or params.get("over") is not None):
        param = "relation" if params.get("relation") is not None else "over"
        detail = f"{of_document[0]} is known when the document has been rendered, params.{param} is about a change."
        raise _error(f'a rule reads "{of_document[0]}" with params.{param}', detail, f"Leave params.{param} out.")
    if action in ("exclude", "refresh"):
        return "document"
    by_change = of_change or columns["new"] or params.get("relation") is not None or params.get("over") is not None
    return "change" if by_change and not of_document else "document"


def _error(message: str, detail: str, hint: str) -> EngineError:
    return EngineError(message, sqlstate=RULE_NAMES, detail=detail, hint=hint)
