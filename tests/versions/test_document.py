"""A document query: what is accepted and understood, and what is refused with a place and a hint."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from vsync_engine.documents import analyse as documents
from vsync_engine.documents import source_check
from vsync_engine.documents.analyse import Document
from vsync_engine.foundation import sql_lexer
from vsync_engine.foundation.errors import EngineError

Connection = psycopg.Connection[tuple[Any, ...]]
Analyse = Callable[[str], Document]

TABLES = (Path(__file__).parent / "document_tables.sql").read_text(encoding="utf-8")

# an expression over shop.products, and the columns it reads beside the key
EXPRESSIONS = {
    "title": "title",
    "title || ' ' || coalesce(body, '')": "title body",
    "p.title || p.body": "title body",
    "title::varchar(3)::text": "title",
    "cast(stock as text)": "stock",
    "stock::numeric(10, 2)::text": "stock",
    "case when stock > 3 then title else body end": "title body stock",
    "case stock when 1 then title when 2 then name end": "title name stock",
    "coalesce(title, body, name, 'none')": "title body name",
    "nullif(title, body)": "title body",
    "greatest(title, body, 'x')": "title body",
    "concat(title, stock, price)": "title stock price",
    "concat_ws(' ', title, body)": "title body",
    "format('%s %I', title, body)": "title body",
    "array_to_string(tags, ', ')": "tags",
    "array_to_string(array[title, body] || tags, ',')": "title body tags",
    "tags[1] || array_length(tags, 1)": "tags",
    "tags[1:2]::text": "tags",
    "tags[1:stock]::text": "stock tags",
    "(stock = any (array[1, 2]))::text": "stock",
    "(title in ('a', 'b'))::text": "title",
    "(title like 'x%' escape '#')::text": "title",
    "(title ~* 'x')::text": "title",
    "(title between symmetric 'a' and 'b')::text": "title",
    "(title is distinct from body)::text": "title body",
    "(published is not unknown)::text": "published",
    "info ->> 'a'": "info",
    "info -> 'a' ->> 'b'": "info",
    "info #>> '{a,b}'": "info",
    "(info ? 'a')::text": "info",
    "(info ?| array['a'])::text": "info",
    "(info @> '{\"a\": 1}')::text": "info",
    "(info @? '$.a')::text": "info",
    "info['a']::text": "info",
    "jsonb_path_query_first(info, '$.a')::text": "info",
    "jsonb_build_object('a', title, 'b', price)::text": "title price",
    "(address).city": "address",
    "(p.address).city || (p.address).zip": "address",
    "address::text": "address",
    "mood::text": "mood",
    "short": "short",
    'p."Mixed Name" || "end" || "user"': "Mixed Name|end|user",
    'upper("say ""hi""")': 'say "hi"',
    "extract(year from changed)::text": "changed",
    "to_char(changed, 'YYYY-MM')": "changed",
    "(changed at time zone 'utc')::text": "changed",
    "date_trunc('day', changed)::text": "changed",
    "(changed + interval '1 day')::text": "changed",
    "age(changed, '2020-01-01'::timestamptz)::text": "changed",
    "day::text": "day",
    "('2020-01-01'::date - day)::text": "day",
    "substring(title from 2 for 3)": "title",
    "overlay(title placing 'x' from 2 for 1)": "title",
    "trim(both 'x' from title)": "title",
    "position('x' in title)::text": "title",
    "(title is nfc normalized)::text": "title",
    'title collate "C"': "title",
    "regexp_replace(title, 'x', 'y', 'g')": "title",
    "encode(picture, 'hex')": "picture",
    "(page is document)::text": "page",
    "xmlelement(name foo, xmlattributes(title as bar), body)::text": "title body",
    "headline": "headline",
    "shop.slug(title)": "title",
    "shop.slug(suffix => body, value => title)": "title body",
    "shop.every(variadic tags)": "tags",
    "shop.looked_up(title)": "title",
    "(title operator(shop.===) body)::text": "title body",
    "to_tsvector('english', title)::text": "title",
    "ts_headline('english', title, to_tsquery('english', 'x'))": "title",
    "(search @@ to_tsquery('simple', 'x'))::text": "search",
    "pg_typeof(title)::text": "title",
    "row(title, body)::text": "title body",
    "((title, body) = (body, title))::text": "title body",
    "E'it\\'s; ' || title": "title",
    "$$; drop table x; $$ || title": "title",
    "title /* ; a comment /* nested */ ; */": "title",
    "'2020-01-01 10:00'::timestamptz::text || title": "title",
    "'constant'": "",
}

