"""Which shapes of a query a document cannot have, wherever they stand."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp


@dataclass(frozen=True)
class Refusal:
    """A part of a query that a document cannot have. words: the keywords it is written with, if there are any."""

    node: exp.Expr
    what: str
    hint: str
    words: tuple[str, ...] = ()


def unwrapped(statement: exp.Expr) -> exp.Expr:
    """The statement without parentheses around all of it."""
    while isinstance(statement, exp.Subquery) and statement.is_wrapper:
        statement = statement.unnest()
    return statement


def find_refusal(statement: exp.Expr, *, recursive: bool = False) -> Refusal | None:
    """The first reason why a statement, already unwrapped, cannot be a document; None if it has the right shape.

    recursive: it is no document, but a query of depends_on, which may have recursive common table expressions.
    """
    for node in statement.walk():
        if recursive and _of_recursion(node):
            continue
        refusal = _refusal(node)
        if refusal is not None:
            return refusal
    if not isinstance(statement, exp.Select):
        return Refusal(statement, "no SELECT", "Write select <key>, <text> as content from <table>.")
    return None


def outermost_refusal(select: exp.Select) -> Refusal | None:
    """Why a SELECT, of a shape that is supported, cannot be the outermost one."""
    for key in ("limit", "offset"):
        if limit := select.args.get(key):
            return Refusal(
                limit, "limit or offset", "Say in WHERE which rows are documents.", ("limit", "offset", "fetch")
            )
    source = select.args.get("from_")
    table = source.this if source else None
    rows = isinstance(table, exp.Table) and not isinstance(table.this, exp.Identifier)
    if table is None or rows or isinstance(table, (exp.Values, exp.Lateral, exp.Unnest)):
        hint = "Write select <key>, <text> as content from <table>, the table whose rows are the documents."
        return Refusal(source or select, "no root table", hint)
    return None


def _of_recursion(node: exp.Expr) -> bool:
    if isinstance(node, exp.SetOperation):
        node = node.parent if isinstance(node.parent, exp.CTE) else node
    clause = node.parent if isinstance(node, exp.CTE) else node
    union = isinstance(node.this, exp.Union) if isinstance(node, exp.CTE) else True
    return isinstance(clause, exp.With) and bool(clause.recursive) and union


def _refusal(node: exp.Expr) -> Refusal | None:
    match node:
        case exp.SetOperation():
            hint = "Create one embedding for each of the queries."
            return Refusal(node, "a set operation", hint, ("union", "intersect", "except"))
        case exp.With() if node.recursive:
            hint = "Declare the tables it reads in options.depends_on, and call it in a stable function."
            return Refusal(node, "a recursive query", hint, ("recursive",))
        case exp.CTE() if not isinstance(node.this, exp.Select):
            return Refusal(
                node, "a common table expression that is no SELECT", "Write its rows into a table.", ("with",)
            )
        case exp.Join() if node.side in ("RIGHT", "FULL"):
            word = node.side.lower()
            return Refusal(node, f"a {word} join", "Begin with the table whose rows are the documents.", (word,))
        case exp.TableSample():
            return Refusal(node, "tablesample", "Say in WHERE which rows are documents.", ("tablesample",))
        case exp.Lock():
            return Refusal(node, "a lock on rows", "Take FOR UPDATE or FOR SHARE out.", ("for",))
        case exp.Qualify():
            return Refusal(node, "qualify", "Say in WHERE which rows are documents.", ("qualify",))
        case exp.Pivot():
            return Refusal(node, "pivot", "Write the columns out.", ("pivot", "unpivot"))
        case _:
            return None
