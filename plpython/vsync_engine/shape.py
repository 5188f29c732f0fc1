"""Which shapes of a query a document may have: for now one SELECT of one table, its own columns, a WHERE."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

_MOVE_HINT = "A document reads one table: keep what it needs of other rows in a column of that table."
_AGGREGATES = (
    exp.Sum,
    exp.Count,
    exp.Avg,
    exp.Min,
    exp.Max,
    exp.ArrayAgg,
    exp.LogicalAnd,
    exp.LogicalOr,
    exp.JSONObjectAgg,
    exp.JSONArrayAgg,
)


@dataclass(frozen=True)
class _Rule:
    kinds: tuple[type[exp.Expr], ...]
    what: str
    hint: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A part of a query that a document cannot have. words: the keywords it is written with, if there are any."""

    node: exp.Expr
    what: str
    hint: str
    words: tuple[str, ...] = ()


_RULES = (
    _Rule(
        (exp.SetOperation,),
        "a set operation",
        "Create one embedding for each of the queries.",
        ("union", "intersect", "except"),
    ),
    _Rule((exp.With,), "a common table expression", "Write its query into the main one.", ("with",)),
    _Rule((exp.Join, exp.Lateral), "a join", _MOVE_HINT, ("join", "lateral")),
    _Rule((exp.Subquery,), "a subquery", _MOVE_HINT),
    _Rule((exp.Window,), "a window function", _MOVE_HINT),
    _Rule((exp.GroupConcat,), "an aggregate", _MOVE_HINT, ("string_agg",)),
    _Rule((*_AGGREGATES, exp.WithinGroup, exp.Filter), "an aggregate", _MOVE_HINT),
    _Rule((exp.Group,), "group by", "Every row of the table is a document: take GROUP BY out.", ("group",)),
    _Rule((exp.Having,), "having", "Write the condition into WHERE.", ("having",)),
    _Rule(
        (exp.Limit, exp.Fetch, exp.Offset),
        "limit or offset",
        "Say in WHERE which rows are documents.",
        ("limit", "offset", "fetch"),
    ),
    _Rule((exp.TableSample,), "tablesample", "Say in WHERE which rows are documents.", ("tablesample",)),
    _Rule((exp.Qualify,), "qualify", "Say in WHERE which rows are documents.", ("qualify",)),
)


def unwrapped(statement: exp.Expr) -> exp.Expr:
    """The statement without parentheses around all of it."""
    while isinstance(statement, exp.Subquery) and statement.is_wrapper:
        statement = statement.unnest()
    return statement


def find_refusal(statement: exp.Expr) -> Refusal | None:
    """The first reason why a statement, already unwrapped, cannot be a document; None if it has the right shape."""
    nodes = list(statement.walk())
    for rule in _RULES:
        for node in nodes:
            if isinstance(node, rule.kinds):
                return Refusal(node, rule.what, rule.hint, rule.words)
    for node in nodes:
        if isinstance(node, exp.Query) and node is not statement:
            return Refusal(node, "a subquery", _MOVE_HINT)
    return _select_refusal(statement)


def _select_refusal(statement: exp.Expr) -> Refusal | None:
    if not isinstance(statement, exp.Select):
        return Refusal(statement, "no SELECT", "Write select <key>, <text> as content from <table>.")
    if statement.args.get("windows"):
        return Refusal(statement.args["windows"][0], "a window function", _MOVE_HINT, ("window",))
    if distinct := statement.args.get("distinct"):
        return Refusal(distinct, "distinct", "With its key in it every row is distinct: take it out.", ("distinct",))
    table = root_table(statement)
    if table is None:
        hint = "Write select <key>, <text> as content from <table>, the table whose rows are the documents."
        return Refusal(statement.find(exp.From) or statement, "no root table", hint)
    return None


def root_table(select: exp.Select) -> exp.Table | None:
    """The table of FROM, or None where FROM is missing or reads something else, such as a function."""
    source = select.find(exp.From)
    if source is None or not isinstance(source.this, exp.Table):
        return None
    table = source.this
    return table if isinstance(table.this, exp.Identifier) else None
