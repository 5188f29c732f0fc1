"""What a rule's text may hold, which columns it reads, and so when it is asked."""

import json
from typing import Any

import pytest
from psycopg import Connection

from vsync_engine.foundation.errors import EngineError
from vsync_engine.rules import analyse

PRODUCTS = {
    "schema": "shop",
    "name": "products",
    "columns": [
        {"name": name, "type": kind}
        for name, kind in (
            ("id", "integer"),
            ("title", "text"),
            ("price", "numeric(10,2)"),
            ("tags", "text[]"),
            ("data", "jsonb"),
            ("raw", "json"),
            ("home", "point"),
            ("Odd Name", "text"),
            ("select", "integer"),
        )
    ],
}
CATEGORIES = {"schema": "shop", "name": "categories", "columns": [{"name": "name", "type": "text"}]}
DOCUMENT = {
    "columns": [
        {"name": name, "type": kind} for name, kind in (("id", "integer"), ("content", "text"), ("price", "numeric"))
    ]
}
NONE: dict[str, list[str]] = {"old": [], "new": [], "doc": [], "last": [], "change": []}
EVERY = [column["name"] for column in PRODUCTS["columns"]]


def facts(condition: str, action: str = "skip", params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "condition": condition,
        "action": action,
        "params": params or {},
        "root": PRODUCTS,
        "relation": None,
        "document": DOCUMENT,
        **more,
    }


def refusal(condition: str, action: str = "skip", params: dict[str, Any] | None = None, **more: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        analyse.analyse(facts(condition, action, params, **more))
    assert caught.value.detail
    assert caught.value.hint
    assert "document query" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("condition", "stage", "columns"),
    [
        ("true", "document", {}),
        ("localtime between '09:00' and '18:00'", "document", {}),
        ("current_user = 'x' and session_user = user", "document", {}),
        ("new.price < 5", "change", {"new": ["price"]}),
        ("NEW.Price < 5", "change", {"new": ["price"]}),
        ('"new".price < 5', "change", {"new": ["price"]}),
        ("new . price < 5", "change", {"new": ["price"]}),
        ("new/**/./**/price < 5", "change", {"new": ["price"]}),
        ('new."Odd Name" = $$x$$', "change", {"new": ["Odd Name"]}),
        ('new."select" = 1', "change", {"new": ["select"]}),
        ("old.price is distinct from new.price", "change", {"old": ["price"], "new": ["price"]}),
        ("new is distinct from old", "change", {"old": EVERY, "new": EVERY}),
        ("row(new.*) is distinct from row(old.*)", "change", {"old": EVERY, "new": EVERY}),
        ("(new).price > 3", "change", {"new": EVERY}),
        ("to_jsonb(new) ? 'x'", "change", {"new": EVERY}),
        ("price(new) > 3", "change", {"new": EVERY}),
        ("change.op = 'insert'", "change", {"change": ["op"]}),
        ("change.relation = 'shop.products'::regclass", "change", {"change": ["relation"]}),
        ("doc.content like '%draft%'", "document", {"doc": ["content"]}),
        ("last.embedded_at < now() - interval '1 year'", "document", {"last": ["embedded_at"]}),
        ("abs(doc.price - last.price) < 1 and last.version = 1", "document", {}),
        ("new.title like 'x%' and doc.price > 3", "document", {"new": ["title"], "doc": ["price"]}),
        ("'old.price' = 'new.title' -- and last.content", "document", {}),
        ("new.tags && array['a'] or new.data ->> 'new' = 'old'", "change", {"new": ["tags", "data"]}),
        ("new.title ~* 'x' collate \"C\"", "change", {"new": ["title"]}),
        ("new.title operator(pg_catalog.~) 'x'", "change", {"new": ["title"]}),
        ("shop.is_vip(new.id)", "change", {"new": ["id"]}),
        ("case when new.id > 1 then true else new.title is null end", "change", {"new": ["id", "title"]}),
        ("extract(hour from now()) < 3 and new.id in (1, 2)", "change", {"new": ["id"]}),
        ("vsync.text_change(last.content, doc.content) < 0.02", "document", {}),
    ],
)
def test_columns_and_stage(condition: str, stage: str, columns: dict[str, list[str]]) -> None:
    found = analyse.analyse(facts(condition)).as_json()
    assert found["stage"] == stage
    if columns or condition in ("true", "localtime between '09:00' and '18:00'"):
        assert found["columns"] == {**NONE, **columns}


@pytest.mark.parametrize(
    ("condition", "action", "params", "stage"),
    [
        ("new.title = 'x'", "exclude", {}, "document"),
        ("new.title = 'x'", "refresh", {"every": "1 month"}, "document"),
        ("true", "hold", {"over": 50000}, "change"),
        ("true", "hold", {}, "document"),
        ("true", "prioritize", {"expression": "new.price / 10"}, "change"),
        ("true", "prioritize", {"expression": "doc.price"}, "document"),
        ("new.id = 1", "prioritize", {"priority": -2.5}, "change"),
        ("new.id = 1", "defer", {"for": "2 hours"}, "change"),
        ("new.id = 1", "defer", {"until": "18:00", "timezone": "Europe/Berlin"}, "change"),
        ("new.id = 1", "defer", {"cron": "0 18 * * 1-5"}, "change"),
        ("doc.id = 1", "skip", {"on_error": "hold"}, "document"),
    ],
)
def test_stage_by_action(condition: str, action: str, params: dict[str, Any], stage: str) -> None:
    assert analyse.analyse(facts(condition, action, params)).stage == stage


