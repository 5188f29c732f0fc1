"""What rules would do and what they did: preview, explain_row, decisions, and what a dump takes along."""

import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shop import Connection, declare, open_shop, refused, rows, run, value
from vsync_admin.cluster import Cluster

_DOCUMENT = """select p.id, p.title as content, p.price, c.name as category
    from shop.products as p left join shop.categories as c on c.id = p.price"""


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model)
    db.execute("create table shop.categories (id int primary key, name text)")
    db.execute("insert into shop.categories values (1, 'one')")
    db.execute("alter table shop.products add price int; update shop.products set price = id")
    declare(db, document=_DOCUMENT)
    work(db)
    return db


def work(db: Connection) -> None:
    db.execute("call vsync.work()")


def create(db: Connection, name: str, condition: str, action: str = "skip", params: str = "{}", **more: Any) -> None:
    named = "".join(f", {option} => %s" for option in more)
    call = f"select vsync.create_rule(%s, 'catalog', %s, %s, %s{named})"
    run(db, call, name, condition, action, params, *more.values())


def preview(db: Connection, condition: str, action: str, params: str = "{}") -> tuple[Any, ...]:
    return rows(db, "select * from vsync.preview_rule('catalog', %s, %s, %s)", condition, action, params)[0]


def everything(db: Connection) -> list[Any]:
    tables = "rules", "rule_revisions", "rule_turns", "marks", "pages", "log", "decided", "rule_stats", "feeds"
    return [rows(db, f"select * from vsync_internal.{table} order by 1, 2") for table in tables]


def test_a_preview_counts_samples_and_prices_and_changes_nothing(shop: Connection) -> None:
    shop.execute("update shop.products set title = title || '!!' where id = 1")
    before = everything(shop)
    documents, matching, sample, texts, tokens, summary = preview(shop, "doc.price < 3", "skip")
    assert (documents, matching, sample, texts, tokens) == (3, 2, [{"id": 1}, {"id": 2}], 1, 3)
    assert "2 of 3 documents" in summary
    assert "not be sent at all" in summary
    assert preview(shop, "doc.price < 3", "refresh", '{"force": true}')[3] == 2
    assert preview(shop, "new.price = 2", "exclude")[1:3] == (1, [{"id": 2}])
    assert preview(shop, "new.price = 2 and old.price = 2 and change.op = 'update'", "hold")[1] == 1
    assert preview(shop, "last.content like '%!!'", "skip")[1] == 0
    assert preview(shop, "doc.category = 'one'", "prioritize", '{"priority": 3}')[1] == 1
    assert preview(shop, "new.name <> ''", "hold", '{"relation": "shop.categories"}')[1] == 1
    assert everything(shop) == before
    assert value(shop, "show timezone") == value(shop, "select reset_val from pg_settings where name = 'TimeZone'")


def test_a_preview_of_a_rule_on_a_dependency_tells_the_documents(shop: Connection) -> None:
    shop.execute("insert into shop.categories values (2, 'two'), (7, 'empty')")
    shop.execute("insert into shop.products values (4, 'product 4', 'x', 'a', 1)")
    work(shop)
    shop.execute("update shop.products set title = 'longer title' where id = 4")
    on_categories = '{"relation": "shop.categories"}'
    documents, matching, sample, texts, tokens, summary = preview(shop, "new.name <> 'two'", "skip", on_categories)
    assert (documents, matching, sample, texts, tokens) == (4, 2, [{"id": 1}, {"id": 4}], 1, 3)
    assert summary.startswith("holds for 2 rows of shop.categories, which lead to 2 of 4 documents; 1 of their texts")
    assert preview(shop, "old.name = new.name and change.op = 'update'", "hold", on_categories)[1] == 3
    assert preview(shop, "new.id > 5", "skip", on_categories)[:3] == (4, 0, [])
    first = '{"relation": "shop.categories", "expression": "nullif(new.id, 1)"}'
    assert preview(shop, "true", "prioritize", first)[1:3] == (1, [{"id": 2}])
    over = '{"relation": "shop.categories", "over": 100}'
    assert preview(shop, "true", "hold", over)[5].endswith("only of a change that leads to more than 100 documents")
    assert "before a yes, about 3 tokens; only of" in preview(shop, "true", "hold", '{"over": 100}')[5]


