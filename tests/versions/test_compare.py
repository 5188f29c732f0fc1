"""compare_versions: exact answers of two versions to the same queries, and how far they agree."""

import math
from collections.abc import Callable

import pytest

from shop import Connection, denied, refused, rows, run, value
from versions.rollout import add_version, work

_QUERIES = ["product 3", "product 17", "something else"]
_COMPARED = "select query, overlap, rbo, rank_shift from vsync.compare_versions('catalog', %s, %s, %s, %s)"
_FIGURES = "select versions, figures, by from vsync_internal.comparisons"


@pytest.fixture
def compared(shop: Connection) -> Connection:
    """Version 2 has another model, version 3 the same one with another index."""
    add_version(shop, model="other")
    add_version(shop, options='{"index": {"type": "none"}}')
    work(shop)
    return shop


def expected(first: list[int], second: list[int]) -> tuple[float, float, float]:
    """Overlap, rank-biased overlap (persistence 0.9, extrapolated) and mean shift of two answers of one length."""
    k = len(first)
    agreement = [len(set(first[:d]) & set(second[:d])) / d for d in range(1, k + 1)]
    biased = sum(0.1 * 0.9**d * share for d, share in enumerate(agreement)) + agreement[-1] * 0.9**k
    everything = set(first) | set(second)
    places = [{key: place for place, key in enumerate(answer)} for answer in (first, second)]
    shift = sum(abs(places[0].get(key, k) - places[1].get(key, k)) for key in everything) / len(everything)
    return agreement[-1], biased, shift


def test_versions_of_one_space_agree_wholly(compared: Connection) -> None:
    assert rows(compared, _COMPARED, 1, 3, _QUERIES, 10) == [
        *((query, 1.0, pytest.approx(1), 0.0) for query in sorted(_QUERIES)),
        (None, 1.0, pytest.approx(1), 0.0),
    ]


@pytest.mark.parametrize("k", [1, 5, 10, 50])
def test_figures_are_those_of_the_answers(compared: Connection, k: int) -> None:
    query = "select query, overlap, rbo, rank_shift, answers_a, answers_b from vsync.compare_versions"
    found = rows(compared, f"{query}('catalog', 1, 2, %s, %s)", _QUERIES, k)
    summary = found.pop()
    assert {row[0] for row in found} == set(_QUERIES)
    assert [row[2] for row in found] == sorted(row[2] for row in found)
    for text, *figures, first, second in found:
        assert tuple(figures) == pytest.approx(
            expected([a["key"]["id"] for a in first], [b["key"]["id"] for b in second]), abs=1e-9
        )
        assert len(first) == len(second) == min(k, 20)
        exact = (
            "select id, content from vsync_data.catalog_v1 order by embedding <=> "
            "vsync.embed('tiny', %s), id::text limit %s"
        )
        assert [(a["key"]["id"], a["content"]) for a in first] == rows(compared, exact, text, k)
    assert summary[0] is None
    for place in (1, 2, 3):
        assert summary[place] == pytest.approx(math.fsum(row[place] for row in found) / len(found), abs=1e-6)
    assert summary[4:] == (None, None)


def test_documents_are_the_queries_where_none_is_given(compared: Connection) -> None:
    found = rows(compared, "select query, overlap from vsync.compare_versions('catalog', 1, 2, k => 1)")
    assert {row[0] for row in found[:-1]} == {f"product {i}" for i in range(1, 21)}
    assert found[-1] == (None, 1.0)


def test_chunks_count_once_a_document(shop: Connection) -> None:
    add_version(shop, chunk='{"tokens": 9, "overlap": 2}')
    work(shop)
    query = "select answers_b from vsync.compare_versions('catalog', 1, 2, array['product 3'], 20) limit 1"
    answers = value(shop, query)
    assert sorted(answer["key"]["id"] for answer in answers) == list(range(1, 21))


def test_figures_are_kept_where_the_owner_asks(
    compared: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    operator = connect(user=make_role("vsync_operator"))
    summary = rows(operator, _COMPARED, 1, 2, _QUERIES, 10)[-1]
    assert rows(compared, _FIGURES) == []
    assert rows(compared, _COMPARED, 1, 2, _QUERIES, 10)[-1] == summary
    versions, figures, by = rows(compared, _FIGURES)[0]
    assert (versions, figures["queries"], figures["k"], by) == ([1, 2], 3, 10, "postgres")
    assert (figures["overlap"], figures["rbo"], figures["rank_shift"]) == pytest.approx(summary[1:])
    reader = connect(user=make_role("vsync_reader"))
    denied(reader, "select * from vsync.compare_versions('catalog', 1, 2)")


@pytest.mark.parametrize(
    ("call", "sqlstate"),
    [
        ("'catalogue', 1, 2", "VS302"),
        ("'catalog', 1, 9", "VS401"),
        ("'catalog', 1, 1", "VS001"),
        ("'catalog', 1, 2, k => 0", "VS001"),
        ("'catalog', 1, 2, k => null", "VS001"),
        ("'catalog', 1, 2, '{}'", "VS001"),
        ("'catalog', 1, 2, array[null, '']", "VS001"),
        ("'catalog', 1, 2, array_fill('x'::text, array[1001])", "VS001"),
    ],
)
def test_what_cannot_be_compared_is_refused(compared: Connection, call: str, sqlstate: str) -> None:
    refused(lambda: run(compared, f"select vsync.compare_versions({call})"), sqlstate)
    assert rows(compared, _FIGURES) == []


def test_the_index_takes_no_part(compared: Connection) -> None:
    calls = "select sum(idx_scan) from pg_stat_user_indexes where indexrelname like 'catalog_v%%_ann'"
    run(compared, "select pg_stat_force_next_flush()")
    before = value(compared, calls)
    rows(compared, _COMPARED, 1, 2, _QUERIES, 10)
    run(compared, "select pg_stat_force_next_flush()")
    run(compared, "select pg_stat_clear_snapshot()")
    assert value(compared, calls) == before
