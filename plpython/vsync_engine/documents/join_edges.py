"""Which rows of one table lead to which rows of another: the edges of the dependency graph.

An edge goes from an occurrence D to an occurrence X where an equality restricts D: a row of D takes part in the
result only beside a row of X with which the equality holds. Such equalities are conjuncts of WHERE and ON, and IN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sqlglot import exp

from vsync_engine.documents import aggregation, parser, source_text
from vsync_engine.documents.catalog import Catalog, quoted
from vsync_engine.documents.expand import merged
from vsync_engine.documents.grouping import distinct_on, groups, partition
from vsync_engine.documents.join_condition import Reference, Text, written
from vsync_engine.documents.scope import Block, Derived, Item, Join, Occurrence, Opaque, Source, joins, leaves, resolve
from vsync_engine.foundation import sql_lexer

# null for a row of nulls, and so for what LEFT JOIN puts where it finds no row
_STRICT = (
    *(exp.Column, exp.Identifier, exp.Paren, exp.Cast, exp.DataType, exp.DataTypeParam, exp.Literal, exp.Collate),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Bracket, exp.Dot),
    *(exp.JSONExtract, exp.JSONExtractScalar, exp.JSONBExtract, exp.JSONBExtractScalar),
    *(exp.JSONPath, exp.JSONPathKey, exp.JSONPathRoot, exp.JSONPathSubscript),
    *(exp.Lower, exp.Upper, exp.Left, exp.Right, exp.SplitPart, exp.Trim, exp.Length, exp.MD5, exp.TimestampTrunc),
)
# conditions that choose few rows, as an equality does
_MEMBERSHIPS = (
    *(exp.ArrayContainsAll, exp.ArrayContainedBy, exp.ArrayOverlaps),
    *(exp.JSONBContainsTopKey, exp.JSONBContainsAnyTopKeys, exp.JSONBContainsAllTopKeys),
)
_MEMBERSHIP_OPERATORS = (".@>", ".<@", ".&&", ".?", ".?|", ".?&")
_TIME_WORDS = frozenset(
    {
        *("now", "statement_timestamp", "transaction_timestamp", "age", "mxid_age", "current_date", "current_time"),
        *("current_timestamp", "localtime", "localtimestamp", "'now'", "'today'", "'tomorrow'", "'yesterday'"),
    }
)


NULL_SAFE = "is not distinct from"


@dataclass(frozen=True)
class Endpoint:
    """One side of an equality: the text of an expression over the columns of one occurrence.

    strict: it is null where all its columns are. levels: the blocks from the condition to the table with the source in
    each. crossed: the blocks into which the condition sees from outside, with the output through which it does.
    """

    occurrence: Occurrence
    text: Text
    strict: bool
    levels: tuple[tuple[Block, Source], ...]
    crossed: tuple[tuple[Block, exp.Expr], ...]

    @property
    def plain(self) -> str | None:
        """The column, where the endpoint is nothing else."""
        match self.text:
            case (Reference() as only,):
                return only.column
            case _:
                return None

    @property
    def columns(self) -> tuple[str, ...]:
        """The occurrence's columns in the text, in its order."""
        own = (part for part in self.text if isinstance(part, Reference) and part.occurrence is self.occurrence)
        return tuple(dict.fromkeys(part.column for part in own))


@dataclass(frozen=True)
class Edge:
    """A condition that leads from an occurrence (near) to another (far).

    text: the condition. operator: of an equality, "=" if it is pg_catalog's; None for a membership, such as
    `= any (array)`, which leads on only where no equality does. near and far are its sides; of a membership each has
    the whole text.
    """

    near: Endpoint
    far: Endpoint
    operator: str | None
    text: Text

    @property
    def strict(self) -> bool:
        """Whether it never holds for a row of near whose columns in it are null."""
        return self.operator is not None and self.operator != NULL_SAFE and self.near.strict