WHOLE_ROWS = ("p::text", "p.*::text", "to_jsonb(p)::text", "jsonb_build_object('row', p)::text", "(p is null)::text")


@pytest.fixture
def analyse(db: Connection) -> Analyse:
    """Check a query, store it as a view, and analyse what the catalog says about it."""
    db.execute(TABLES.encode())

    def run(query: str) -> Document:
        source_check.check(query)
        db.execute("drop view if exists shop.document")
        db.execute(sql.SQL("create view shop.document as {}").format(sql.SQL(query)))  # type: ignore[arg-type]
        row = db.execute("select vsync_internal.document_catalog('shop.document')").fetchone()
        assert row is not None
        return documents.analyse(row[0])

    return run


def refusal(act: Callable[[], object]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        act()
    error = caught.value
    assert error.detail
    assert error.hint
    assert error.message[:1].islower() or error.message[:1] == '"'
    assert not error.message.endswith(".")
    assert error.detail.endswith((".", "…", ")")) or "In the stored query" in error.detail
    return error


# ---------------------------------------------------------------- what is understood


def test_columns_of_every_kind_of_expression_are_found(analyse: Analyse) -> None:
    found = {}
    for expression in EXPRESSIONS:
        understood = analyse(f"select p.id, {expression} as content from shop.products p")
        assert not understood.whole_row
        found[expression] = set(understood.columns)
    expected = {
        expression: {"id", *(columns.split("|") if "|" in columns or '"' in columns else columns.split())}
        for expression, columns in EXPRESSIONS.items()
    }
    assert found == expected


def test_whole_row_reads_every_column(analyse: Analyse, db: Connection) -> None:
    query = (
        "select array_agg(attname::text order by attnum) from pg_attribute where attrelid = 'shop.products'::regclass"
    )
    every = db.execute(f"{query} and attnum > 0").fetchone()
    for expression in WHOLE_ROWS:
        understood = analyse(f"select p.id, {expression} as content from shop.products as p")
        assert understood.whole_row, expression
        assert every == (list(understood.columns),), expression


def test_star_reads_every_column_by_name(analyse: Analyse) -> None:
    understood = analyse("select t.*, t.body as content from shop.typed t")
    assert understood.columns == ("id", "body")
    assert not understood.whole_row
    assert [extra.output for extra in understood.extra] == ["body"]


def test_document_has_the_facts_of_root_key_content_and_extra(analyse: Analyse, db: Connection) -> None:
    understood = analyse("select id as product, name as content, price, mood from shop.products where published")
    oid = db.execute("select 'shop.products'::regclass::oid::bigint").fetchone()
    assert understood.as_json() == {
        "root_oid": oid[0] if oid else None,
        "root_schema": "shop",
        "root_name": "products",
        "keys": [{"column": "id", "output": "product", "type": "bigint", "builtin": True, "collation": None}],
        "columns": ["id", "name", "published", "price", "mood"],
        "whole_row": False,
        "generated": {},
        "content_type": "character varying(40)",
        "extra": [{"output": "price", "type": "numeric(10,2)"}, {"output": "mood", "type": "shop.mood"}],
        "where": True,
        "dependencies": [],
        "warnings": [],
    }
    assert json.loads(json.dumps(understood.as_json())) == understood.as_json()


def test_composite_key_is_in_key_order_with_types_and_collation(analyse: Analyse) -> None:
    understood = analyse('select part, tenant as t, body as content, "Key" from shop.pairs')
    assert [(key.column, key.output, key.type, key.builtin, key.collation) for key in understood.keys] == [
        ("Key", "Key", "text", True, 'pg_catalog."C"'),
        ("tenant", "t", "uuid", True, None),
        ("part", "part", "numeric(6,2)", True, None),
    ]
    assert understood.extra == ()


@pytest.mark.parametrize(
    ("table", "kind", "builtin"),
    [
        ("typed", "bigint", True),
        ("moods", "shop.mood", False),
        ("periods", "int4range", True),
        ("paths", "text[]", True),
    ],
)
def test_key_types(analyse: Analyse, table: str, kind: str, builtin: bool) -> None:
    (key,) = analyse(f"select id, body as content from shop.{table}").keys
    assert (key.type, key.builtin) == (kind, builtin)


def test_names_that_need_quotes(analyse: Analyse) -> None:
    query = 'select x."Id" as "the key", x."The Text" || x."drop" as content from "Odd Schema"."Odd Table" as x'
    understood = analyse(query)
    assert (understood.root_schema, understood.root_name) == ("Odd Schema", "Odd Table")
    assert understood.keys[0].output == "the key"
    assert understood.columns == ("Id", "The Text", "drop")


def test_column_aliases_of_the_table_are_followed(analyse: Analyse) -> None:
    understood = analyse("select k, d, words as content from shop.events as e(k, d, words) where d is not null")
    assert [(key.column, key.output) for key in understood.keys] == [("day", "d"), ("id", "k")]
    assert understood.columns == ("id", "day", "body")


def test_partitioned_root(analyse: Analyse) -> None:
    understood = analyse("select day, id, body as content from shop.events")
    assert [key.column for key in understood.keys] == ["day", "id"]
    assert understood.root_name == "events"


def test_root_found_by_search_path(analyse: Analyse, db: Connection) -> None:
    db.execute("set search_path = shop")
    understood = analyse("select id, body as content from products")
    assert (understood.root_schema, understood.root_name) == ("shop", "products")


def test_generated_column_counts_and_its_base_columns_are_recorded(analyse: Analyse) -> None:
    understood = analyse("select id, headline as content from shop.products")
    assert understood.columns == ("id", "headline")
    assert understood.generated == {"headline": ("body", "title")}


def test_content_types(analyse: Analyse) -> None:
    found = {
        expression: analyse(f"select id, {expression} as content from shop.products").content_type
        for expression in ("title", "code", "name", "short", "title || name")
    }
    assert found == {
        "title": "text",
        "code": "character(8)",
        "name": "character varying(40)",
        "short": "character varying(40)",
        "title || name": "text",
    }


def test_citext_is_text(analyse: Analyse, db: Connection) -> None:
    db.execute("create extension citext schema shop")
    assert analyse("select id, title::shop.citext as content from shop.products").content_type == "shop.citext"


def test_where(analyse: Analyse) -> None:
    found = {
        condition: analyse(f"select id, title as content from shop.products {condition}")
        for condition in ("", "where true", "where lower(name) = 'x' and (published or stock > 3)")
    }
    assert [understood.where for understood in found.values()] == [False, True, True]
    assert list(found.values())[2].columns == ("id", "title", "name", "published", "stock")


def test_key_selected_twice_uses_the_name_that_is_free(analyse: Analyse) -> None:
    understood = analyse("select version, version as number, body as content from shop.reserved")
    assert understood.keys[0].output == "number"
    assert [extra.output for extra in understood.extra] == ["version"]


def test_text_key_may_also_be_content(analyse: Analyse, db: Connection) -> None:
    db.execute("create table shop.words_of (word text primary key)")
    understood = analyse("select word, word as content from shop.words_of")
    assert (understood.keys[0].output, understood.columns) == ("word", ("word",))


def test_order_by_and_a_last_semicolon_are_let_through(analyse: Analyse) -> None:
    assert analyse("select id, title as content from shop.products order by title;").where is False
    assert analyse("-- first\n(select id, title as content from shop.products) ; -- last").keys


def test_long_concatenation(analyse: Analyse) -> None:
    query = f"select id, {' || '.join(['title', 'body'] * 150)} as content from shop.products"
    assert analyse(query).columns == ("id", "title", "body")


def test_warnings(analyse: Analyse) -> None:
    (stable,) = analyse("select id, shop.looked_up(title) as content from shop.products").warnings
    assert stable.startswith("shop.looked_up(text) is stable")
    (unlogged,) = analyse("select id, body as content from shop.cache").warnings
    assert "unlogged" in unlogged


def test_catalog_of_what_is_no_view_is_null(db: Connection) -> None:
    assert db.execute("select vsync_internal.document_catalog('pg_class')").fetchone() == (None,)


# ---------------------------------------------------------------- what the text alone refuses


@pytest.mark.parametrize(
    ("query", "state", "message", "detail"),
    [
        ("", "VS201", "is empty", "no statement"),
        ("  -- nothing\n/* here */ ;", "VS201", "is empty", "no statement"),
        ("insert into t values (1)", "VS201", "is not a SELECT", "line 1, column 1"),
        ("\n  update t set a = 1", "VS201", "is not a SELECT", "line 2, column 3"),
        ("values (1)", "VS201", "is not a SELECT", "line 1, column 1"),
        ("table shop.products", "VS201", "is not a SELECT", "line 1, column 1"),
        ("explain select 1", "VS201", "is not a SELECT", "line 1, column 1"),
        ("select 1; select 2", "VS201", "more than one statement", "line 1, column 11"),
        ("select 1;\ndrop table t", "VS201", "more than one statement", "line 2, column 1"),
        ("select 1; -- x\n;;\n delete from t", "VS201", "more than one statement", "line 3, column 2"),
        ("select 1 /* /* */ ; */; select 2", "VS201", "more than one statement", "column 25"),
        ("select $a$ ' $a$; drop table t; --'", "VS201", "more than one statement", "column 19"),
        ("select $a$;$b$;$a$; drop table t", "VS201", "more than one statement", "column 21"),
        ("select a$b$;drop table t;$b$", "VS201", "more than one statement", "column 13"),
        ("select E'\\'; drop table t --'; select 2", "VS201", "more than one statement", "column 32"),
        ("select 'a\\'; drop table t --'", "VS201", "more than one statement", "column 14"),
        ("select E'a'\n'\\'; select 1 --'; select 2", "VS201", "more than one statement", "line 2, column 20"),
        ("select E'a' --\n'\\'; select 1 --'; select 2", "VS201", "more than one statement", "line 2, column 20"),
        ('select U&"d\\"; drop table t --"', "VS201", "more than one statement", "column 16"),
        ('select 1 as "a"";"; select 2', "VS201", "more than one statement", "column 21"),
        ("select 1 -- x\r; select 2", "VS201", "more than one statement", "line 1, column 17"),
        ("select 'open", "VS201", "string that does not end", "line 1, column 8"),
        ("select $x$ open $X$", "VS201", "dollar-quoted string that does not end", "column 8"),
        ("select 1 /* /* open */", "VS201", "comment that does not end", "column 10"),
        ('select 1 as "open', "VS201", "quoted name that does not end", "column 13"),
        ("select (1", "VS201", "does not close a parenthesis", "at the end"),
        ("select 1) union (select 2", "VS201", "closes a parenthesis", "column 9"),
        ("select id from t where", "VS201", "cannot be parsed", "line 1, column 18"),
        ("select id,\n  title title title from t", "VS201", "cannot be parsed", "line 2, column 15"),
        ("select id into x from t", "VS201", "writes into a table", "column 11"),
        ("select substring(a for 3) from t for update", "VS201", "locks rows", "column 34"),
        ("select id from t for update", "VS201", "locks rows", "column 18"),
        ("select id from t for share", "VS201", "locks rows", "column 18"),
        ("select id from t where id = $1", "VS201", "has a placeholder", "column 29"),
        ("select id from t where id = ?", "VS201", "has a placeholder", "column 29"),
        ("select id from t where id = :id", "VS201", "has a placeholder", "column 29"),
        ("with x as (delete from t returning 1) select 1 from x", "VS201", "writes", "column 12"),
        ("select id from t union select 1", "VS203", "a set operation", "column 18"),
        ("with recursive q as (select 1) select id from q", "VS203", "a recursive query", "column 6"),
        ("with q as (delete from u returning id) select id from q", "VS201", "writes", "column 12"),
        ("select a.id\nfrom t a\nright join u on true", "VS203", "a right join", "line 3, column 1"),
        ("select a.id from t a full join u on true", "VS203", "a full join", "column 22"),
        ("select a.id from t a natural full join u", "VS203", "a full join", "column 30"),
        ("select id, (select 1 union select 2) from t", "VS203", "a set operation", "column 22"),
        ("select id from t limit 3", "VS203", "limit or offset", "column 18"),
        ("select id from t offset 3", "VS203", "limit or offset", "column 18"),
        ("select id from t fetch first 3 rows only", "VS203", "limit or offset", "column 18"),
        ("select id from t tablesample system (1)", "VS203", "tablesample", "column 18"),
        ("select 1 as id, 'x' as content", "VS203", "no root table", "line 1"),
        ("select id from generate_series(1, 2) id", "VS203", "no root table", "line 1"),
        ("select id from (values (1)) v (id)", "VS203", "no root table", "line 1"),
        ("select id, a as content, b as Content from t", "VS203", 'two outputs named "content"', "column 26"),
        (f"select {'(' * 2000}1{')' * 2000} from t", "VS203", "nested parentheses", "line 1"),
    ],
)
def test_refused_before_anything_is_stored(query: str, state: str, message: str, detail: str) -> None:
    error = refusal(lambda: source_check.check(query))
    assert (error.sqlstate, message in error.message, detail in error.detail) == (state, True, True), (
        error.message,
        error.detail,
    )


@pytest.mark.parametrize(
    "query",
    [
        "select id from t where a = 'it''s; fine'",
        "select id from t where a = E'it\\'s; fine\\\\'",
        "select id from t where a = $$;$$ and b = $q$ $$; $q$",
        'select id as "semi;colon" from t',
        "select id from t -- ; comment",
        "select id from t where j ? 'a' and j ?& array['b'] and j @? '$.a' and j @> '{}' and a <@ b",
        "select id from t where n[1:m] is null and (a <% b) and c operator(public.%>) d",
        "select a.max, a.min as count from t a",
    ],
)
def test_let_through(query: str) -> None:
    source_check.check(query)


@given(st.text(alphabet="'\"$a;\\/*-E \n", max_size=40))
def test_lexemes_cover_the_text_or_refuse_it(text: str) -> None:
    try:
        found = list(sql_lexer.lexemes(text))
    except EngineError:
        return
    assert all(text[lexeme.start : lexeme.end] == lexeme.text for lexeme in found)
    assert all(left.end <= right.start for left, right in itertools.pairwise(found))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_statements_are_counted_as_the_server_counts_them(db: Connection, count: int) -> None:
    pieces = ("E'\\'; ' || 'x\\'", "$a$;'$a$", "/* ; /* ' */ ; */ 1", "'a'\n';'", 'U&"\\0061;"', "-- ;\n 2", "1.5e3")
    for piece in pieces:
        lead = "select " + piece + (" from (select 1) s(a)" if '"' not in piece else ' from (select 1) s("a;")')
        text = "; ".join([lead] * count)
        separators = sum(lexeme.text == ";" for lexeme in sql_lexer.lexemes(text))
        cursor = db.execute(sql.SQL(text))  # type: ignore[arg-type]
        results = 1
        while cursor.nextset():
            results += 1
        assert separators + 1 == results == count, text


# ---------------------------------------------------------------- what the catalog refuses


REFUSED = [
    ("select id, body as content from shop.keyless", "VS202", "no primary key", "shop.keyless", "add primary key"),
    ("select id, body as content from shop.uniquely", "VS202", "no primary key", "shop.uniquely", "add primary key"),
    ("select id, body as content from shop.halves", "VS202", "not valid", "shop.halves", "attach partition"),
    ("select title as content from shop.products", "VS202", "does not select its key", "lacks id", "products.id"),
    ("select id + 0 as id, title as content from shop.products", "VS202", "select its key", "lacks id", "select"),
    ("select id::text as id, title as content from shop.products p", "VS202", "its key", "lacks id", "select p.id, …"),
    ('select tenant, part, body as content from shop.pairs', "VS202", "its key", 'lacks "Key"', 'pairs."Key"'),
    ("select version, body as content from shop.reserved", "VS203", '"version"', "embedding", "as reserved_version"),
    ("select id as chunk, title as content from shop.products", "VS203", '"chunk"', "token", "products.id as"),
    ("select id, title from shop.products", "VS203", '"content"', "id, title", "now called title"),
    ("select id, title, body from shop.products", "VS203", '"content"', "id, title, body", "as content"),
    ("select id, stock as content from shop.products", "VS203", "not text", "integer", "::text as content"),
    ("select id, info as content from shop.products", "VS203", "not text", "jsonb", "::text as content"),
    ("select id, mood as content from shop.products", "VS203", "not text", "shop.mood", "::text as content"),
    ("select id, tags as content from shop.products", "VS203", "not text", "text[]", "::text as content"),
    ('select id, title as "Content" from shop.products', "VS203", '"content"', '"Content"', "as content"),
    ("select id, body as content from shop.copied", "VS203", "a materialized view", "shop.copied", "table"),
    ("select id, body as content from shop.elsewhere", "VS203", "a foreign table", "shop.elsewhere", "copy"),
    ("select id, body as content from shop.mixed", "VS203", "foreign partition", "shop.mixed", "detach"),
    ("select id, body as content from shop.parents", "VS203", "an inheritance parent", "shop.parents", "partitions"),
    ("select id, body as content from shop.children", "VS203", "an inheritance child", "shop.children", "shop.parents"),
    ("select id, day, body as content from shop.events_2024", "VS203", "a partition", "events_2024", "shop.events,"),
    ("select id, day, body as content from only shop.events", "VS203", "without its", "shop.events", "ONLY"),
    ("select last_value as id, 'x' as content from shop.numbers", "VS203", "a sequence", "shop.numbers", "table"),
    ("select oid as id, relname::text as content from pg_class", "VS203", "a catalog table", "pg_class", "Copy"),
    ("select id, ctid::text as content from shop.products", "VS203", "a system column", "ctid", "columns"),
    ("select id, p.xmin::text as content from shop.products p", "VS203", "a system column", "xmin", "columns"),
    ("select id, shop.words(title) as content from shop.products", "VS203", "set-returning", "shop.words", "one row"),
    ("select id, unnest(tags) as content from shop.products", "VS203", "set-returning", "unnest", "one row"),
    ("select 1 as id, shop.last_text(title) as content from shop.products", "VS203", "aggregate", "stored", "group by"),
    ("select id, random()::text as content from shop.products", "VS204", "volatile", "random()", "column"),
    ("select id, clock_timestamp()::text as content from shop.products", "VS204", "volatile", "clock_t", "column"),
    ("select id, gen_random_uuid()::text as content from shop.products", "VS204", "volatile", "uuid()", "column"),
    ("select id, nextval('shop.numbers')::text as content from shop.products", "VS204", "volatile", "next", "column"),
    ("select id, shop.unmarked(title) as content from shop.products", "VS204", "volatile", "as shop.unmarked(",
     "alter function shop.unmarked(text) immutable;"),
    ("select id, title as content from shop.products where title operator(shop.!==) body", "VS204", "volatile",
     "operator !==", "alter function shop.unlike(text, text) immutable;"),
    ("select id, title as content from shop.products where random() > 0.5", "VS204", "volatile", "random()", "column"),
    ("select id, now()::text as content from shop.products", "VS204", "the time", "now()", "column"),
    ("select id, title as content from shop.products where changed > now()", "VS204", "the time", "now()", "column"),
    ("select id, statement_timestamp()::text as content from shop.products", "VS204", "the time", "stat", "column"),
    ("select id, current_timestamp::text as content from shop.products", "VS204", "the time", "current_t", "column"),
    ("select id, localtime(0)::text as content from shop.products", "VS204", "the time", "localtime", "column"),
    ("select id, title as content from shop.products where day < current_date", "VS204", "the time", "_date", "column"),
    ("select id, age(changed)::text as content from shop.products", "VS204", "the time", "age(", "column"),
    ("select id, ('to' || 'day')::text::date::text as content from shop.products", "", "", "", ""),
    ("select id, ('now'::text)::timestamptz::text as content from shop.products", "VS204", "the time", "now", "column"),
    ("select id, ('Today '::text)::date::text as content from shop.products", "VS204", "the time", "Today", "column"),
    ("select id, current_user::text as content from shop.products", "VS204", "the session", "current_user", "column"),
    ("select id, user::text as content from shop.products", "VS204", "the session", "user", "column"),
    ("select id, session_user || title as content from shop.products", "VS204", "the session", "session_", "column"),
    ("select id, current_role::text as content from shop.products", "VS204", "the session", "current_role", "column"),
    ("select id, current_catalog::text as content from shop.products", "VS204", "the session", "_catalog", "column"),
    ("select id, current_schema()::text as content from shop.products", "VS204", "the session", "_schema", "column"),
    ("select id, current_setting('a.b') as content from shop.products", "VS204", "the session", "('a.b'", "column"),
    ("select id, version() as content from shop.products", "VS204", "the session", "version()", "column"),
    ("select id, pg_backend_pid()::text as content from shop.products", "VS204", "the session", "_pid()", "column"),
    ("select id, txid_current()::text as content from shop.products", "VS204", "", "txid_current()", "column"),
    ("select id, to_tsvector(title)::text as content from shop.products", "VS204", "the session", "default_text",
     "to_tsvector('pg_catalog.english', …)"),
    ("select id, table_to_xml('shop.moods', true, true, '')::text as content from shop.products", "VS204",
     "cannot be followed", "table_to_xml", "column"),
]  # fmt: skip


def test_refused_by_the_catalog(analyse: Analyse) -> None:
    wrong = []
    for query, state, message, detail, hint in REFUSED:
        if not state:
            assert analyse(query)
            continue
        try:
            analyse(query)
        except EngineError as error:
            seen = (error.sqlstate, error.message, error.detail, error.hint)
            if error.sqlstate != state or message not in error.message:
                wrong.append((query, *seen))
            if detail not in error.detail or hint not in error.hint:
                wrong.append((query, *seen))
        else:
            wrong.append((query, "accepted"))
    assert wrong == []


def test_temporary_root(db: Connection, analyse: Analyse) -> None:
    db.execute("create temporary table passing (id int primary key, body text)")
    db.execute("create temporary view passing_document as select id, body as content from passing")
    row = db.execute("select vsync_internal.document_catalog('passing_document')").fetchone()
    assert row is not None
    error = refusal(lambda: documents.analyse(row[0]))
    assert (error.sqlstate, "temporary table" in error.message) == ("VS203", True)
    del analyse


def test_stored_query_is_refused_with_its_expression(db: Connection, analyse: Analyse) -> None:
    del analyse
    db.execute("create view shop.document as select 1 as id, 'x' as content from generate_series(1, 2)")
    row = db.execute("select vsync_internal.document_catalog('shop.document')").fetchone()
    assert row is not None
    error = refusal(lambda: documents.analyse(row[0]))
    assert error.sqlstate == "VS203"
    assert "generate_series" in error.detail


def test_disagreement_with_the_catalog(db: Connection, analyse: Analyse) -> None:
    analyse("select id, title as content from shop.products")
    row = db.execute("select vsync_internal.document_catalog('shop.document')").fetchone()
    assert row is not None
    facts = row[0]
    query = facts["query"]
    queries = (
        {"depends": [*query["depends"], {**query["depends"][0], "column": "body", "number": 3}]},
        {"depends": query["depends"][1:]},
        {"whole_row": True},
        {"aggregating": 1},
        {"windowed": 1},
    )
    changes = (
        *({"query": {**query, **change}} for change in queries),
        {"outputs": facts["outputs"][:1]},
        {"relations": []},
    )
    for change in changes:
        error = refusal(lambda change=change: documents.analyse({**facts, **change}))
        assert error.sqlstate == "VS205", change


def test_expression_the_parser_misreads_is_no_silent_loss(analyse: Analyse) -> None:
    error = refusal(lambda: analyse("select id, (@ stock)::text as content from shop.products"))
    assert (error.sqlstate, "column 13" in error.detail, "abs" in error.hint) == ("VS203", True, True)


def test_columns_are_found_without_the_name_of_their_table(analyse: Analyse, db: Connection) -> None:
    for expression in EXPRESSIONS:
        qualified = analyse(f"select p.id, {expression} as content from shop.products p")
        row = db.execute("select vsync_internal.document_catalog('shop.document')").fetchone()
        assert row is not None
        query = row[0]["query"]
        bare = {**query, "text": re.sub(r"\bp\.(?!\*)", "", query["text"])}
        assert documents.analyse({**row[0], "query": bare}) == qualified, expression


def test_place_names_line_and_column() -> None:
    assert sql_lexer.place("a\n  b c", 4) == 'line 2, column 3, near "b c"'
    assert sql_lexer.place("a", 1) == "line 1, column 2, at the end"
