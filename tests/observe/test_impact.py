"""explain_impact says which documents a change to a row would touch, and at what cost, and changes nothing."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shop import Connection, declare, refused, register, rows, run, value

TABLES = """
create schema shop;
create table shop.countries (code text primary key, title text);
create table shop.brands (id int primary key, name text, country text references shop.countries);
create table shop.categories (id int primary key, name text, parent int references shop.categories);
create table shop.products (id int primary key, title text, brand int references shop.brands,
    category int references shop.categories, also_in int references shop.categories);
create table shop.reviews (id int primary key, product int references shop.products, body text);
create table shop.tags (product int, tag text, primary key (product, tag));
create table shop.alone (id int primary key);
create table shop.heap (product int, body text);
insert into shop.countries values ('de', 'Germany'), ('it', 'Italy');
insert into shop.brands select i, 'brand ' || i, case when i < 3 then 'de' else 'it' end from generate_series(1, 4) i;
insert into shop.categories select i, 'category ' || i, nullif(i / 2, 0) from generate_series(1, 6) as i;
insert into shop.products
select i, 'product ' || i, i % 4 + 1, i % 5 + 1, (i + 1) % 5 + 1 from generate_series(1, 40) as i;
insert into shop.reviews select i, i % 10 + 1, 'review ' || i from generate_series(1, 30) as i;
insert into shop.tags select i % 10 + 1, 'tag ' || i % 3 from generate_series(1, 30) as i;
"""
DOCUMENT = """
select p.id, p.title || b.name || c.title || coalesce(k.name, '') || coalesce(a.name, '') || coalesce((
    select string_agg(r.body, ' ' order by r.id) from shop.reviews r where r.product = p.id), '') || coalesce((
    select string_agg(t.tag, ' ' order by t.tag) from shop.tags t where t.product = p.id), '') as content
