"""The page that `vsync version compare --html` writes: what compare_versions found, as one file without scripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from vsync_admin.connection import Row

_BINS = 11  # shares are rounded to tenths: all alike and nine in ten alike are two bars
_WIDTH, _HEIGHT = 440, 150  # of the plots, in their own units
_GAP = 6
_LONGEST_QUERY = 300  # characters


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: place and size in the plot, what it stands for, and how many queries."""

    x: float
    y: float
    width: float
    height: float
    share: float
    count: int


@dataclass(frozen=True)
class Dot:
    """A judged query in the plot of nDCG, version a from left to right, version b upwards; both 0 to 1."""

    x: float
    y: float
    query: str


@dataclass(frozen=True)
class Answer:
    """A document in an answer. other: its place in the other version's answer, None where it is missing there."""

    place: int
    key: str
    content: str
    distance: float
    other: int | None


@dataclass(frozen=True)
class Query:
    """A query with its figures, and the answers of both versions."""

    text: str
    figures: Row
    first: Sequence[Answer]
    second: Sequence[Answer]


def page(embedding: str, versions: Sequence[Row], rows: Sequence[Row], *, k: int, shown: int) -> str:
    """Return the page as HTML.

    versions: two rows of queries/versions.sql. rows: those of compare_versions, the worst query first, the means last.
    shown: the queries whose answers stand side by side.
    """
    queries, means = rows[:-1], rows[-1]
    judged = [row for row in queries if row["ndcg_a"] is not None]
    environment = Environment(
        loader=PackageLoader("vsync_admin"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("comparison.html").render(
        embedding=embedding,
        versions=versions,
        k=k,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        means=means,
        queries=queries,
        alike=sum(row["overlap"] == 1 for row in queries),
        plots=[
            ("Overlap", "the share of the first places that both versions fill with the same documents", "overlap"),
            ("Rank-biased overlap", "the same where the first places weigh most: 1 is the same order", "rbo"),
        ],
        histograms={name: histogram([row[name] for row in queries]) for name in ("overlap", "rbo")},
        width=_WIDTH,
        height=_HEIGHT,
        judged=judged,
        dots=[Dot(row["ndcg_a"], row["ndcg_b"], _cut(row["query"])) for row in judged],
        better=sum(row["ndcg_b"] > row["ndcg_a"] for row in judged),
        worse=sum(row["ndcg_b"] < row["ndcg_a"] for row in judged),
        worst=[_query(row) for row in queries[:shown]],
    )


def histogram(shares: Sequence[float]) -> list[Bar]:
    """Count shares of 0 to 1 by tenths and return the bars of a plot."""
    counts = [0] * _BINS
    for share in shares:
        counts[min(_BINS - 1, max(0, round(share * (_BINS - 1))))] += 1
    step, most = _WIDTH / _BINS, max(1, *counts)
    return [
        Bar(
            x=round(place * step + _GAP / 2, 1),
            y=round(_HEIGHT * (1 - count / most), 1),
            width=round(step - _GAP, 1),
            height=round(_HEIGHT * count / most, 1),
            share=place / (_BINS - 1),
            count=count,
        )
        for place, count in enumerate(counts)
    ]


def _query(row: Row) -> Query:
    first: list[dict[str, Any]] = row["answers_a"] or []
    second: list[dict[str, Any]] = row["answers_b"] or []
    places = [{_key(one): place for place, one in enumerate(found, start=1)} for found in (first, second)]
    return Query(_cut(row["query"]), row, _answers(first, places[1]), _answers(second, places[0]))


def _answers(found: list[dict[str, Any]], others: dict[str, int]) -> list[Answer]:
    return [
        Answer(place, key, one["content"], one["distance"], others.get(key))
        for place, one in enumerate(found, start=1)
        for key in (_key(one),)
    ]


def _key(answer: dict[str, Any]) -> str:
    key: dict[str, Any] = answer["key"]
    return ", ".join(str(part) if isinstance(part, str) else orjson.dumps(part).decode() for part in key.values())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_QUERY else f"{text[: _LONGEST_QUERY - 1]}…"