def test_relation() -> None:
    found = analyse.analyse(facts("new.name <> old.name", "hold", {"relation": "shop.categories"}, relation=CATEGORIES))
    assert found.stage == "change"
    assert found.columns["new"] == ("name",)
    every_change = analyse.analyse(facts("true", "skip", {"relation": "shop.categories"}, relation=CATEGORIES))
    assert every_change.stage == "change"
    assert refusal("doc.id = 1", "skip", {"relation": "shop.categories"}, relation=CATEGORIES).sqlstate == "VS602"
    assert "name" in refusal("new.title = 'x'", "skip", {"relation": "shop.categories"}, relation=CATEGORIES).hint


@pytest.mark.parametrize(
    ("condition", "sql"),
    [
        ("true -- why", "true"),
        ("new.id /* a /* nested */ comment */ = 1", "new.id = 1"),
        ("new.id=1--x\nand new.id<2", "new.id=1 and new.id<2"),
        ("new.title = '--' or new.title = '/* x */'", "new.title = '--' or new.title = '/* x */'"),
        ("new.title = 'a'\n'b'", "new.title = 'a'\n'b'"),
        ("vsync.changed(new, old, 'price')", "(new.price is distinct from old.price)"),
        (
            "not VSYNC.Changed(old, new, 'title', 'Odd Name') and true",
            'not (new.title is distinct from old.title or new."Odd Name" is distinct from old."Odd Name") and true',
        ),
        (
            "vsync.changed(new, old, 'raw', 'home')",
            "(new.raw::text is distinct from old.raw::text or new.home::text is distinct from old.home::text)",
        ),
    ],
)
def test_sql(condition: str, sql: str) -> None:
    assert analyse.analyse(facts(condition)).sql == sql


def test_changed_without_columns_compares_all() -> None:
    found = analyse.analyse(facts("vsync.changed(new, old)"))
    assert list(found.columns["new"]) == EVERY
    assert found.sql.count("is distinct from") == len(EVERY)


@pytest.mark.parametrize(
    "condition",
    [
        "new.id = 1 -- one",
        "new.id /* /* */ */ = /* 2 */ 1",
        "new.title = 'it''s' or new.title = e'it\\'s' or new.title = $a$it's$a$",
        "new.title = 'a'  -- first\n   'b'",
        "1 = 1--1\n-1 is null",
        "new.id between 1 and 3 and not new.id in (2)",
        "vsync.changed(new, old, 'title')",
    ],
)
def test_what_is_stored_says_the_same(db: Connection[Any], condition: str) -> None:
    rows = "(values (1, 'a'), (2, 'b'), (3, 'it''s'), (4, 'ab')) as new (id, title), (values ('a')) as old (title)"
    stored = analyse.analyse(facts(condition)).sql
    written = condition.replace("vsync.changed(new, old, 'title')", "new.title <> old.title")
    both = [
        db.execute(f"select new.id from {rows} where ({text}\n) order by 1".encode()).fetchall()
        for text in (written, stored)
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "  -- nothing",
        "true; drop table shop.products",
        "true;",
        "true) or (true",
        "true, true",
        "(true",
        "[1",
        "(1]",
        "new.id = $1",
        "new.id = :x",
        "new.id = ?",
        "exists (select 1)",
        "new.id in (select 1)",
        "(table shop.products) is null",
        "(values (true))",
        "array(select 1) = '{1}'",
        "select true",
        "count(*) > 1",
        "string_agg(new.title, ',') = 'x'",
        "rank() over () > 1",
        "unnest(array[true])",
        "generate_series(1, 2) = 1",
        "true 'unterminated",
        "true /* unterminated",
        'new."unterminated = 1',
        "$a$ = 'a'",
        'U&"ne\\0077".id = 1',
        "new.title = U&'\\0041'",
        "delete from shop.products",
        "copy shop.products to program 'id'",
        "@ new.price > 3",
        "new.id =",
        "vsync.changed(new, old, title)",
        "vsync.changed(new, 'title')",
        "vsync.changed(new, old, 'title'",
        "(" * 1001 + "true" + ")" * 1001,
        "true" + " and true" * 20_000,
    ],
)
def test_refused(condition: str) -> None:
    assert refusal(condition).sqlstate == "VS601"


