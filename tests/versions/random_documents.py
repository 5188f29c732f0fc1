"""Random document queries over the tables of graph_tables.sql: sound or not, the analysis has to tell."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

_TABLES = {
    "categories": ("id", "parent_id", "rank"),
    "products": ("id", "category_id", "other_id", "brand_tenant"),
    "reviews": ("id", "product_id", "author_id", "stars"),
    "authors": ("id",),
    "tags": ("id",),
    "product_tags": ("product_id", "tag_id"),
}
_COMMON = ("reviews", "reviews", "categories", "products", "product_tags", "authors")


@dataclass
class Author:
    """Writes queries; every column in them is a number."""

    random: random.Random
    names: int = 0
    ctes: list[str] = field(default_factory=list[str])

    def document(self) -> str:
        """A query with root products, key id."""
        sources, columns = self.sources("shop.products p", [f"p.{name}" for name in _TABLES["products"]], [], 2)
        content = self.content(columns, 2)
        where = self.where(columns, 2)
        match self.random.randrange(6):
            case 0 | 1:
                content = f"string_agg({content}, ' ' order by {content})"
                return f"select p.id, {content} as content from {sources}{where} group by p.id"
            case 2:
                return f"select distinct p.id, {content} as content from {sources}{where}"
            case 3:
                order = ", ".join(["p.id", *columns[4:], content])
                return f"select distinct on (p.id) p.id, {content} as content from {sources}{where} order by {order}"
            case _:
                return f"select p.id, {content} as content from {sources}{where}"

    def content(self, columns: list[str], depth: int) -> str:
        parts = [f"coalesce({self.value(columns)}::text, '-')" for _ in range(self.random.choice((1, 2)))]
        if depth and self.random.random() < 0.3:
            parts.append(f"coalesce({self.scalar(columns, depth - 1)}::text, '-')")
        return " || ".join(parts)

    def name(self) -> str:
        self.names += 1
        return f"s{self.names}"

    def value(self, columns: list[str]) -> str:
        column = self.random.choice(columns[: self.random.choice((1, 2, 99))])
        return self.random.choice((column,) * 9 + (f"coalesce({column}, 0)", f"({column} + 0)", f"{column}::bigint"))

    def sources(self, first: str, columns: list[str], outer: list[str], depth: int) -> tuple[str, list[str]]:
        """A FROM that begins with a source of these columns, and all columns in it."""
        text, columns = first, list(columns)
        for _ in range(self.random.choice((1, 1, 2) if depth > 1 else (0, 1, 1, 2) if depth else (0, 0, 1))):
            lateral = depth > 0 and self.random.random() < 0.2
            source, more = self.source(depth, [*outer, *columns] if lateral else outer if depth else [], lateral)
            kind = self.random.choice(("join", "join", "left join", "left join", "left join", ","))
            if not lateral and kind != "," and self.random.random() < 0.15:
                inner, others = self.source(0, [], False)
                source = f"({source} {self.random.choice(('join', 'left join'))} {inner} on {self.equal(more, others)})"
                more = [*more, *others]
            condition = (
                f" on {self.condition(more, [*columns, *outer][-8:], [*columns, *more], depth)}" if kind != "," else ""
            )
            text += f"{'' if kind == ',' else ' '}{kind} {source}{condition}"
            columns += more
        return text, columns

    def source(self, depth: int, outer: list[str], lateral: bool) -> tuple[str, list[str]]:
        alias = self.name()
        if depth and (lateral or self.random.random() < (0.6 if depth > 1 else 0.3)):
            query, count = self.query(depth - 1, outer if lateral else [])
            names = [f"c{number}" for number in range(count)]
            columns = [f"{alias}.{name}" for name in names]
            return f"{'lateral ' if lateral else ''}({query}) {alias} ({', '.join(names)})", columns
        table = self.random.choice(_COMMON)
        return f"shop.{table} {alias}", [f"{alias}.{name}" for name in _TABLES[table]]

    def query(self, depth: int, outer: list[str]) -> tuple[str, int]:
        """A subquery and how many outputs it has."""
        first, columns = self.source(depth, outer, False)
        sources, columns = self.sources(first, columns, outer, depth)
        where = self.where(columns, depth, outer)
        chosen = self.random.sample(columns, min(len(columns), self.random.choice((1, 2, 3))))
        outputs = [*chosen]
        if self.random.random() < 0.2:
            outputs[-1] = f"coalesce({outputs[-1]}, {self.random.choice(columns)})"
        match self.random.randrange(8):
            case 0:
                having = self.random.choice(("", " having count(*) > 1"))
                tail = f" group by {', '.join(chosen)}{having}"
                outputs = [*chosen, f"max({self.random.choice(columns)})"]
            case 1:
                outputs, tail = [f"count({self.random.choice(columns)})"], ""
            case 2:
                tail = f" order by {', '.join(columns)} limit 2"
            case 3:
                return f"select distinct {', '.join(outputs)} from {sources}{where}", len(outputs)
            case 4:
                on = self.random.choice(columns)
                order = f"order by {on}, {', '.join(columns)}"
                return f"select distinct on ({on}) {', '.join(outputs)} from {sources}{where} {order}", len(outputs)
            case 5:
                over = f"partition by {self.random.choice(columns)} order by {', '.join(columns)}"
                outputs, tail = [*outputs, f"row_number() over ({over})"], ""
            case _:
                tail = ""
        return f"select {', '.join(outputs)} from {sources}{where}{tail}", len(outputs)

    def where(self, columns: list[str], depth: int, outer: list[str] | None = None) -> str:
        others = outer or columns
        parts = [self.condition(columns, others, columns, depth) for _ in range(self.random.choice((0, 1, 1)))]
        if outer and self.random.random() < 0.9:
            parts.append(self.equal(columns, outer))
        return f" where {' and '.join(parts)}" if parts else ""

    def equal(self, columns: list[str], others: list[str]) -> str:
        return f"{self.value(columns)} = {self.value(others)}"

    def scalar(self, outer: list[str], depth: int) -> str:
        source, columns = self.source(depth, outer, False)
        return f"(select max({self.value(columns)}) from {source} where {self.equal(columns, outer)})"

    def condition(self, columns: list[str], others: list[str], every: list[str], depth: int) -> str:
        equal = self.equal(columns, others)
        match self.random.randrange(18):
            case 0:
                return f"({equal} or {self.equal(columns, others)})"
            case 1:
                return f"not ({equal})"
            case 2 | 3:
                return f"{equal} and {self.equal(columns, others)}"
            case 4:
                return f"{equal} and {self.value(every)} > 1"
            case 5 | 6 if depth:
                query, _ = self.query(depth - 1, every)
                return f"{self.random.choice(('', '', 'not '))}exists ({query})"
            case 7 | 8 | 10 if depth:
                query, count = self.query(depth - 1, self.random.choice((every, [], [])))
                asked = ", ".join(self.value(every) for _ in range(count))
                negated = self.random.choice(("", "", "", "not "))
                return f"({asked}) {negated}in ({query})"
            case 9 if depth:
                return f"{equal} and {self.scalar(every, depth - 1)} > 0"
            case _:
                return equal
