"""vsync.judge and what compare_versions and the gate make of it: nDCG and recall at k."""

from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any

import pytest

from shop import Connection, declare, denied, open_shop, refused, register, rows, run, value
from versions.rollout import activate, add_version, work

_JUDGE = "select vsync.judge('catalog', %s, %s::jsonb, %s)"
_STORED = "select query, key, grade from vsync.judgements"
_COMPARE = (
    "select query, answers_a, answers_b, ndcg_a, ndcg_b, recall_a, recall_b "
    "from vsync.compare_versions('catalog', 1, 2, %s, %s)"
)
_GRADES = {3: 3, 4: 1, 13: 2, 17: 0, 999: 1}  # 999 is no document


def judge(db: Connection, query: str, grades: dict[int, int]) -> None:
    for key, grade in grades.items():
        assert value(db, _JUDGE, query, str(key), grade) == grade


def expected(answers: list[Any], grades: dict[int, int], k: int) -> tuple[float, float]:
    """Return nDCG and recall at k, gain linear, as the literature has them."""
    gains = [grades.get(answer["key"]["id"], 0) for answer in answers[:k]]
    best = sorted(grades.values(), reverse=True)[:k]
    dcg, ideal = (sum(gain / log2(place + 2) for place, gain in enumerate(some)) for some in (gains, best))
    return dcg / ideal, sum(gain > 0 for gain in gains) / sum(grade > 0 for grade in grades.values())


@pytest.fixture
def compared(shop: Connection) -> Connection:
    """Version 2 has another model."""
    add_version(shop, model="other")
    work(shop)
    return shop


@pytest.mark.parametrize("k", [1, 3, 10, 50])
def test_ndcg_and_recall_are_those_of_the_answers(compared: Connection, k: int) -> None:
    judge(compared, "product 3", _GRADES)
    *found, summary = rows(compared, _COMPARE, ["product 3", "product 17"], k)
    by_query = {row[0]: row[1:] for row in found}
    first, second, *figures = by_query["product 3"]
    for answers, ndcg, recall in ((first, figures[0], figures[2]), (second, figures[1], figures[3])):
        assert (ndcg, recall) == pytest.approx(expected(answers, _GRADES, k))
    assert by_query["product 17"][2:] == (None,) * 4
    assert summary[3:] == pytest.approx(figures, abs=1e-6)


def test_the_best_order_has_ndcg_1_and_its_reverse_less(compared: Connection) -> None:
    first = rows(compared, _COMPARE, ["product 3"], 3)[0][1]
    judge(compared, "product 3", {answer["key"]["id"]: 3 - place for place, answer in enumerate(first)})
    assert rows(compared, _COMPARE, ["product 3"], 3)[0][3] == pytest.approx(1)
    judge(compared, "product 3", {answer["key"]["id"]: 1 + place for place, answer in enumerate(first)})
    assert rows(compared, _COMPARE, ["product 3"], 3)[0][3] == pytest.approx(0.79, abs=0.01)


def test_a_query_without_a_good_answer_has_no_figure_and_one_that_finds_none_has_0(compared: Connection) -> None:
    judge(compared, "product 3", {3: 0, 4: 0})
    judge(compared, "product 17", {999: 1})
    found = {row[0]: row[3:] for row in rows(compared, _COMPARE, ["product 3", "product 17"], 5)}
    assert found == {"product 3": (None,) * 4, "product 17": (0.0,) * 4, None: (0.0,) * 4}


def test_queries_are_those_judged_where_none_is_given(compared: Connection) -> None:
    long = "judged " * 2000
    judge(compared, "product 3", {3: 1})
    judge(compared, long, {4: 1})
    run(compared, "delete from vsync_data.catalog_v2 where id = 3")
    found = {row[0]: row[3:] for row in rows(compared, _COMPARE, None, 10)}
    assert set(found) == {"product 3", long, None}
    assert found["product 3"] == (1.0, 0.0, 1.0, 0.0)