@dataclass
class Edges:
    """What was found: the edges, and for an occurrence why a condition on its columns is none.

    others: for an occurrence the text of a condition on its columns and those of another that is no edge.
    """

    found: list[Edge] = field(default_factory=list[Edge])
    refused: dict[Occurrence, str] = field(default_factory=dict[Occurrence, str])
    others: dict[tuple[Occurrence, Occurrence], Text] = field(default_factory=dict[tuple[Occurrence, Occurrence], Text])


@dataclass(frozen=True)
class Side:
    """An expression of a condition and the block it is written in; of IN the output of its subquery.

    operand: it stands beside an operator already, so that no parentheses are needed.
    """

    expression: exp.Expr
    block: Block
    subquery: bool = False
    operand: bool = False


@dataclass(frozen=True)
class Equality:
    """An equality in a block, of ON for a join. operator: as in `Edge`. text: for people."""

    left: Side
    right: Side
    operator: str
    join: Join | None
    text: str


def find(document: Block, catalog: Catalog) -> Edges:
    """All edges of a document."""
    edges = Edges()
    for block in document.blocks():
        for equality in equalities(block):
            _add(edges, equality, block, catalog)
        for condition, join in _conditions(block):
            for conjunct in _conjuncts(condition):
                _add_membership(edges, Side(conjunct, block), join, catalog)
    return edges


def equalities(block: Block) -> Iterator[Equality]:
    """The equalities that are conjuncts of WHERE and ON, and what IN says."""
    for condition, join in _conditions(block):
        yield from _of_condition(condition, join, block)
    for join in joins(block.item):
        for name in join.using:
            sides = [merged(side, name, block).source.alias for side in (join.left, join.right)]
            left, right = (Side(exp.column(name, alias, quoted=True), block) for alias in sides)
            yield Equality(left, right, "=", join, f"using ({name})")


def _conditions(block: Block) -> Iterator[tuple[exp.Expr | None, Join | None]]:
    where = block.select.args.get("where")
    yield where.this if where else None, None
    for join in joins(block.item):
        yield join.on, join


def _of_condition(condition: exp.Expr | None, join: Join | None, block: Block) -> Iterator[Equality]:
    for conjunct in _conjuncts(condition):
        text = parser.sql(conjunct, 120)
        operator = _equality_operator(conjunct)
        if isinstance(conjunct, exp.In):
            operator, subquery = "=", conjunct.args.get("query")
        elif operator is not None:
            subquery = conjunct.expression.this if isinstance(conjunct.expression, exp.Any) else None
            left, right = (Side(part, block, operand=True) for part in (conjunct.this, conjunct.expression))
            yield Equality(left, right, operator, join, text)
        else:
            continue
        if isinstance(subquery, exp.Query):
            inner = block.nested[id(subquery.unnest())]
            asked = conjunct.this.expressions if isinstance(conjunct.this, exp.Tuple) else [conjunct.this]
            for wanted, output in zip(asked, inner.outputs, strict=True):
                yield Equality(Side(wanted, block), Side(output, inner, subquery=True), operator, join, text)


def _equality_operator(conjunct: exp.Expr) -> str | None:
    if isinstance(conjunct, exp.NullSafeEQ) or (isinstance(conjunct, exp.NullSafeNEQ) and _is_negated(conjunct)):
        return NULL_SAFE
    if isinstance(conjunct, exp.EQ):
        return "="
    if isinstance(conjunct, exp.Operator) and str(conjunct.args["operator"]).endswith(".="):
        return f"operator({quoted(str(conjunct.args['operator']).removesuffix('.='))}.=)"
    return None


