"""sqlglot's PostgreSQL, in which the operands of a condition and the outputs of a query keep the text they came from.

What is written back is what was read: the parser's own rendering of a function or operator need not mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.tokenizer_core import Token

_KEPT = "vsync_text"


class _Parser(PostgresParser):
    def _keep(self, first: Token, node: exp.Expr | None) -> exp.Expr | None:
        if node is not None:
            node.meta[_KEPT] = (first.start, self.sql[first.start : self._prev.end + 1])
        return node

    def _parse_disjunction(self) -> exp.Expr | None:
        return self._keep(self._curr, super()._parse_disjunction())

    def _parse_equality(self, parse_is: bool = True) -> exp.Expr | None:
        return self._keep(self._curr, super()._parse_equality(parse_is))

    def _parse_comparison(self, this: exp.Expr | None = None) -> exp.Expr | None:
        first = self._curr
        node = super()._parse_comparison(this)
        return self._keep(first, node) if this is None else node

    def _parse_range(self, this: exp.Expr | None = None, parse_is: bool = False) -> exp.Expr | None:
        first = self._curr
        node = super()._parse_range(this, parse_is)
        return self._keep(first, node) if this is None else node

    def _parse_bitwise(self) -> exp.Expr | None:
        return self._keep(self._curr, super()._parse_bitwise())


class PostgresWithText(Postgres):
    """The dialect to parse with where `pieces` is wanted."""

    Parser = _Parser


def pieces(node: exp.Expr) -> Iterator[str | exp.Column]:
    """The text of an expression, its columns taken out; LookupError where its place in the text is not known."""
    offset, text = node.meta[_KEPT]
    columns = {column.parts[0].meta["start"] - offset: column for column in node.find_all(exp.Column)}
    end = 0
    for start, column in sorted(columns.items()):
        yield text[end:start]
        yield column
        end = column.parts[-1].meta["end"] - offset + 1
    yield text[end:]