from shop.products p
join shop.brands b on b.id = p.brand
join shop.countries c on c.code = b.country
left join shop.categories k on k.id = p.category
left join shop.categories a on a.id = p.also_in
"""
VSYNC = [sys.executable, "-c", "from vsync_admin.cli import app; app()"]
IMPACT = "select embedding, version, role, documents, texts, tokens, seconds, sample from vsync.explain_impact(%s, %s)"


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    register(db, tiny_model)
    run(db, TABLES)
    declare(db, document=DOCUMENT)
    db.execute("call vsync.work()")
    return db


def impact(db: Connection, relation: str, key: str) -> list[tuple[Any, ...]]:
    return rows(db, "select role, documents from vsync.explain_impact(%s, %s) order by embedding", relation, key)


# a change that has every document of the row rendered anew, and no other
TOUCHED = {
    ("shop.products", "7"): ("update shop.products set title = title || '!' where id = 7", "root"),
    ("shop.brands", "2"): ("update shop.brands set name = name || '!' where id = 2", "b"),
    ("shop.countries", '"it"'): ("update shop.countries set title = title || '!' where code = 'it'", "c"),
    ("shop.categories", "3"): ("update shop.categories set name = name || '!' where id = 3", "k, a"),
    ("shop.reviews", '{"id": 12}'): ("update shop.reviews set body = body || '!' where id = 12", "r"),
    ("shop.tags", '{"product": 4, "tag": "tag 0"}'): (
        "update shop.tags set tag = tag || '!' where product = 4 and tag = 'tag 0'",
        "t",
    ),
}


@pytest.mark.parametrize(("relation", "key"), TOUCHED)
def test_it_tells_exactly_the_documents_that_a_change_then_touches(shop: Connection, relation: str, key: str) -> None:
    statement, role = TOUCHED[relation, key]
    ((name, version, told, documents, texts, tokens, seconds, sample),) = rows(shop, IMPACT, relation, key)
    assert (name, version, told) == ("catalog", 1, role)
    assert value(shop, "select count(*) from vsync_internal.log where not pg_visible_in_snapshot(xid, "
                 "(select snapshot from vsync_internal.fold_state))") == 0  # fmt: skip
    before = value(shop, "select embedded_total from vsync.stat_embeddings")
    run(shop, statement)
    query = "select count(*) from vsync.audit('catalog') where stale = %s and missing + extra + mixed = 0"
    assert value(shop, query, documents) == 1
    shop.execute("call vsync.work()")
    touched = [
        row for (row,) in rows(shop, "select id from vsync_data.catalog_v1 where content like '%!%' order by id")
    ]
    assert len(touched) == documents
    assert {row["id"] for row in sample} <= set(touched)
    assert len(sample) == min(documents, 10)
    assert value(shop, "select embedded_total from vsync.stat_embeddings") - before <= texts == documents
    assert documents * 5 < tokens < documents * 100
    assert seconds > 0


def test_chunks_and_their_texts_are_counted(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    run(db, TABLES)
    run(db, "update shop.products set title = repeat('some words ', 20)")
    declare(db, document="select id, title as content from shop.products", chunk='{"tokens": 50}')
    ((*_, documents, texts, tokens, seconds, _),) = rows(db, IMPACT, "shop.products", "1")
    assert (documents, texts, tokens, seconds) == (1, 1, None, None)
    db.execute("call vsync.work()")
    chunks = value(db, "select count(*) from vsync_data.catalog_v1 where id = 1")
    ((*_, documents, texts, tokens, seconds, _),) = rows(db, IMPACT, "shop.products", "1")
    assert chunks > 3
    assert (documents, texts) == (1, chunks)
    assert 50 <= tokens <= 60
    assert seconds > 0


def test_every_embedding_that_reads_the_table_has_a_row(shop: Connection) -> None:
    declare(shop, "brands_search", "select id, name as content from shop.brands")
    declare(shop, "by_hand", "select id, name as content from shop.brands where id < 3", capture="manual")
    assert impact(shop, "shop.brands", "4") == [("root", 1), ("root", 1), ("b", 10)]


def test_a_row_that_is_not_there_touches_nothing(shop: Connection) -> None:
    assert impact(shop, "shop.brands", "77") == [("b", 0)]
    assert impact(shop, "shop.products", "77") == [("root", 0)]
    assert rows(shop, IMPACT, "shop.brands", "77")[0][3:] == (0, 0, 0, 0, [])


def test_a_row_that_leads_nowhere_touches_nothing(shop: Connection) -> None:
    shop.execute(
        "insert into shop.reviews values (100, null, 'of nothing'); insert into shop.categories values (9, 'x')"
    )
    assert impact(shop, "shop.reviews", "100") == [("r", 0)]
    assert impact(shop, "shop.categories", "9") == [("k, a", 0)]


def test_a_table_that_no_document_reads_has_no_rows(shop: Connection) -> None:
    assert impact(shop, "shop.alone", "1") == []
    assert impact(shop, "shop.heap", "1") == []


def test_a_table_without_a_primary_key_and_a_key_that_does_not_fit_are_refused(shop: Connection) -> None:
    joined = "select string_agg(h.body, ' ' order by h.body) from shop.heap h where h.product = p.id"
    declare(shop, "of_heap", f"select p.id, p.title || coalesce(({joined}), '') as content from shop.products p")
    report = refused(lambda: impact(shop, "shop.heap", "1"), "VS304")
    assert report.message_hint == "alter table shop.heap add primary key (…)"
    for key in ('"x"', '{"no": 1}', "[1]", "null", '{"id": null}'):
        refused(lambda key=key: impact(shop, "shop.brands", key), "VS304")


def test_a_partition_stands_for_its_table(shop: Connection) -> None:
    run(shop, "create table shop.parted (id int primary key, title text) partition by range (id)")
    run(shop, "create table shop.part partition of shop.parted for values from (0) to (100)")
    run(shop, "insert into shop.parted values (1, 'one')")
    declare(shop, "parts", "select id, title as content from shop.parted")
    assert impact(shop, "shop.part", "1") == impact(shop, "shop.parted", "1") == [("root", 1)]


def test_renamed_tables_and_columns_are_followed(shop: Connection) -> None:
    run(shop, "alter table shop.reviews rename column id to number; alter table shop.reviews rename to opinions")
    assert impact(shop, "shop.opinions", '{"number": 12}') == [("r", 1)]


def test_an_operator_asks_without_a_right_on_the_tables(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    role = make_role("vsync_operator")
    run(shop, f"grant usage on schema shop to {role}")
    operator = connect(user=role)
    assert impact(operator, "shop.brands", "2") == [("b", 10)]


def test_the_command_takes_a_key_as_json_or_as_text(shop: Connection, dsn: str) -> None:
    for key in ("it", '"it"', '{"code": "it"}'):
        status, (row,) = impact_command(dsn, "shop.countries", key)
        assert (status, row["embedding"], row["documents"]) == (0, "catalog", 20)
    assert len(row["sample"]) == 10
    assert impact_command(dsn, "shop.alone", "1") == (0, [])
    assert impact_command(dsn, "shop.brands", "x") == (1, [])
    assert impact_command(dsn, "shop.nothing", "1") == (1, [])


def impact_command(dsn: str, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    command = [*VSYNC, "impact", *arguments, "-d", dsn, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else []
