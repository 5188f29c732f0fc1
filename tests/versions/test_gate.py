"""The gate before activation: what is not whole is not served, unless forced, and both are written down."""

from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, open_shop, refused, register, rows, run, value
from versions.rollout import activate, add_version, assert_serves, totals, work

_LAST = "select version, action, forced, figures from vsync.activations order by at desc limit 1"


def refusal(db: Connection, version: int = 2) -> str:
    """Return why a version may not be served, which is in DETAIL."""
    report = refused(lambda: activate(db, version), "VS402")
    return report.message_detail or ""


def force(db: Connection, version: int = 2) -> None:
    assert value(db, "select vsync.activate_version('catalog', %s, force => true)", version) == version


def test_a_version_that_is_being_built_is_refused_with_the_figures(shop: Connection) -> None:
    add_version(shop, model="other")
    detail = refusal(shop)
    assert "coverage is 0.0000 of 1 (20 documents lack vectors)" in detail
    assert "its index is not built yet" in detail
    work(shop)
    activate(shop, 2)
    assert rows(shop, _LAST) == [(2, "activate", False, {"coverage": 1, "missing": 0, "failed": 0, "refused": ""})]


def test_forced_it_is_served_and_that_is_kept(shop: Connection) -> None:
    add_version(shop, model="other")
    force(shop)
    version, action, forced, figures = rows(shop, _LAST)[0]
    assert (version, action, forced, figures["missing"]) == (2, "activate", True, 20)
    assert "coverage is 0.0000 of 1" in figures["refused"]
    work(shop)
    assert_serves(shop, 2)


def test_forced_it_is_served_at_once_however_long_counting_takes(shop: Connection) -> None:
    run(
        shop,
        "create function shop.slow(text) returns boolean language plpgsql immutable as "
        "$$begin perform pg_sleep(0.2); return true; end$$",
    )
    add_version(shop, document="select id, title as content from shop.products where shop.slow(title)")
    run(shop, "set statement_timeout = '1s'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        activate(shop, 2)
    force(shop)
    assert rows(shop, _LAST)[0][3]["missing"] == 20


def test_force_where_nothing_speaks_against_it_is_not_recorded_as_forced(shop: Connection) -> None:
    add_version(shop, model="other")
    work(shop)
    force(shop)
    assert rows(shop, _LAST)[0][2] is False


@pytest.fixture
def poisoned(db: Connection, tiny_model: Path, tiny_model_poison: Path) -> Connection:
    """An embedding of 1,000 rows; the next version's model fails on one of them, and the gate asks for what it says."""
    open_shop(db, tiny_model, 999)
    register(db, tiny_model_poison, "poison")
    run(db, "insert into shop.products values (1000, 'a poisonpill')")
    run(db, "select vsync.configure('max_attempts', '1')")
    return db


def test_one_parked_failure_is_refused(poisoned: Connection) -> None:
    declare(poisoned, options='{"gate": {"coverage": 0.99}}')
    work(poisoned)
    add_version(poisoned, model="poison")
    work(poisoned)
    assert refusal(poisoned) == "1 documents failed"
    run(poisoned, "update shop.products set title = 'cured' where id = 1000")
    work(poisoned)
    activate(poisoned, 2)


def test_99_9_percent_are_less_than_all(poisoned: Connection) -> None:
    declare(poisoned)
    work(poisoned)
    add_version(poisoned, model="poison")
    work(poisoned)
    detail = refusal(poisoned)
    assert detail == "coverage is 0.9990 of 1 (1 documents lack vectors); 1 documents failed"
    force(poisoned)
    _, _, forced, figures = rows(poisoned, _LAST)[0]
    assert (forced, figures["coverage"], figures["failed"], figures["refused"]) == (True, 0.999, 1, detail)


@pytest.mark.parametrize(("asked", "passes"), [("0.5", True), ("0.96", False)])
def test_a_threshold_of_coverage_below_all_lets_a_version_pass_early(
    db: Connection, tiny_model: Path, tiny_model_other: Path, asked: str, passes: bool
) -> None:
    open_shop(db, tiny_model, 20)
    register(db, tiny_model_other, "other")
    declare(db, index='{"type": "none"}', options=f'{{"gate": {{"coverage": {asked}}}}}')
    work(db)
    add_version(db, model="other")
    work(db)
    run(db, "select vsync_internal.mark(2, '{3}', nextval('vsync_internal.generation'), now(), 2)")
    if passes:
        activate(db, 2)
    else:
        assert refusal(db) == "coverage is 0.9500 of 0.96 (1 documents lack vectors)"


def test_where_a_comparison_is_asked_for_an_uncompared_version_is_refused(
    db: Connection, tiny_model: Path, tiny_model_other: Path
) -> None:
    open_shop(db, tiny_model, 50)
    register(db, tiny_model_other, "other")
    declare(db, options='{"gate": {"overlap": 0.9}}')
    work(db)
    add_version(db, model="other")
    add_version(db, chunk='{"tokens": 100}')
    work(db)
    assert refusal(db) == "it was not compared with the active version, and an overlap of 0.9 is asked for"
    run(db, "select vsync.compare_versions('catalog', 1, 2)")
    assert refusal(db).startswith("overlap at k is 0.")
    run(db, "select vsync.compare_versions('catalog', 3, 1)")
    activate(db, 3)
    assert rows(db, _LAST)[0][3]["overlap"] == 1
    run(db, "select vsync.compare_versions('catalog', 2, 3)")
    detail = refusal(db)
    force(db)
    _, _, forced, figures = rows(db, _LAST)[0]
    assert (forced, figures["refused"]) == (True, detail)
    assert figures["overlap"] < 0.9


def test_a_paused_version_is_refused_and_what_waited_counts_when_it_goes_on(shop: Connection) -> None:
    add_version(shop, model="other")
    work(shop)
    assert value(shop, "select vsync.pause_version('catalog', 2)") is True
    assert value(shop, "select vsync.pause_version('catalog', 2)") is False
    before = totals(shop)[2]
    run(shop, "update shop.products set title = 'edited' where id = 9")
    work(shop)
    assert totals(shop)[2] == before
    assert refusal(shop) == "it is paused"
    assert value(shop, "select vsync.resume_version('catalog', 2)") is True
    assert value(shop, "select vsync.resume_version('catalog', 2)") is False
    assert refusal(shop) == "coverage is 0.9500 of 1 (1 documents lack vectors)"
    work(shop)
    activate(shop, 2)
    assert value(shop, "select content from shop.catalog where id = 9") == "edited"


def test_a_version_that_does_not_exist_is_refused_and_the_active_one_stays(shop: Connection) -> None:
    refused(lambda: activate(shop, 2), "VS401")
    refused(lambda: run(shop, "select vsync.activate_version('catalog', null)"), "VS401")
    activate(shop, 1)
    assert value(shop, "select count(*) from vsync.activations") == 1


@pytest.mark.parametrize(
    "options",
    [
        '{"gate": {"coverage": 2}}',
        '{"gate": {"overlap": "much"}}',
        '{"gate": {"recall": 1}}',
        '{"gate": 1}',
        '{"rollback_window": "soon"}',
        '{"rollback_window": "-1 day"}',
        '{"retention": null}',
    ],
)
def test_impossible_options_are_refused(db: Connection, tiny_model: Path, options: str) -> None:
    open_shop(db, tiny_model)
    refused(lambda: declare(db, options=options), "VS001")
