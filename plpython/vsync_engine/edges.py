"""Which rows of one table lead to which rows of another: the edges of the dependency graph.

An edge goes from an occurrence D to an occurrence X where an equality restricts D: a row of D takes part in the
result only beside a row of X with which the equality holds. Such equalities are conjuncts of WHERE and ON, and IN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sqlglot import exp

from vsync_engine import aggregation, parse
from vsync_engine.blocks import Block, Derived, Item, Join, Occurrence, Opaque, Source, joins, leaves, resolve
from vsync_engine.catalog import Catalog
from vsync_engine.expansion import merged
from vsync_engine.grouping import distinct_on, groups, partition

# what an endpoint may be made of: calls that are written back as they were read
_CALLS = (exp.Anonymous, exp.Lower, exp.Upper, exp.Trim, exp.Coalesce, exp.Length, exp.Substring, exp.Nullif, exp.MD5)
_PARTS = (
    *(exp.Column, exp.Identifier, exp.Var, exp.Paren, exp.Cast, exp.DataType, exp.DataTypeParam, exp.Collate),
    *(exp.Literal, exp.Boolean, exp.Null, exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe),
    *(exp.JSONExtract, exp.JSONExtractScalar, exp.JSONPath, exp.JSONPathKey, exp.JSONPathRoot),
    *(exp.Dot, *_CALLS),
)
# null for a row of nulls
_STRICT = (
    *(exp.Column, exp.Identifier, exp.Paren, exp.Cast, exp.DataType, exp.DataTypeParam, exp.Literal, exp.Collate),
    *(exp.Lower, exp.Upper),
)


@dataclass(frozen=True)
class Endpoint:
    """One side of an equality: an expression over the columns of one occurrence, which stand in it without a table.

    levels: the blocks from the condition to the table with the source in each. crossed: the blocks into which the
    condition sees from outside, with the output through which it does.
    """

    occurrence: Occurrence
    expression: exp.Expr
    levels: tuple[tuple[Block, Source], ...]
    crossed: tuple[tuple[Block, exp.Expr], ...]

    @property
    def plain(self) -> str | None:
        """The column, where the endpoint is nothing else."""
        return self.expression.name if isinstance(self.expression, exp.Column) else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in the expression, in its order."""
        return tuple(dict.fromkeys(column.name for column in self.expression.find_all(exp.Column)))


@dataclass(frozen=True)
class Edge:
    """An equality that leads from an occurrence (near) to another (far).

    schema: of its operator, empty for pg_catalog. turned: far stands before near.
    """

    near: Endpoint
    far: Endpoint
    schema: str
    turned: bool


@dataclass
class Edges:
    """What was found: the edges, and for an occurrence why an equality of its columns is none."""

    found: list[Edge] = field(default_factory=list[Edge])
    refused: dict[Occurrence, str] = field(default_factory=dict[Occurrence, str])


@dataclass(frozen=True)
class Side:
    """An expression of a condition and the block it is written in; of IN the output of its subquery."""

    expression: exp.Expr
    block: Block
    subquery: bool = False


@dataclass(frozen=True)
class Equality:
    """An equality in a block, of ON for a join. schema: of the operator, empty for pg_catalog. text: for people."""

    left: Side
    right: Side
    schema: str
    join: Join | None
    text: str


def find(document: Block, catalog: Catalog) -> Edges:
    """All edges of a document."""
    edges = Edges()
    for block in document.blocks():
        for equality in equalities(block):
            _add(edges, equality, block, catalog)
    return edges


def equalities(block: Block) -> Iterator[Equality]:
    """The equalities that are conjuncts of WHERE and ON, and what IN says."""
    where = block.select.args.get("where")
    yield from _of_condition(where.this if where else None, None, block)
    for join in joins(block.item):
        yield from _of_condition(join.on, join, block)
        for name in join.using:
            sides = [merged(side, name, block).source.alias for side in (join.left, join.right)]
            left, right = (Side(exp.column(name, alias, quoted=True), block) for alias in sides)
            yield Equality(left, right, "", join, f"using ({name})")


def _of_condition(condition: exp.Expr | None, join: Join | None, block: Block) -> Iterator[Equality]:
    for conjunct in _conjuncts(condition):
        text = parse.sql(conjunct, 120)
        operator = str(conjunct.args["operator"]) if isinstance(conjunct, exp.Operator) else "="
        schema = operator.removesuffix("=").removesuffix(".")
        if isinstance(conjunct, exp.In):
            subquery = conjunct.args.get("query")
        elif isinstance(conjunct, exp.EQ) or operator.endswith(".="):
            subquery = conjunct.expression.this if isinstance(conjunct.expression, exp.Any) else None
            yield Equality(Side(conjunct.this, block), Side(conjunct.expression, block), schema, join, text)
        else:
            continue
        if isinstance(subquery, exp.Query):
            inner = block.nested[id(subquery.unnest())]
            asked = conjunct.this.expressions if isinstance(conjunct.this, exp.Tuple) else [conjunct.this]
            for wanted, output in zip(asked, inner.outputs, strict=True):
                yield Equality(Side(wanted, block), Side(output, inner, subquery=True), schema, join, text)