def test_a_judgement_is_replaced_and_forgotten_and_its_key_stored_in_one_form(shop: Connection) -> None:
    for key, grade in (("7", 1), ('{"id": 7}', 2), ('"7"', 3)):
        value(shop, _JUDGE, "a query", key, grade)
    assert rows(shop, _STORED) == [("a query", {"id": 7}, 3)]
    assert value(shop, _JUDGE, "a query", "8", None) is None
    assert value(shop, _JUDGE, "a query", "7", None) is None
    assert rows(shop, _STORED) == []


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [
        ("'catalogue', 'q', '1', 1", "VS302"),
        ("'catalog', 'q', '{\"no\": 1}', 1", "VS304"),
        ("'catalog', 'q', '\"one\"', 1", "VS304"),
        ("'catalog', 'q', null, 1", "VS304"),
        ("'catalog', 'q', '1', -1", "VS001"),
        ("'catalog', '', '1', 1", "VS001"),
        ("'catalog', null, '1', 1", "VS001"),
    ],
)
def test_what_is_no_judgement_is_refused(shop: Connection, arguments: str, sqlstate: str) -> None:
    refused(lambda: run(shop, f"select vsync.judge({arguments})"), sqlstate)
    assert rows(shop, _STORED) == []


def test_only_the_owner_judges_and_readers_see_nothing(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    judge(shop, "a query", {1: 1})
    admin = connect(user=make_role("vsync_admin"))
    refused(lambda: judge(admin, "a query", {1: 2}), "VS002")
    refused(lambda: run(admin, "select vsync_internal.put_judgement('catalog', 'a query', '1', 2)"), "VS002")
    denied(admin, "delete from vsync_internal.judgements")
    assert rows(admin, _STORED) == [("a query", {"id": 1}, 1)]
    operator = connect(user=make_role("vsync_operator"))
    assert rows(operator, _STORED) == [("a query", {"id": 1}, 1)]
    denied(operator, "select vsync.judge('catalog', 'a query', '1', 2)")
    denied(connect(user=make_role("vsync_reader")), _STORED)


def test_judgements_go_with_their_embedding(shop: Connection) -> None:
    judge(shop, "a query", {1: 1})
    run(shop, "select vsync.drop_embedding('catalog')")
    assert rows(shop, _STORED) == []


@pytest.fixture
def gated(db: Connection, tiny_model: Path, tiny_model_other: Path) -> Connection:
    """A gate that asks for an nDCG, and a version 2 of another model."""
    open_shop(db, tiny_model, 20)
    register(db, tiny_model_other, "other")
    declare(db, options='{"gate": {"ndcg": 0.9}}')
    add_version(db, model="other")
    work(db)
    return db


def reason(db: Connection) -> str | None:
    return refused(lambda: activate(db, 2), "VS402").message_detail


def test_the_gate_asks_for_the_ndcg_of_the_version(gated: Connection) -> None:
    assert reason(gated) == "it was not compared by judged queries, and an nDCG of 0.9 is asked for"
    run(gated, "select vsync.compare_versions('catalog', 1, 2)")
    assert reason(gated) == "it was not compared by judged queries, and an nDCG of 0.9 is asked for"
    judge(gated, "product 3", {3: 1})
    judge(gated, "product 4", {999: 1})
    run(gated, "select vsync.compare_versions('catalog', 2, 1)")
    assert reason(gated) == "nDCG at k is 0.500000 of 0.9"
    judge(gated, "product 4", {4: 9})
    run(gated, "select vsync.compare_versions('catalog', 1, 2)")
    activate(gated, 2)
    figures = value(gated, "select figures from vsync.activations order by at desc limit 1")
    assert figures["ndcg"] == pytest.approx((1 + 9 / (9 + 1 / log2(3))) / 2, abs=1e-6)


def test_the_gate_takes_the_figure_of_the_version_and_not_of_the_other_one(gated: Connection) -> None:
    judge(gated, "product 3", {3: 1})
    run(gated, "delete from vsync_data.catalog_v2 where id = 3")
    assert rows(gated, _COMPARE, None, 10)[-1][3:] == (1.0, 0.0, 1.0, 0.0)
    assert reason(gated) == "nDCG at k is 0.000000 of 0.9"