@pytest.mark.parametrize(
    ("condition", "hint"),
    [
        ("price > 3", "new.price"),
        ("new.prise > 3", 'Did you mean "price"?'),
        ("doc.title = 'x'", "There are id, content, price."),
        ("last.embedded = now()", 'Did you mean "embedded_at"?'),
        ("change.opp = 'insert'", 'Did you mean "op"?'),
        ("new.xmin is null", "There are"),
        ("products.price > 3", "old, new, doc, last, change"),
        ("shop.products.price > 3", "(new.column).field"),
        ("new.data.city = 'x'", "(new.column).field"),
        ("vsync.changed(new, old, 'prise')", 'Did you mean "price"?'),
        ("old.price <> doc.price", "compare doc with last"),
        ("change.op = 'insert' and last.content is null", "compare doc with last"),
    ],
)
def test_names(condition: str, hint: str) -> None:
    found = refusal(condition)
    assert found.sqlstate == "VS602"
    assert hint in found.hint


@pytest.mark.parametrize(
    ("condition", "action", "params"),
    [
        ("old.price > 1", "exclude", {}),
        ("last.price > 1", "exclude", {}),
        ("change.op = 'insert'", "exclude", {}),
        ("old.price > 1", "refresh", {}),
        ("change.op = 'insert'", "refresh", {}),
        ("doc.price > 1", "hold", {"over": 1}),
    ],
)
def test_names_by_action(condition: str, action: str, params: dict[str, Any]) -> None:
    assert refusal(condition, action, params).sqlstate == "VS602"


@pytest.mark.parametrize(
    ("action", "params", "words"),
    [
        ("skipp", {}, "Actions are"),
        ("skip", {"until": "18:00"}, "unknown skip option"),
        ("defer", {}, "one of for, until, cron"),
        ("defer", {"for": "1 hour", "until": "18:00"}, "one of for, until, cron"),
        ("defer", {"untill": "18:00"}, 'Did you mean "until"?'),
        ("defer", {"until": "25:00"}, "params.until"),
        ("defer", {"until": 18}, "params.until"),
        ("defer", {"until": "9:00"}, "params.until"),
        ("defer", {"cron": "* * *"}, "params.cron"),
        ("defer", {"cron": "61 * * * *"}, "params.cron"),
        ("defer", {"cron": "0 18 * * *", "timezone": "Mars/Phobos"}, "params.timezone"),
        ("defer", {"cron": "0 18 * * *", "timezone": "../../etc/passwd"}, "params.timezone"),
        ("defer", {"for": "1 hour", "timezone": "Europe/Berlin"}, "timezone is for until and cron"),
        ("defer", {"for": None}, "params.for"),
        ("prioritize", {}, "one of priority, expression"),
        ("prioritize", {"priority": "10"}, "params.priority"),
        ("prioritize", {"priority": True}, "params.priority"),
        ("hold", {"over": -1}, "params.over"),
        ("hold", {"over": 1.5}, "params.over"),
        ("hold", {"on_error": "skip"}, "params.on_error"),
        ("exclude", {"on_error": "hold"}, "unknown exclude option"),
        ("exclude", {"relation": "shop.products"}, "unknown exclude option"),
        ("refresh", {"every": "1 day", "cron": "0 18 * * *"}, "not both"),
        ("refresh", {"force": "yes"}, "params.force"),
        ("skip", {"subqueries": "true"}, "params.subqueries"),
        ("skip", {"relation": ["shop.products"]}, "params.relation"),
    ],
)
def test_params(action: str, params: dict[str, Any], words: str) -> None:
    found = refusal("true", action, params)
    assert found.sqlstate == "VS001"
    assert words in " ".join(found.as_json().values())


def test_expression_is_held_to_the_same() -> None:
    assert "params.expression" in refusal("true", "prioritize", {"expression": "1; drop table x"}).message
    assert refusal("true", "prioritize", {"expression": "(select 1)"}).sqlstate == "VS601"
    assert refusal("old.id = 1", "prioritize", {"expression": "doc.price"}).sqlstate == "VS602"
    found = analyse.analyse(facts("doc.id > 1", "prioritize", {"expression": "doc.price /* euro */ * 2"}))
    assert found.expression == "doc.price * 2"
    assert found.columns["doc"] == ("id", "price")


def test_subqueries_where_asked_for() -> None:
    condition = "exists (select from shop.vip as v where v.product = new.id and v.level > 2 order by v.x nulls last)"
    assert refusal(condition).hint.startswith("Set params.subqueries")
    found = analyse.analyse(facts(condition, "skip", {"subqueries": True}))
    assert found.columns == {name: ("id",) if name == "new" else () for name in NONE}
    counted = analyse.analyse(facts("(select count(*) from shop.vip) > 3", "skip", {"subqueries": True}))
    assert counted.stage == "document"
    assert refusal("exists (select from shop.vip for update)", "skip", {"subqueries": True}).sqlstate == "VS601"


def test_wrapper(db: Connection[Any]) -> None:
    def asked(condition: str) -> Any:
        query = "select vsync_internal.analyse_rule(%s)"
        row = db.execute(query, [json.dumps(facts(condition))]).fetchone()
        assert row is not None
        return row[0]

    found = asked("new.price < 5")["rule"]
    assert found == {
        "stage": "change",
        "sql": "new.price < 5",
        "expression": None,
        "columns": {**NONE, "new": ["price"]},
    }
    assert asked("new.prise < 5")["error"]["sqlstate"] == "VS602"