def test_a_preview_refuses_what_creation_refuses(shop: Connection) -> None:
    refused(lambda: preview(shop, "random() < 1", "skip"), "VS601")
    refused(lambda: preview(shop, "doc.prize < 1", "skip"), "VS602")
    refused(lambda: preview(shop, "doc.price < 1", "hop"), "VS001")


def test_explain_row_names_each_rule_with_its_revision_and_who_was_overruled(shop: Connection) -> None:
    create(shop, "later", "doc.price < 3", "defer", '{"for": "1 hour"}', priority=2)
    create(shop, "never", "true")
    create(shop, "eu", "doc.price = 2", "exclude")
    shop.execute("select vsync.alter_rule('later', condition => 'doc.price < 2')")
    work(shop)
    shop.execute("update shop.products set title = 'x'")
    work(shop)
    said = "select state, reason, excluded, rules from vsync.explain_row('catalog', %s)"
    state, reason, excluded, rules = rows(shop, said, "1")[0]
    assert (state, excluded) == ("held", False)
    assert "rule later, revision 2 (doc.price < 2), defers it until" in reason
    assert [(rule["rule"], rule["revision"], rule["verdict"]) for rule in rules] == [
        ("later", 2, "defer"),
        ("never", 1, "overruled"),
    ]
    assert rules[1]["condition"] == "true"
    state, reason, excluded, _ = rows(shop, said, "2")[0]
    assert (state, excluded) == ("held", True)
    assert "excludes it" in reason
    assert rows(shop, said, "3")[0][:1] == ("held",)


def test_past_decisions_are_explained_with_the_rule_of_then_and_forgotten_in_time(shop: Connection) -> None:
    create(shop, "never", "doc.price > 0")
    work(shop)
    shop.execute("update shop.products set title = 'x' where id = 1")
    work(shop)
    shop.execute("select vsync.alter_rule('never', condition => 'doc.price > 100')")
    shop.execute("select vsync.drop_rule('never')")
    past = "select rule, revision, condition, key from vsync.decisions"
    assert rows(shop, past) == [("never", 1, "doc.price > 0", {"id": 1})]
    shop.execute("update vsync_internal.decided set at = at - interval '23 hours'")
    work(shop)
    assert len(rows(shop, past)) == 1
    shop.execute("update vsync_internal.decided set at = at - interval '2 hours'")
    work(shop)
    assert rows(shop, past) == []
    shop.execute("select vsync.configure('decisions_hours', '0')")
    create(shop, "never", "doc.price > 0")
    shop.execute("update shop.products set title = 'y'")
    work(shop)
    assert rows(shop, past) == []
    assert value(shop, "select matched from vsync.stat_rules") > 0


def test_a_dump_takes_rules_and_what_they_hide_along(shop: Connection, cluster: Cluster) -> None:
    create(shop, "eu", "doc.price = 2", "exclude")
    create(shop, "small", "abs(new.price - old.price) < 2", priority=4, valid_until="2999-01-01")
    create(shop, "big", "true", "hold", '{"relation": "shop.categories", "over": 5}')
    shop.execute("select vsync.disable_rule('small')")
    columns = "name, condition, action, params, priority, valid_until, enabled, stage, relation::text, revision"
    before = rows(shop, f"select {columns} from vsync.rules order by name")
    history = rows(shop, "select name, revision, change from vsync.rule_history order by 1, 2")
    programs = cluster.server.bindir
    source = shop.info.dbname
    place = ["-h", str(cluster.directory), "-p", str(shop.info.port), "-U", "postgres"]
    dump = subprocess.run([programs / "pg_dump", *place, "-Fc", source], capture_output=True, check=True).stdout
    shop.execute("create database restored")
    try:
        restore = [programs / "pg_restore", *place, "-d", "restored", "--exit-on-error"]
        subprocess.run(restore, input=dump, check=True, capture_output=True)
        with psycopg.connect(cluster.dsn("restored"), autocommit=True) as restored:
            assert rows(restored, f"select {columns} from vsync.rules order by name") == before
            assert rows(restored, "select name, revision, change from vsync.rule_history order by 1, 2") == history
            assert rows(restored, "select id from shop.catalog order by id") == [(1,), (3,)]
            restored.execute("call vsync.work()")
            restored.execute("update shop.products set title = 'changed', price = 2 where id = 3")
            assert rows(restored, "select id from shop.catalog order by id") == [(1,)]
            create(restored, "next", "true")
    finally:
        shop.execute("drop database restored")