def _is_negated(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    return isinstance(parent, exp.Not)


def _conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    waiting = [condition] if condition is not None else []
    while waiting:
        node = waiting.pop().unnest()
        if isinstance(node, exp.And):
            waiting += [node.expression, node.this]
        elif isinstance(node, exp.Not) and isinstance(node.this.unnest(), exp.NullSafeNEQ):
            yield node.this.unnest()  # the server writes NOT a IS DISTINCT FROM b
        else:
            yield node


def _add(edges: Edges, equality: Equality, block: Block, catalog: Catalog) -> None:
    left, right = _endpoint(equality.left, catalog), _endpoint(equality.right, catalog)
    if left is None or right is None or left.occurrence is right.occurrence:
        return
    strict = equality.operator != NULL_SAFE
    text = (*left.text, f" {equality.operator} ", *right.text)
    for near, side, far in ((left, equality.left, right), (right, equality.right, left)):
        if near.occurrence in restricted(side, equality.join, block):
            edge = Edge(near, far, equality.operator, text)
            _add_edge(edges, edge, equality.text, equality.join, block, catalog, strict=strict)


def _add_membership(edges: Edges, side: Side, join: Join | None, catalog: Catalog) -> None:
    """Add a condition over two occurrences that is no equality of an expression of each."""
    conjunct, block = side.expression, side.block
    ends = _bind(conjunct, block, catalog)
    if ends is None or len(ends) != 2:
        return
    for near, far in (ends, ends[::-1]):
        if near.occurrence not in restricted(side, join, block):
            continue
        if _is_membership(conjunct):
            edge = Edge(near, far, None, near.text)
            _add_edge(edges, edge, parser.sql(conjunct, 120), join, block, catalog, strict=False)
        elif _kept_in(near) is None and _kept_out(far) is None:
            edges.others.setdefault((near.occurrence, far.occurrence), near.text)


def _is_membership(conjunct: exp.Expr) -> bool:
    if isinstance(conjunct, exp.Or):  # the server writes a IN (b, c) as a = b OR a = c
        parts = [part.unnest() for part in conjunct.flatten()]
        return all(isinstance(part, exp.EQ) and part.this == parts[0].this for part in parts)
    if _equality_operator(conjunct) is not None:
        return isinstance(conjunct.expression, exp.Any)
    operator = str(conjunct.args["operator"]) if isinstance(conjunct, exp.Operator) else ""
    return isinstance(conjunct, _MEMBERSHIPS) or operator.endswith(_MEMBERSHIP_OPERATORS)


def _add_edge(
    edges: Edges, edge: Edge, text: str, join: Join | None, block: Block, catalog: Catalog, *, strict: bool
) -> None:
    near, far = edge.near, edge.far
    reason = _kept_in(near) or _kept_out(far)
    for end in (near, far):
        reason = reason or (None if strict and end.strict else _of_nulls(end, join, block))
    if "refresh_every" in catalog.options:
        reason = reason or _of_time(edge)
    if reason is None:
        edges.found.append(edge)
    else:
        edges.refused.setdefault(near.occurrence, f"{text} does not lead on: {reason}.")


def restricted(side: Side, join: Join | None, block: Block) -> set[Occurrence]:
    """The occurrences on a side of an equality whose rows count only where it holds."""
    item = side.block.item if side.subquery else block.item
    if join is not None and not side.subquery:
        item = join.right if join.outer else join
    return set(_tables(item))


def _tables(item: Item | None) -> Iterator[Occurrence]:
    for source in leaves(item):
        if isinstance(source, Occurrence):
            yield source
        elif isinstance(source, Derived):
            yield from _tables(source.block.item)


def _kept_in(near: Endpoint) -> str | None:
    """Why a condition on an output does not restrict the rows that the output is made of."""
    for block, crossing in near.crossed:
        select, output = block.select, crossing.unnest()
        if select.args.get("limit") or select.args.get("offset"):
            return "its query has LIMIT or OFFSET, and takes its rows before the condition does"
        grouped = groups(block)
        if block.aggregates and (grouped is None or output not in grouped):
            return f"its query aggregates, and {parser.sql(output, 60)} is not in its GROUP BY"
        chosen = distinct_on(block)
        if chosen and output not in chosen:
            return f"its query has DISTINCT ON, and {parser.sql(output, 60)} is not in it"
        if any(output not in partition(window, block) for window in block.windows):
            return f"its query has a window function, and {parser.sql(output, 60)} is not in PARTITION BY"
    return None


def _kept_out(far: Endpoint) -> str | None:
    """Why an output of some query is not the value of a row that it is made of."""
    if any(groups(block) is None for block, _ in far.crossed):
        return "its query has grouping sets"
    return None


def _of_nulls(end: Endpoint, join: Join | None, block: Block) -> str | None:
    """Why a condition may hold where there is no row: LEFT JOIN put nulls, of which the expression makes a value."""
    for level, source in end.levels:
        below = level.item if level is not block or join is None else None
        items = (below,) if below or join is None else (join.left, join.right)
        if any(outer.outer and source in leaves(outer.right) for item in items for outer in joins(item)):
            return f"{written(end.text)} may have a value where LEFT JOIN finds no row"
    return None


def _of_time(edge: Edge) -> str | None:
    words = {lexeme.text.lower() for part in edge.text if isinstance(part, str) for lexeme in sql_lexer.lexemes(part)}
    return "it depends on the time" if words & _TIME_WORDS else None


def _endpoint(side: Side, catalog: Catalog) -> Endpoint | None:
    ends = _bind(side.expression, side.block, catalog)
    if ends is None or len(ends) != 1 or isinstance(side.expression, exp.Any):
        return None
    end = ends[0]
    if end.plain is None and not side.operand:
        end = replace(end, text=("(", *end.text, ")"))
    return replace(end, crossed=((side.block, side.expression), *end.crossed)) if side.subquery else end


def _bind(expression: exp.Expr, block: Block, catalog: Catalog) -> list[Endpoint] | None:
    """An expression as one over the columns of tables, an endpoint each, all with the whole text.

    None if it reads more than columns of tables, or its rows are not those of its arguments.
    """
    bare = expression.unnest()
    if bare.find(exp.Query, exp.Window) is not None or _computes_rows(bare, catalog):
        return None
    try:
        parts: list[str | exp.Column] = [bare] if isinstance(bare, exp.Column) else [*source_text.pieces(expression)]
        bound = [part if isinstance(part, str) else _bind_column(part, block, catalog) for part in parts]
    except LookupError:
        return None
    text: list[str | Reference] = []
    inner: dict[Occurrence, list[Endpoint]] = {}
    for part in bound:
        if isinstance(part, str):
            text.append(part)
            continue
        text += part.text if part.plain is not None or len(parts) == 1 else ("(", *part.text, ")")
        inner.setdefault(part.occurrence, []).append(part)
    strict = all(isinstance(node, _STRICT) for node in bare.walk())
    return [
        Endpoint(
            occurrence,
            tuple(text),
            strict and all(end.strict for end in ends),
            tuple(dict.fromkeys(level for end in ends for level in end.levels)),
            tuple(crossing for end in ends for crossing in end.crossed),
        )
        for occurrence, ends in inner.items()
    ]


def _bind_column(column: exp.Column, block: Block, catalog: Catalog) -> Endpoint:
    """A column of a table; through outputs of derived tables an expression. LookupError for what is more than that."""
    found = resolve(column, block)
    if found is None or found.name is None or isinstance(found.source, Opaque):
        raise LookupError
    level = (found.block, found.source)
    if isinstance(found.source, Occurrence):
        reference = Reference(found.source, found.source.names[found.name])
        return Endpoint(found.source, (reference,), True, (level,), ())
    block = found.source.block
    output = block.outputs[found.source.names[found.name]]
    inner = _bind(output, block, catalog)
    if inner is None or len(inner) != 1:
        raise LookupError
    return replace(inner[0], levels=(level, *inner[0].levels), crossed=((block, output), *inner[0].crossed))


def _computes_rows(expression: exp.Expr, catalog: Catalog) -> bool:
    return aggregation.multiplies(expression, catalog) or any(
        aggregation.is_aggregate(node, catalog) for node in expression.walk()
    )
