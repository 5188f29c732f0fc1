"""Champion and challenger: who answers a caller, what is counted, and how an experiment ends."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from shop import Connection, denied, refused, rows, run, value
from versions.rollout import VIEW, activate, add_version, assert_serves, work

_ANSWER = "select distinct version from vsync.search('catalog', 'product 9', 3, %s)"
_DRAWN = """select array_agg(c order by c) from generate_series(1, 1000) as c
where (vsync_internal.challenger('catalog', 'caller ' || c)).version = 2"""
_STATE = "select version, role, state, calls, outcomes from vsync.stat_experiments order by experiment, version"


def start(db: Connection, share: float = 1, version: int = 2) -> int:
    return value(db, "select vsync.start_experiment('catalog', %s, %s)", version, share)


def stop(db: Connection) -> int | None:
    return value(db, "select vsync.stop_experiment('catalog')")


def answers(db: Connection, caller: str | None = "me") -> int:
    """Return the version that answers a caller; one alone."""
    return value(db, f"select array_agg(version) from ({_ANSWER}) as s", caller)[0]


def counts(db: Connection) -> dict[int, int]:
    """Return the calls of the last experiment by version, with what this session has not told the server yet."""
    run(db, "select pg_stat_force_next_flush()")
    run(db, "select pg_stat_clear_snapshot()")
    found = rows(db, "select version, calls from vsync.stat_experiments order by experiment desc limit 2")
    return dict(found)


@pytest.fixture
def shop(shop: Connection) -> Connection:
    """Version 2, of another model, is ready to be tried."""
    add_version(shop, model="other")
    work(shop)
    return shop


def test_a_share_of_the_callers_is_answered_by_the_challenger_and_always_the_same(shop: Connection) -> None:
    experiment = start(shop, 0.1)
    few = value(shop, _DRAWN)
    assert len(few) == pytest.approx(100, abs=40)
    assert start(shop, 0.5) == experiment
    many = value(shop, _DRAWN)
    assert len(many) == pytest.approx(500, abs=70)
    assert set(few) < set(many)
    assert value(shop, _DRAWN) == many
    for caller in range(1, 20):
        assert [answers(shop, f"caller {caller}") for _ in range(2)] == [2 if caller in many else 1] * 2
    start(shop, 0)
    assert value(shop, _DRAWN) is None
    start(shop, 1)
    assert len(value(shop, _DRAWN)) == 1000
    stop(shop)
    assert start(shop, 0.5) != experiment
    assert value(shop, _DRAWN) != many


def test_each_is_answered_in_the_space_of_its_own_version(shop: Connection) -> None:
    start(shop)
    nearest = "select key ->> 'id', version, distance from vsync.search('catalog', 'product 9', 1, %s)"
    assert rows(shop, nearest, "me") == [("9", 2, pytest.approx(0, abs=1e-6))]
    assert rows(shop, nearest, None) == [("9", 1, pytest.approx(0, abs=1e-6))]
    assert_serves(shop, 1)


def test_a_challenger_of_another_dimension_answers_too(shop: Connection) -> None:
    add_version(shop, model="wide")
    work(shop)
    start(shop, version=3)
    assert answers(shop) == 3
    assert_serves(shop, 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("select vsync.pause_version('catalog', 2)", "select vsync.resume_version('catalog', 2)"),
        (
            "update vsync_internal.progress set broken = 'gone' where version_id = 2",
            "update vsync_internal.progress set broken = null where version_id = 2",
        ),
        (
            "update vsync_internal.versions set following = false where id = 2",
            "update vsync_internal.versions set following = true where id = 2",
        ),
        (
            "update vsync_internal.versions set state = 'building' where id = 2",
            "update vsync_internal.versions set state = 'ready' where id = 2",
        ),
    ],
)
def test_a_challenger_that_is_not_fit_does_not_answer(shop: Connection, before: str, after: str) -> None:
    start(shop)
    assert answers(shop) == 2
    run(shop, before)
    assert answers(shop) == 1
    assert value(shop, "select distinct state from vsync.stat_experiments") == "suspended"
    run(shop, after)
    assert answers(shop) == 2
    assert value(shop, "select distinct state from vsync.stat_experiments") == "running"


def test_a_snapshot_sees_one_experiment_to_its_end(shop: Connection, connect: Callable[..., Connection]) -> None:
    before, during = connect(), connect()
    run(before, "begin isolation level repeatable read")
    run(before, "select 1")
    start(shop)
    assert answers(before) == 1
    run(during, "begin isolation level repeatable read")
    run(during, "select 1")
    assert stop(shop) == 2
    assert answers(shop) == 1
    assert answers(during) == 2


def test_a_challenger_that_answered_a_transaction_is_not_dropped_before_its_end(
    shop: Connection, connect: Callable[..., Connection]
) -> None:
    start(shop)
    reader = connect()
    run(reader, "begin isolation level repeatable read")
    assert answers(reader) == 2
    run(shop, "set lock_timeout = '100 ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        run(shop, "select vsync.drop_version('catalog', 2)")
    assert answers(reader) == 2
    run(reader, "commit")
    run(shop, "select vsync.drop_version('catalog', 2)")


def test_where_an_older_snapshot_comes_too_late_the_champion_answers(
    shop: Connection, connect: Callable[..., Connection]
) -> None:
    start(shop)
    reader = connect()
    run(reader, "begin isolation level repeatable read")
    run(reader, "select 1")
    run(shop, "select vsync.drop_version('catalog', 2)")
    assert rows(reader, "select distinct state from vsync.stat_experiments") == [("running",)]
    try:
        assert answers(reader) == 1
    except psycopg.errors.UndefinedTable:
        pytest.fail("the challenger is gone, and nobody answers")


@pytest.mark.parametrize(
    ("end", "serves"),
    [
        ("select vsync.stop_experiment('catalog')", 1),
        ("select vsync.activate_version('catalog', 2)", 2),
        ("select vsync.activate_version('catalog', 3)", 3),
        ("select vsync.drop_version('catalog', 2)", 1),
    ],
)
def test_what_ends_an_experiment(shop: Connection, end: str, serves: int) -> None:
    add_version(shop, chunk='{"tokens": 100}')
    work(shop)
    start(shop)
    assert [answers(shop), answers(shop, None)] == [2, 1]
    counts(shop)
    run(shop, end)
    assert answers(shop) == serves
    assert rows(shop, _STATE) == [(1, "champion", "ended", 0, {}), (2, "challenger", "ended", 1, {})]
    assert stop(shop) is None


def test_a_rollback_ends_an_experiment_and_a_retired_version_can_be_a_challenger(shop: Connection) -> None:
    activate(shop, 2)
    start(shop, version=1)
    assert answers(shop) == 1
    run(shop, "select vsync.rollback_version('catalog')")
    assert value(shop, "select distinct state from vsync.stat_experiments") == "ended"
    assert answers(shop) == 1


def test_calls_and_their_time_are_counted_by_version_and_kept(shop: Connection) -> None:
    start(shop, 0.5)
    drawn = value(shop, _DRAWN)
    for caller in range(1, 41):
        answers(shop, f"caller {caller}")
    answers(shop, None)
    expected = sum(caller in drawn for caller in range(1, 41))
    assert counts(shop) == {1: 40 - expected, 2: expected}
    milliseconds = rows(shop, "select mean_ms from vsync.stat_experiments")
    assert all(0.1 < float(mean) < 500 for (mean,) in milliseconds)
    stop(shop)
    for _ in range(3):
        answers(shop, "caller 1")
    assert counts(shop) == {1: 40 - expected, 2: expected}
    assert rows(shop, "select mean_ms from vsync.stat_experiments") == milliseconds
    start(shop, 1)
    assert counts(shop) == {1: 0, 2: 0}


def test_a_slow_call_counts_its_milliseconds(shop: Connection) -> None:
    start(shop)
    slow = "select vsync_internal.count_call(v, clock_timestamp() - interval '%s') from vsync_internal.versions as v"
    for time in ("250.5 ms", "250.5 ms", "249 ms", "1 hour"):
        run(shop, f"{slow} where version = 2" % time)
    assert counts(shop) == {1: 0, 2: 4}
    mean = value(shop, "select mean_ms from vsync.stat_experiments where version = 2")
    assert float(mean) == pytest.approx((250.5 * 2 + 249 + 10000) / 4, abs=3)


def test_a_search_writes_nothing_and_works_in_read_only_transactions(shop: Connection) -> None:
    start(shop)
    run(shop, "begin")
    assert answers(shop) == 2
    assert value(shop, "select pg_current_xact_id_if_assigned()") is None
    run(shop, "commit")
    run(shop, "begin isolation level serializable read only")
    assert answers(shop) == 2
    run(shop, "rollback")
    assert counts(shop)[2] == 2
    assert value(shop, "select provolatile from pg_proc where proname = 'search'") == "s"


def test_a_search_does_not_fail_of_being_counted(shop: Connection, connect: Callable[..., Connection]) -> None:
    start(shop)
    other = connect()
    run(other, "begin; lock table vsync_data.catalog_v2_calls in access exclusive mode")
    run(shop, "set lock_timeout = '100 ms'")
    assert answers(shop) == 2
    run(other, "rollback")
    run(shop, "alter table vsync_data.catalog_v2_calls rename n to m")
    assert answers(shop) == 2
    run(shop, "drop table vsync_data.catalog_v2_calls")
    assert answers(shop) == 2
    assert counts(shop) == {1: 0, 2: 0}


def test_what_somebody_else_calls_a_counter_is_not_read(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    admin = connect(user=make_role("vsync_admin"))
    run(shop, f"grant create on schema vsync_data to {admin.info.user}")  # which vsync gives to nobody
    run(shop, f"create schema theirs authorization {admin.info.user}")
    run(admin, "create table theirs.seen (by name)")
    run(
        admin,
        "create function theirs.trap() returns int language sql as "
        "'insert into theirs.seen values (current_user) returning 1'",
    )
    run(admin, "create view vsync_data.catalog_v1_calls as select theirs.trap() as n from generate_series(1, 9)")
    assert answers(shop) == 1
    assert rows(shop, "table theirs.seen") == []


def test_outcomes_are_counted_by_version(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    report = "select vsync.report_outcome('catalog', %s, %s)"
    assert value(shop, report, 2, "click") is False
    start(shop)
    reader = connect(user=make_role("vsync_reader"))
    for version, outcome in ((1, "click"), (2, "click"), (2, "click"), (2, "order")):
        assert value(reader, report, version, outcome) is True
    assert value(reader, "select vsync.report_outcome('catalog', 1)") is True
    assert value(reader, report, 3, "click") is False
    outcomes = "select version, outcomes from vsync.stat_experiments order by 1"
    expected = [(1, {"click": 1, "success": 1}), (2, {"click": 2, "order": 1})]
    assert rows(shop, outcomes) == expected
    stop(shop)
    assert value(reader, report, 2, "click") is False
    assert rows(shop, outcomes) == expected
    for bad in (("catalog", 2, ""), ("catalog", 2, None), ("catalog", 2, "x" * 64)):
        refused(lambda bad=bad: value(shop, "select vsync.report_outcome(%s, %s, %s)", *bad), "VS001")
    refused(lambda: value(shop, "select vsync.report_outcome('catalogue', 2)"), "VS302")
    run(shop, "select vsync.drop_embedding('catalog')")
    assert value(shop, "select count(*) from vsync_internal.outcomes") == 0
    assert rows(shop, "select relname from pg_class where relname like 'catalog%%'") == []


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [
        ("'catalogue', 2", "VS302"),
        ("'catalog', 9", "VS401"),
        ("'catalog', 1", "VS406"),
        ("'catalog', 2, 1.5", "VS001"),
        ("'catalog', 2, 'nan'", "VS001"),
        ("'catalog', 2, null", "VS001"),
        ("'catalog', 3", "VS402"),
    ],
)
def test_what_is_no_experiment_is_refused(shop: Connection, arguments: str, sqlstate: str) -> None:
    add_version(shop)
    refused(lambda: run(shop, f"select vsync.start_experiment({arguments})"), sqlstate)
    assert rows(shop, "table vsync.stat_experiments") == []
    assert answers(shop) == 1


def test_one_challenger_at_a_time_and_a_forced_one_answers_when_it_is_whole(shop: Connection) -> None:
    add_version(shop)
    start(shop)
    refused(lambda: start(shop, version=3), "VS406")
    stop(shop)
    run(shop, "select vsync.start_experiment('catalog', 3, 1, force => true)")
    assert answers(shop) == 1
    work(shop)
    assert answers(shop) == 3


def test_only_the_owner_experiments(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    admin = connect(user=make_role("vsync_admin"))
    for schema in ("vsync", "vsync_internal"):
        force = ", 1, false" if schema == "vsync_internal" else ""
        refused(lambda s=schema, f=force: run(admin, f"select {s}.start_experiment('catalog', 2{f})"), "VS002")
    start(shop)
    for schema in ("vsync", "vsync_internal"):
        refused(lambda s=schema: run(admin, f"select {s}.stop_experiment('catalog')"), "VS002")
    reader = connect(user=make_role("vsync_reader"))
    denied(reader, "select * from vsync.stat_experiments")
    run(shop, f"grant usage on schema shop to {reader.info.user}; grant select on shop.products to {reader.info.user}")
    assert answers(reader) == 2
    assert {row[2] for row in rows(reader, VIEW)} == {1}


def test_row_level_security_holds_for_the_challenger(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    start(shop)
    reader = connect(user=make_role("vsync_reader"))
    run(shop, f"grant usage on schema shop to {reader.info.user}; grant select on shop.products to {reader.info.user}")
    run(shop, "alter table shop.products enable row level security")
    run(shop, "create policy few on shop.products using (id > 18)")
    found = rows(reader, "select (key ->> 'id')::int, version from vsync.search('catalog', 'product 9', 20, 'me')")
    assert sorted(found) == [(19, 2), (20, 2)]


def test_two_searches_of_one_statement_are_answered_by_one_version(shop: Connection) -> None:
    start(shop, 0.5)
    query = """select c, count(distinct s.version) from generate_series(1, 50) as c,
        lateral (select * from vsync.search('catalog', 'product 9', 2, 'caller ' || c)
            union all select * from vsync.search('catalog', 'product 3', 2, 'caller ' || c)) as s group by c"""
    seen: list[tuple[Any, ...]] = rows(shop, query)
    assert len(seen) == 50
    assert {versions for _, versions in seen} == {1}
