"""Business rules, line by line: each test is one line of what the pattern must be seen to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import psycopg
import pytest

from admin.test_commands import answer
from shop import Connection, declare, open_shop, rows, run, value

Connect = Callable[..., Connection]

DOCUMENT = """select p.id, p.title || coalesce(' ' || p.disclaimer, '') as content, p.title, p.price, p.region
from shop.goods as p"""
_TABLE = """
create table shop.goods (id int primary key, title text, disclaimer text, price numeric, region text, vip boolean);
insert into shop.goods select i, 'product ' || i, null, 100, 'world', false from generate_series(1, 20) as i;
"""


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    """Embedding catalog over 20 goods, worked off."""
    open_shop(db, tiny_model)
    run(db, _TABLE)
    declare(db, document=DOCUMENT)
    work(db)
    return db


def work(db: Connection) -> None:
    run(db, "call vsync.work()")


def rule(db: Connection, name: str, condition: str, action: str, params: str = "{}", **options: Any) -> None:
    named = "".join(f", {option} => %s" for option in options)
    run(
        db,
        f"select vsync.create_rule(%s, 'catalog', %s, %s, %s{named})",
        *(name, condition, action, params, *options.values()),
    )


def stat(db: Connection, column: str) -> int:
    return value(db, f"select {column} from vsync.stat_embeddings where embedding = 'catalog'")


def content(db: Connection, key: int) -> str | None:
    return value(db, "select max(content) from shop.catalog where id = %s", key)


def found(db: Connection) -> set[int]:
    return {key for (key,) in rows(db, "select (key ->> 'id')::int from vsync.search('catalog', 'product', 50)")}


def held(db: Connection) -> int:
    return value(db, "select held from vsync.audit('catalog')")


@contextmanager
def worker(connect: Connect) -> Iterator[None]:
    """A worker that runs meanwhile."""
    session = connect()
    with session.cursor() as cursor:
        pid = session.info.backend_pid
        started = _in_background(lambda: cursor.execute("call vsync.work(interval '10 minutes')"))
        try:
            yield
        finally:
            other = connect()
            run(other, "select pg_terminate_backend(%s)", pid)
            started.join()


def _in_background(call: Callable[[], object]) -> Thread:
    def quiet() -> None:
        with suppress(psycopg.Error):
            call()

    thread = Thread(target=quiet)
    thread.start()
    return thread


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end
        sleep(0.02)


def test_1_a_rule_is_a_row_and_takes_effect_at_the_next_commit(shop: Connection, connect: Connect) -> None:
    other = connect(autocommit=False)
    rule(other, "dear", "doc.price > 500", "exclude")
    run(shop, "update shop.goods set price = 900 where id = 1")
    assert 1 in found(shop)
    other.commit()
    assert 1 not in found(shop)
    run(shop, "select vsync.alter_rule('dear', 'doc.price > 1000')")
    assert 1 in found(shop)
    run(shop, "select vsync.alter_rule('dear', 'doc.price > 500')")
    assert 1 not in found(shop)
    run(shop, "select vsync.disable_rule('dear')")
    assert 1 in found(shop)


def test_2_restricted_hides_without_embedding_and_a_disclaimer_embeds_again(shop: Connection) -> None:
    rule(shop, "restricted", "new.region = 'restricted in the EU'", "exclude")
    work(shop)
    sent = stat(shop, "inference_total")
    run(shop, "update shop.goods set region = 'restricted in the EU' where id in (3, 4)")
    assert found(shop) == {*range(1, 21)} - {3, 4}
    assert value(shop, "select count(*) from shop.catalog") == 18
    work(shop)
    run(shop, "update shop.goods set region = 'world' where id = 3")
    assert found(shop) == {*range(1, 21)} - {4}
    work(shop)
    assert stat(shop, "inference_total") == sent
    run(shop, "update shop.goods set disclaimer = 'not for children' where id = 5")
    work(shop)
    assert content(shop, 5) == "product 5 not for children"
    assert stat(shop, "inference_total") == sent + 1


def test_3_a_changed_rule_reprocesses_only_what_it_held_back(shop: Connection) -> None:
    rule(shop, "cheap", "doc.price < 50", "skip")
    run(shop, "update shop.goods set price = 10, title = title || '!' where id <= 3")
    work(shop)
    assert content(shop, 1) == "product 1"
    assert held(shop) == 3
    before = (stat(shop, "embedded_total"), stat(shop, "skipped_total"))
    run(shop, "select vsync.alter_rule('cheap', 'doc.price < 50 and doc.id > 1')")
    work(shop)
    assert content(shop, 1) == "product 1!"
    assert content(shop, 2) == "product 2"
    assert (stat(shop, "embedded_total"), stat(shop, "skipped_total")) == (before[0] + 1, before[1])


def test_4_a_preview_counts_samples_and_prices_and_changes_nothing(shop: Connection) -> None:
    before = rows(shop, "select (select count(*) from vsync.rules), (select count(*) from vsync_internal.marks)")
    told = rows(shop, "select p::text from vsync.preview_rule('catalog', 'doc.id <= 7', 'skip') as p")
    text = " ".join(line for (line,) in told)
    assert "7" in text
    assert (
        rows(shop, "select (select count(*) from vsync.rules), (select count(*) from vsync_internal.marks)") == before
    )


def test_5_conflicts_resolve_by_priority_then_name_and_are_reported(shop: Connection) -> None:
    rule(shop, "b_skip", "doc.id = 1", "skip", priority=1)
    rule(shop, "a_hold", "doc.id = 1", "hold", priority=1)
    rule(shop, "c_defer", "doc.id = 1", "defer", '{"for": "1 day"}', priority=0)
    run(shop, "update shop.goods set title = 'x' where id = 1")
    work(shop)
    assert value(shop, "select count(*) from vsync.holds where state = 'waiting' and rule = 'a_hold'") == 1
    decisions = dict(rows(shop, "select rule, verdict from vsync.decisions"))
    assert decisions == {"a_hold": "hold", "b_skip": "overruled", "c_defer": "overruled"}
    told = " ".join(line for (line,) in rows(shop, "select e::text from vsync.explain_row('catalog', '1') as e"))
    for name in ("a_hold", "b_skip", "c_defer"):
        assert name in told


def test_6_validity_acts_with_no_change_in_the_source(shop: Connection, connect: Connect) -> None:
    rule(shop, "campaign", "doc.id = 2", "exclude", valid_until="infinity")
    rule(shop, "freeze", "true", "skip")
    run(shop, "update shop.goods set title = 'thawed' where id = 1")
    work(shop)
    assert content(shop, 1) == "product 1"
    with worker(connect):
        run(shop, "select vsync.alter_rule('freeze', valid_until => clock_timestamp() + interval '1 second')")
        run(shop, "select vsync.alter_rule('campaign', valid_until => clock_timestamp() + interval '1 second')")
        assert 2 not in found(shop)
        until(lambda: 2 in found(shop))
        until(lambda: content(shop, 1) == "thawed")


def test_6_a_rule_begins_by_itself(shop: Connection) -> None:
    rule(shop, "later", "doc.id = 2", "exclude", valid_from="2999-01-01")
    assert 2 in found(shop)
    run(shop, "select vsync.alter_rule('later', valid_from => clock_timestamp() + interval '500 milliseconds')")
    assert 2 in found(shop)
    until(lambda: 2 not in found(shop))


def test_7_decisions_name_the_revision_and_are_explained_with_the_rules_of_then(shop: Connection) -> None:
    rule(shop, "cheap", "doc.price < 500", "skip")
    run(shop, "update shop.goods set title = 'x' where id = 1")
    work(shop)
    run(shop, "select vsync.alter_rule('cheap', 'doc.price < 5')")
    work(shop)
    run(shop, "select vsync.drop_rule('cheap')")
    query = (
        "select rule, revision, verdict, condition from vsync.decisions where key = '{\"id\": 1}' order by at limit 1"
    )
    assert rows(shop, query) == [("cheap", 1, "skip", "doc.price < 500")]
    history = rows(shop, "select revision, change, condition from vsync.rule_history where name = 'cheap' order by 1")
    assert history == [
        (1, "create", "doc.price < 500"),
        (2, "alter", "doc.price < 5"),
        (3, "drop", "doc.price < 5"),
    ]


def test_8_what_fails_is_slow_or_overreaches_is_isolated(shop: Connection) -> None:
    run(
        shop,
        "create function shop.slow(int) returns boolean immutable language plpgsql as $$ begin "
        "if $1 = 2 then loop null; end loop; end if; return true; end $$",
    )
    run(
        shop,
        "create function shop.writes(int) returns boolean immutable language plpgsql as $$ begin "
        "delete from shop.goods; return true; end $$",
    )
    run(shop, "select vsync.configure('rule_timeout_ms', '300')")
    rule(shop, "fails", "1 / (doc.id - 1) > 5", "skip", priority=9)
    rule(shop, "slow", "shop.slow(doc.id)", "skip", priority=-9)
    rule(shop, "writes", "shop.writes(doc.id)", "skip", priority=8)
    rule(shop, "good", "doc.id = 4", "skip", priority=1)
    run(shop, "update shop.goods set title = title || '!' where id <= 4")
    work(shop)
    assert value(shop, "select count(*) from shop.goods") == 20
    assert content(shop, 1) == "product 1"
    assert content(shop, 2) == "product 2!"
    assert content(shop, 4) == "product 4"
    failed = {name for (name,) in rows(shop, "select name from vsync.stat_rules where failed > 0")}
    assert failed == {"fails", "slow", "writes"}
    told = " ".join(line for (line,) in rows(shop, "select d::text from vsync.doctor() as d where d.level <> 'ok'"))
    for name in failed:
        assert name in told


def test_8_a_broken_rule_is_reported_and_the_others_go_on(shop: Connection) -> None:
    run(shop, "alter table shop.goods add column grade int")
    rule(shop, "graded", "new.grade = 1", "skip")
    rule(shop, "fourth", "new.id = 4", "skip")
    run(shop, "alter table shop.goods drop column grade")
    run(shop, "update shop.goods set title = title || '!' where id in (3, 4)")
    work(shop)
    assert content(shop, 3) == "product 3!"
    assert content(shop, 4) == "product 4"
    assert "grade" in value(shop, "select broken from vsync.rules where name = 'graded'")
    assert (
        value(shop, "select count(*) from vsync.doctor() as d where d.level = 'error' and d::text like '%graded%'") == 1
    )
    run(shop, "select vsync.alter_rule('graded', 'new.id = 3')")
    run(shop, "update shop.goods set title = title || '!' where id = 3")
    work(shop)
    assert content(shop, 3) == "product 3!"


def test_9_skip(shop: Connection) -> None:
    rule(shop, "small_moves", "doc.title = last.title or abs(doc.price - last.price) < 5", "skip")
    for step in range(1, 8):
        run(shop, "update shop.goods set price = 100 + %s, title = 'step ' || %s where id = 1", step, step)
        work(shop)
        assert content(shop, 1) == ("product 1" if step < 5 else "step 5")
    assert rows(shop, "select missing, stale, held from vsync.audit('catalog', true)") == [(0, 0, 1)]
    assert content(shop, 1) == "step 5"


def test_9_defer_and_what_joins_it(shop: Connection) -> None:
    rule(shop, "later", "new.id = 1", "defer", '{"for": "10 seconds"}')
    sent = stat(shop, "inference_total")
    for step in range(5):
        run(shop, "update shop.goods set title = 'step ' || %s where id = 1", step)
        work(shop)
    assert content(shop, 1) == "product 1"
    stale = rows(shop, "select stale from vsync.search('catalog', 'product', 50) where key = '{\"id\": 1}'")
    assert stale == [(True,)]
    until(lambda: work(shop) is None and content(shop, 1) == "step 4", 60)
    assert stat(shop, "inference_total") == sent + 1


def test_9_batch_window(shop: Connection) -> None:
    rule(shop, "nightly", "new.id = 1", "defer", '{"cron": "0 3 1 1 *", "timezone": "Asia/Tokyo"}')
    run(shop, "update shop.goods set title = 'x' where id = 1")
    work(shop)
    due = value(shop, "select due_at from vsync_internal.marks")
    assert (
        value(shop, "select to_char(%s::timestamptz at time zone 'Asia/Tokyo', 'MM-DD HH24:MI:SS')", due)
        == "01-01 03:00:00"
    )
    assert value(shop, "select %s > now()", due)


def test_9_prioritize(shop: Connection, connect: Connect) -> None:
    rule(shop, "vip", "new.vip", "prioritize", '{"priority": 10}')
    rule(shop, "dear", "new.price > 100", "prioritize", '{"expression": "new.price / 1000"}', priority=-1)
    run(shop, "select vsync.configure('claim_limit', '1')")
    run(
        shop,
        "update shop.goods set title = 'new ' || id, vip = id = 7, "
        "price = case when id in (5, 9) then 100 * id else 10 end",
    )
    work(shop)
    order = [key for (key,) in rows(shop, "select id from shop.catalog order by embedded_at limit 3")]
    assert order == [7, 9, 5]


def test_9_hold_for_approval(shop: Connection) -> None:
    rule(shop, "dear", "new.price > old.price * 2", "hold")
    run(shop, "update shop.goods set price = 1000, title = 'dear ' || id where id in (1, 2, 3)")
    run(shop, "update shop.goods set price = 1000, title = 'dear ' || id where id = 4")
    work(shop)
    assert content(shop, 1) == "product 1"
    waiting = rows(shop, "select id, documents, rule from vsync.holds where state = 'waiting' order by documents")
    assert [(documents, name) for _, documents, name in waiting] == [(1, "dear"), (3, "dear")]
    run(shop, "select vsync.approve(%s)", waiting[1][0])
    run(shop, "select vsync.reject(%s)", waiting[0][0])
    work(shop)
    assert [content(shop, key) for key in (1, 2, 3, 4)] == ["dear 1", "dear 2", "dear 3", "product 4"]
    stale = {key["id"] for (key,) in rows(shop, "select key from vsync.search('catalog', 'product', 50) where stale")}
    assert stale == {4}
    run(shop, "update shop.goods set title = 'again' where id = 4")
    work(shop)
    assert content(shop, 4) == "again"


def test_9_refresh(shop: Connection) -> None:
    sent = stat(shop, "inference_total")
    rule(shop, "again", "doc.id <= 3", "refresh", '{"force": true, "every": "1 day"}')
    work(shop)
    assert stat(shop, "inference_total") == sent + 3
    work(shop)
    assert stat(shop, "inference_total") == sent + 3
    rule(shop, "look", "doc.id <= 5", "refresh")
    work(shop)
    assert stat(shop, "inference_total") == sent + 3


def test_10_rules_exported_from_one_database_decide_the_same_in_another(
    shop: Connection, dsn: str, tmp_path: Path, cluster: Any, template: Any, tiny_model: Path
) -> None:
    rule(shop, "cheap", "doc.price < 50", "skip", priority=2)
    rule(shop, "it's", "new.region = 'it''s' -- why", "exclude")
    rule(shop, "nightly", "new.vip and not old.vip", "defer", '{"until": "22:00", "timezone": "Europe/Berlin"}')
    answer(dsn, "rule", "export", str(tmp_path))
    history = (
        "update shop.goods set price = 10, title = 'cheap' where id = 1;"
        "update shop.goods set region = 'it''s' where id = 2;"
        "update shop.goods set vip = true, title = 'vip' where id = 3;"
        "update shop.goods set title = 'plain' where id = 4"
    )
    name = f"{shop.info.dbname}_other"
    with psycopg.connect(cluster.dsn(), autocommit=True) as session:
        session.execute(f"create database {name} template {template.template_dbname}".encode())
    try:
        with psycopg.connect(cluster.dsn(name), autocommit=True) as other:
            open_shop(other, tiny_model)
            run(other, _TABLE)
            declare(other, document=DOCUMENT)
            work(other)
            answer(cluster.dsn(name), "rule", "apply", str(tmp_path))
            decided: list[Any] = []
            for db in (shop, other):
                run(db, history)
                work(db)
                decided.append(
                    (
                        rows(db, "select id, content from shop.catalog order by id"),
                        rows(db, "select rule, revision, verdict, key from vsync.decisions order by rule, key::text"),
                    )
                )
            assert decided[0] == decided[1]
            assert len(decided[0][1]) >= 2
    finally:
        with psycopg.connect(cluster.dsn(), autocommit=True) as session:
            session.execute(f"drop database {name} with (force)".encode())