def _conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    waiting = [condition] if condition is not None else []
    while waiting:
        node = waiting.pop().unnest()
        if isinstance(node, exp.And):
            waiting += [node.expression, node.this]
        else:
            yield node


def _add(edges: Edges, equality: Equality, block: Block, catalog: Catalog) -> None:
    left, right = _endpoint(equality.left, catalog), _endpoint(equality.right, catalog)
    if left is None or right is None or left.occurrence is right.occurrence:
        return
    for near, side, far in ((left, equality.left, right), (right, equality.right, left)):
        if near.occurrence not in restricted(side, equality.join, block):
            continue
        reason = _kept_in(near) or _kept_out(far) or _of_nulls(near, equality, block) or _of_nulls(far, equality, block)
        if reason is None:
            edges.found.append(Edge(near, far, equality.schema, turned=near is right))
        else:
            edges.refused.setdefault(near.occurrence, f"{equality.text} does not lead on: {reason}.")


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
            return f"its query aggregates, and {parse.sql(output, 60)} is not in its GROUP BY"
        chosen = distinct_on(block)
        if chosen and output not in chosen:
            return f"its query has DISTINCT ON, and {parse.sql(output, 60)} is not in it"
        if any(output not in partition(window, block) for window in block.windows):
            return f"its query has a window function, and {parse.sql(output, 60)} is not in PARTITION BY"
    return None


def _kept_out(far: Endpoint) -> str | None:
    """Why an output of some query is not the value of a row that it is made of."""
    if any(groups(block) is None for block, _ in far.crossed):
        return "its query has grouping sets"
    return None


def _of_nulls(end: Endpoint, equality: Equality, block: Block) -> str | None:
    """Why an equality may hold where there is no row: LEFT JOIN put nulls, of which the expression makes a value."""
    if all(isinstance(node, _STRICT) for node in end.expression.walk()):
        return None
    for level, source in end.levels:
        below = level.item if level is not block or equality.join is None else None
        items = (below,) if below or equality.join is None else (equality.join.left, equality.join.right)
        if any(join.outer and source in leaves(join.right) for item in items for join in joins(item)):
            return f"{parse.sql(end.expression, 60)} may have a value where LEFT JOIN finds no row"
    return None


def _endpoint(side: Side, catalog: Catalog) -> Endpoint | None:
    end = _bind(side.expression, side.block, catalog)
    if end is None or not side.subquery:
        return end
    return replace(end, crossed=((side.block, side.expression), *end.crossed))


def _bind(expression: exp.Expr, block: Block, catalog: Catalog) -> Endpoint | None:
    """An expression as one over the columns of a table; None if it is over several, or cannot be written back."""
    expression = expression.unnest()
    if not all(isinstance(node, _PARTS) for node in expression.walk()) or _computes_rows(expression, catalog):
        return None
    inner: list[Endpoint] = []

    def bound(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        endpoint = _bind_column(node, block, catalog)
        if endpoint is None:
            raise LookupError
        inner.append(endpoint)
        return endpoint.expression if isinstance(endpoint.expression, exp.Column) else exp.paren(endpoint.expression)

    try:
        expression = expression.transform(bound)
    except LookupError:
        return None
    if not inner or any(endpoint.occurrence is not inner[0].occurrence for endpoint in inner):
        return None
    levels = tuple(dict.fromkeys(level for endpoint in inner for level in endpoint.levels))
    crossed = tuple(crossing for endpoint in inner for crossing in endpoint.crossed)
    return Endpoint(inner[0].occurrence, expression, levels, crossed)


def _bind_column(column: exp.Column, block: Block, catalog: Catalog) -> Endpoint | None:
    found = resolve(column, block)
    if found is None or found.name is None or isinstance(found.source, Opaque):
        return None
    level = (found.block, found.source)
    if isinstance(found.source, Occurrence):
        bare = exp.column(found.source.names[found.name], quoted=True)
        return Endpoint(found.source, bare, (level,), ())
    block = found.source.block
    output = block.outputs[found.source.names[found.name]]
    inner = _bind(output, block, catalog)
    if inner is None:
        return None
    return replace(inner, levels=(level, *inner.levels), crossed=((block, output), *inner.crossed))


def _computes_rows(expression: exp.Expr, catalog: Catalog) -> bool:
    return aggregation.multiplies(expression, catalog) or any(
        aggregation.is_aggregate(node, catalog) for node in expression.walk()
    )
