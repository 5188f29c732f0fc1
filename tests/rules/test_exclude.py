"""Excluded documents are hidden from view and search by the reading statement itself, and keep their vectors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shop import Connection, declare, open_shop, refused, rows, run, value
from spies import plant_spy, spied

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

_DOCUMENT = "select id, title as content, tenant from shop.products"


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    """Give products 1 to 5, embedded."""
    open_shop(db, tiny_model, products=5)
    declare(db, document=_DOCUMENT)
    work(db)
    return db


def work(db: Connection) -> None:
    db.execute("call vsync.work()")


def exclude(db: Connection, name: str, condition: str, **more: Any) -> None:
    named = "".join(f", {option} => %s" for option in more)
    run(db, f"select vsync.create_rule(%s, 'catalog', %s, 'exclude'{named})", name, condition, *more.values())


def seen(db: Connection) -> list[int]:
    """Return the ids in the view, which are those that search finds."""
    ids = [number for (number,) in rows(db, "select id from shop.catalog order by id")]
    search = "select (key ->> 'id')::int from vsync.search('catalog', 'product', 10) order by 1"
    assert [number for (number,) in rows(db, search)] == ids
    return ids


def sent(db: Connection) -> int:
    return value(db, "select inference_total from vsync.stat_embeddings")


def test_a_document_is_hidden_with_the_commit_and_back_without_any_worker(shop: Connection, connect: Connect) -> None:
    exclude(shop, "discontinued", "new.hidden = 'discontinued'")
    work(shop)
    before = sent(shop)
    other = connect(autocommit=False)
    assert seen(shop) == [1, 2, 3, 4, 5]
    shop.execute("update shop.products set hidden = 'discontinued' where id in (2, 3)")
    assert seen(shop) == [1, 4, 5]
    assert seen(other) == [1, 4, 5]
    shop.execute("update shop.products set hidden = 'on sale' where id = 3")
    assert seen(shop) == [1, 3, 4, 5]
    work(shop)
    assert seen(shop) == [1, 3, 4, 5]
    assert (sent(shop), value(shop, "select count(*) from vsync_data.catalog_v1")) == (before, 5)


def test_a_statement_sees_what_its_snapshot_sees(shop: Connection, connect: Connect) -> None:
    exclude(shop, "discontinued", "new.hidden = 'discontinued'")
    reader = connect(autocommit=False)
    reader.execute("set transaction isolation level repeatable read")
    assert seen(reader) == [1, 2, 3, 4, 5]
    shop.execute("update shop.products set hidden = 'discontinued' where id = 1")
    assert seen(reader) == [1, 2, 3, 4, 5]
    reader.commit()
    assert seen(reader) == [2, 3, 4, 5]


def test_the_text_of_a_hidden_document_is_embedded_when_it_is_shown_again(shop: Connection) -> None:
    exclude(shop, "eu", "doc.tenant = 'eu'")
    work(shop)
    before = sent(shop)
    shop.execute("update shop.products set tenant = 'eu', title = 'restricted' where id = 1")
    work(shop)
    held = "select key, verdict, due_at = 'infinity' from vsync_internal.marks"
    assert (sent(shop), rows(shop, held)) == (before, [("1", "exclude", True)])
    shop.execute("update shop.products set tenant = 'us' where id = 1")
    work(shop)
    assert (sent(shop), rows(shop, held)) == (before + 1, [])
    assert value(shop, "select content from shop.catalog where id = 1") == "restricted"


_WHILE = "(select count(*) from shop.moments as m where m.tenant = new.tenant and now() < m.until) > 0"


@pytest.mark.parametrize(
    ("condition", "drifts"),
    [
        ("new.hidden = 'x' and lower(doc.content) = 'y'", False),
        ("doc.price * 2 > 1 or abs(doc.price) > 3", False),
        ("new.shown_at > now()", True),
        ("new.shown_at > localtimestamp", True),
        ("new.shown_at::date = current_date", True),
        ("new.shown_at > 'tomorrow'::timestamptz", True),
        ("shop.is_open(doc.id)", True),
        ("shop.is_even(doc.id)", False),
        ("exists (select from shop.moments as m where m.tenant = doc.tenant)", True),
    ],
)
def test_what_may_end_by_itself_is_known_when_the_rule_is_made(shop: Connection, condition: str, drifts: bool) -> None:
    shop.execute("alter table shop.products add shown_at timestamptz, add price int")
    shop.execute("create table shop.moments (tenant text)")
    for name, volatility in (("is_open", "stable"), ("is_even", "immutable")):
        body = f"returns boolean language sql {volatility} as 'select $1 % 2 = 0'"
        run(shop, f"create function shop.{name}(int) {body}")
    shop.execute("select vsync.drop_embedding('catalog')")
    declare(shop, document="select id, title as content, tenant, price from shop.products")
    exclude(shop, "rule", condition, params='{"subqueries": true}' if "select" in condition else "{}")
    assert value(shop, "select drifts from vsync_internal.rules") is drifts


def let_a_minute_pass(db: Connection) -> None:
    run(db, "update vsync_internal.progress set hidden_at = hidden_at - interval '1 minute'")


@pytest.mark.parametrize("condition", ["new.shown_at > now()", _WHILE])
def test_what_changed_while_time_hid_it_is_embedded_when_time_shows_it(shop: Connection, condition: str) -> None:
    shop.execute("alter table shop.products add shown_at timestamptz")
    shop.execute("create table shop.moments (tenant text, until timestamptz)")
    exclude(shop, "embargo", condition, params=f'{{"subqueries": {str("select" in condition).lower()}}}')
    soon = "clock_timestamp() + interval '3 s'"
    run(shop, f"update shop.products set title = 'news', tenant = 'b', shown_at = {soon} where id < 3")
    run(shop, f"insert into shop.moments values ('b', {soon})")
    shop.execute("update shop.products set title = 'never', shown_at = 'infinity', tenant = 'c' where id = 3")
    shop.execute("insert into shop.moments values ('c', 'infinity')")
    work(shop)
    assert seen(shop) == [4, 5]
    let_a_minute_pass(shop)
    before = sent(shop)
    work(shop)
    held = "select key from vsync_internal.marks where verdict = 'exclude' order by key"
    assert (sent(shop), rows(shop, held)) == (before, [("1",), ("2",), ("3",)])
    asked = value(shop, "select asked from vsync.stat_rules")
    shop.execute("select pg_sleep(3)")
    assert seen(shop) == [1, 2, 4, 5]
    assert value(shop, "select content from shop.catalog where id = 1") == "product 1"
    work(shop)
    assert rows(shop, held) == [("1",), ("2",), ("3",)]
    let_a_minute_pass(shop)
    work(shop)
    assert rows(shop, held) == [("3",)]
    assert rows(shop, "select content from shop.catalog where id < 3") == [("news",), ("news",)]
    assert value(shop, "select asked from vsync.stat_rules") == asked + 2


def test_hidden_documents_are_looked_at_in_pages(shop: Connection) -> None:
    exclude(shop, "embargo", "doc.id > 0 and now() > '2001-01-01'")
    shop.execute("update shop.products set title = 'changed'")
    work(shop)
    let_a_minute_pass(shop)
    pages = [rows(shop, "select keys from vsync_internal.hidden_keys(2)") for _ in range(4)]
    assert pages == [[(["1", "2"],)], [(["3", "4"],)], [(["5"],)], []]


@pytest.mark.parametrize("body", ["perform pg_sleep(60);", "raise query_canceled;", "raise 'no';"])
def test_a_condition_that_fails_when_it_is_looked_at_stops_no_worker(shop: Connection, body: str) -> None:
    shop.execute("select vsync.configure('rule_timeout_ms', '200')")
    shop.execute("create table shop.state (bad boolean); insert into shop.state values (false)")
    function = f"begin if (select s.bad from shop.state as s) then {body} end if; return true; end"
    run(shop, f"create function shop.fails(int) returns boolean language plpgsql stable as $${function}$$")
    exclude(shop, "slow", "shop.fails(doc.id)")
    shop.execute("update shop.products set title = 'changed' where id = 1")
    work(shop)
    assert rows(shop, "select verdict from vsync_internal.marks") == [("exclude",)]
    shop.execute("update shop.state set bad = true")
    let_a_minute_pass(shop)
    work(shop)
    assert rows(shop, "select verdict from vsync_internal.marks") == []
    assert value(shop, "select content from vsync_data.catalog_v1 where id = 1") == "changed"


def test_rules_come_and_go(shop: Connection) -> None:
    exclude(shop, "a", "doc.id = 1")
    exclude(shop, "b", "new.id = 2")
    assert seen(shop) == [3, 4, 5]
    shop.execute("select vsync.disable_rule('a')")
    assert seen(shop) == [1, 3, 4, 5]
    shop.execute("select vsync.enable_rule('a'); select vsync.alter_rule('b', condition => 'new.id = 3')")
    assert seen(shop) == [2, 4, 5]
    shop.execute("select vsync.alter_rule('b', valid_until => '2001-01-01')")
    assert seen(shop) == [2, 3, 4, 5]
    shop.execute("select vsync.alter_rule('b', valid_until => 'infinity', valid_from => '2999-01-01')")
    assert seen(shop) == [2, 3, 4, 5]
    shop.execute("select vsync.drop_rule('a'); select vsync.drop_rule('b')")
    assert seen(shop) == [1, 2, 3, 4, 5]
    functions = (
        "select count(*) from pg_proc where proname like '%excluded' and pronamespace = 'vsync_data'::regnamespace"
    )
    assert value(shop, functions) == 0


def test_a_rule_that_fails_hides_nothing_and_leaves_the_others_alone(shop: Connection) -> None:
    exclude(shop, "broken", "1 / (doc.id - 2) > 10 or new.tenant = 'eu'")
    exclude(shop, "third", "doc.id = 3")
    assert seen(shop) == [1, 2, 4, 5]
    exclude(shop, "column", "new.hidden = 'secret'")
    assert seen(shop) == []
    shop.execute("alter table shop.products rename column hidden to secret")
    assert seen(shop) == [1, 2, 4, 5]


def test_more_hidden_documents_than_found_at_first(shop: Connection) -> None:
    shop.execute("insert into shop.products select i, 'product ' || i, 'x', 'a' from generate_series(6, 400) as i")
    work(shop)
    exclude(shop, "most", "doc.id < 390")
    assert len(rows(shop, "select * from vsync.search('catalog', 'product 1', 10)")) == 10
    assert len(rows(shop, "select * from vsync.search('catalog', 'product 1', 100)")) == 11


def test_the_view_keeps_the_order_of_the_index(shop: Connection) -> None:
    shop.execute("insert into shop.products select i, 'product ' || i, 'x', 'a' from generate_series(6, 3000) as i")
    work(shop)
    shop.execute("select vsync.add_version('catalog')")
    work(shop)
    exclude(shop, "odd", "doc.id % 2 = 1")
    shop.execute("analyze")
    vector = value(shop, "select vsync.query_vector('catalog', 'product 7')::text")
    query = f"select id from shop.catalog order by embedding <=> '{vector}' limit 5"
    plan = "\n".join(line for (line,) in rows(shop, f"explain (analyze, costs off) {query}"))
    assert "Index Scan using" in plan
    assert "Sort Method" not in plan
    assert "never executed" in plan
    assert all(number % 2 == 0 for (number,) in rows(shop, query))


def test_both_versions_hide_and_a_new_one_hides_from_the_start(shop: Connection) -> None:
    exclude(shop, "first", "doc.id = 1")
    shop.execute("select vsync.add_version('catalog')")
    work(shop)
    shop.execute("select vsync.activate_version('catalog', 2)")
    assert seen(shop) == [2, 3, 4, 5]
    shop.execute("select vsync.alter_rule('first', condition => 'doc.id = 5')")
    work(shop)  # while it was hidden nothing was embedded for the second version
    assert seen(shop) == [1, 2, 3, 4]
    shop.execute("select vsync.rollback_version('catalog')")
    assert seen(shop) == [1, 2, 3, 4]


def test_keys_of_several_columns(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model)
    db.execute("create table shop.texts (lang text, id int, body text, primary key (lang, id))")
    db.execute(
        "insert into shop.texts select l, i, l || i from unnest('{de,en}'::text[]) as l, generate_series(1, 3) as i"
    )
    declare(db, document="select t.lang as language, t.id, t.body as content from shop.texts as t")
    work(db)
    exclude(db, "german", "new.lang = 'de' and doc.id > 1")
    assert rows(db, "select language, id from shop.catalog order by 1, 2") == [
        ("de", 1),
        ("en", 1),
        ("en", 2),
        ("en", 3),
    ]
    assert value(db, "select count(*) from vsync.search('catalog', 'de', 10)") == 4


def test_readers_need_no_right_on_what_the_condition_asks(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    owner = make_role("vsync_admin")
    open_shop(db, tiny_model, products=5, owner=owner)
    session = connect(user=owner)
    session.execute("create table shop.banned (id int); insert into shop.banned values (4)")
    declare(session)
    work(db)
    banned = "exists (select from shop.banned as b where b.id = doc.id)"
    exclude(session, "banned", banned, params='{"subqueries": true}')
    reader = make_role("vsync_reader")
    run(db, f"grant usage on schema shop to {reader}; grant select on shop.products, shop.catalog to {reader}")
    assert seen(connect(user=reader)) == [1, 2, 3, 5]
    session.execute("delete from shop.banned")
    assert seen(connect(user=reader)) == [1, 2, 3, 4, 5]


def test_row_level_security_and_exclusion_together(
    shop: Connection, connect: Connect, make_role: MakeRole, db: Connection
) -> None:
    exclude(shop, "first", "doc.id = 1")
    role = make_role("vsync_reader")
    run(db, f"grant usage on schema shop to {role}; grant select on shop.products, shop.catalog to {role}")
    db.execute("alter table shop.products enable row level security")
    db.execute("create policy low on shop.products using (id < 3)")
    assert seen(connect(user=role)) == [2]
    assert seen(db) == [2, 3, 4, 5]


@pytest.mark.parametrize("rights", ["invoker", "definer"])
def test_a_replaced_function_runs_as_its_owner_or_not_at_all(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path, rights: str
) -> None:
    owner = make_role("vsync_admin")
    open_shop(db, tiny_model, owner=owner)
    session = connect(user=owner)
    declare(session)
    work(db)
    exclude(session, "first", "doc.id = 1")
    plant_spy(session, owner, "vsync_sandbox", "postgres")
    run(db, f"grant create on schema vsync_data to {owner}")  # which vsync gives to nobody
    run(
        session,
        "create or replace function vsync_data.catalog_v1_excluded(int) returns boolean language plpgsql volatile "
        f"security {rights} as $$ begin perform shop.spy(''); return true; end $$",
    )
    for query in ("select key from vsync.search('catalog', 'x', 10)", "select id from shop.catalog"):
        if rights == "definer":
            assert rows(db, query) == []
        else:
            refused(lambda query=query: rows(db, query), "VS002")
    assert spied(db) == {"invoker": set(), "definer": {owner}}[rights]
