"""Dependency-aware propagation, line by line: each test is one line of what the pattern must be seen to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

import pytest
from psycopg import sql

from fix_cluster import Connect, Connection
from promise.oracle import Declared, assert_fresh, contents, declare, embedded_total, register, statistic, work

CAPTURES = ("trigger", "wal")
TABLES = """
create table brands (id int primary key, name text, hits int);
create table lines (id int primary key, brand_id int, name text, hits int);
create table categories (id int primary key, name text, label text, note text, hits int);
create table products (id int primary key, category_id int, line_id int, title text, hits int);
create table tags (id int primary key, name text);
create table product_tags (product_id int, tag_id int, primary key (product_id, tag_id));
create table reviews (id int primary key, product_id int references products on delete cascade on update cascade,
    body text, hits int);
insert into brands select i, 'brand ' || i from generate_series(1, 2) as i;
insert into lines select i, 1 + i % 2, 'line ' || i from generate_series(1, 4) as i;
insert into categories select i, 'category ' || i, 'label', 'note' from generate_series(1, 3) as i;
insert into products select i, 1 + i % 3, 1 + i % 4, 'product ' || i from generate_series(1, 24) as i;
insert into tags select i, 'tag ' || i from generate_series(1, 3) as i;
insert into product_tags select i, 1 + i % 3 from generate_series(1, 12) as i;
insert into reviews select i, i, 'review ' || i from generate_series(1, 6) as i;
"""
IN_CATEGORIES = """select p.id, p.title || ' in ' || c.name || ', ' || c.label || ', ' || c.note as content
from products as p join categories as c on c.id = p.category_id"""
OF_BRANDS = """select p.id, p.title || ' of ' || l.name || ' by ' || b.name as content from products as p
join lines as l on l.id = p.line_id join brands as b on b.id = l.brand_id"""
TAGGED = """select p.id, p.title || ': ' || coalesce((select string_agg(t.name, ', ' order by t.id)
from product_tags as x join tags as t on t.id = x.tag_id where x.product_id = p.id), 'no tags') as content
from products as p"""
REVIEWED = """select p.id, p.title || ': ' || coalesce((select string_agg(r.body, ' ' order by r.id)
from reviews as r where r.product_id = p.id), 'no reviews') as content from products as p"""
ALL = {"in_categories": IN_CATEGORIES, "of_brands": OF_BRANDS, "tagged": TAGGED, "reviewed": REVIEWED}


@dataclass(frozen=True)
class Shop:
    """The tables, and the embeddings that were declared over them."""

    db: Connection
    capture: str

    def declare(self, document: str, name: str = "promised") -> Declared:
        """Declare an embedding and drain."""
        embedding = declare(self.db, document, name=name, capture=self.capture)
        assert_fresh(self.db, embedding)
        return embedding

    def run(self, statements: str) -> None:
        self.db.execute(statements.encode())

    @contextmanager
    def refreshed(self, embedding: Declared, *keys: int, texts: int | None = None) -> Iterator[None]:
        """Expect that a change refreshes exactly the documents of these keys, and embeds so many texts, a key one."""
        before, total = self._tokens(embedding), embedded_total(self.db, embedding)
        yield
        assert_fresh(self.db, embedding)
        after = self._tokens(embedding)
        assert {key for key in before | after if before.get(key) != after.get(key)} == set(keys)
        assert embedded_total(self.db, embedding) - total == (len(keys) if texts is None else texts)

    def _tokens(self, embedding: Declared) -> dict[int, int]:
        query = sql.SQL("select id, token from {}").format(embedding.data)
        return dict(self.db.execute(query).fetchall())


@pytest.fixture(params=["trigger", pytest.param("wal", marks=pytest.mark.soak)])
def shop(request: pytest.FixtureRequest, db: Connection, tiny_model: Path) -> Shop:
    register(db, tiny_model)
    db.execute(TABLES)
    return Shop(db, request.param)


def keys(shop: Shop, query: str) -> list[int]:
    return [row[0] for row in shop.db.execute(query.encode()).fetchall()]


def test_01_renaming_a_category_refreshes_every_product_in_it_once(shop: Shop) -> None:
    embedding = shop.declare(IN_CATEGORIES)
    inside = keys(shop, "select id from products where category_id = 2")
    with shop.refreshed(embedding, *inside):
        shop.run("update categories set name = 'renamed' where id = 2")
    with shop.refreshed(embedding, *inside):
        shop.run("""begin; update categories set name = 'a' where id = 2;
            update categories set label = 'b' where id = 2; update categories set note = 'c' where id = 2;
            update categories set name = 'd', label = 'e' where id = 2;
            update categories set note = 'f', hits = 1 where id = 2; commit""")


def test_02_a_category_and_its_product_changed_together_refresh_that_product_once(shop: Shop) -> None:
    embedding = shop.declare(IN_CATEGORIES)
    inside = keys(shop, "select id from products where category_id = 2")
    with shop.refreshed(embedding, *inside):
        shop.run(f"""begin; update categories set name = 'renamed' where id = 2;
            update products set title = 'renamed' where id = {inside[0]}; commit""")


def test_03_a_column_outside_the_document_or_the_same_value_sends_no_text(shop: Shop) -> None:
    embeddings = [shop.declare(document, name) for name, document in ALL.items()]
    for statement in (
        *(f"update {table} set hits = 1" for table in ("brands", "lines", "categories", "products", "reviews")),
        *(f"update {table} set name = name" for table in ("brands", "lines", "categories", "tags")),
        "update products set category_id = category_id, line_id = line_id, title = title",
        "update categories set label = label || '!'; update categories set label = rtrim(label, '!')",
        """begin; delete from product_tags;
        insert into product_tags select i, 1 + i % 3 from generate_series(1, 12) as i; commit""",
    ):
        totals = [statistic(shop.db, embedding, "inference_total") for embedding in embeddings]
        shop.run(statement)
        assert_fresh(shop.db, *embeddings)
        assert [statistic(shop.db, embedding, "inference_total") for embedding in embeddings] == totals, statement


def test_04_two_hops_and_many_to_many_refresh_exactly_the_expected_keys(shop: Shop) -> None:
    hops, tagged = shop.declare(OF_BRANDS), shop.declare(TAGGED, "tagged")
    with shop.refreshed(hops, *keys(shop, "select id from products where line_id in (1, 3)")), shop.refreshed(tagged):
        shop.run("update brands set name = 'renamed' where id = 2")
    with shop.refreshed(hops, *keys(shop, "select id from products where line_id = 3")):
        shop.run("update lines set brand_id = 1 where id = 3")
    of_tag = keys(shop, "select product_id from product_tags where tag_id = 2")
    with shop.refreshed(tagged, *of_tag), shop.refreshed(hops):
        shop.run("update tags set name = 'renamed' where id = 2")
    with shop.refreshed(tagged, 7, 20):
        shop.run("update product_tags set product_id = 20 where (product_id, tag_id) = (7, 2)")
    with shop.refreshed(tagged, 1, 2):
        shop.run("insert into product_tags values (1, 3); delete from product_tags where product_id = 2")


def test_05_a_changed_foreign_key_refreshes_the_row_and_the_old_parent_reaches_it_no_more(shop: Shop) -> None:
    embedding = shop.declare(IN_CATEGORIES)
    with shop.refreshed(embedding, 3):
        shop.run("update products set category_id = 2 where id = 3")
    with shop.refreshed(embedding, *keys(shop, "select id from products where category_id = 1")):
        shop.run("update categories set name = 'old parent' where id = 1")
    assert contents(shop.db, embedding)["3"] == ["product 3 in category 2, label, note"]
    with shop.refreshed(embedding, *keys(shop, "select id from products where category_id = 2")):
        shop.run("update categories set name = 'new parent' where id = 2")
    assert contents(shop.db, embedding)["3"] == ["product 3 in new parent, label, note"]


def test_05_a_child_that_moves_from_one_parent_to_another_refreshes_both(shop: Shop) -> None:
    embedding = shop.declare(REVIEWED)
    with shop.refreshed(embedding, 2, 10):
        shop.run("update reviews set product_id = 10 where id = 2")
    with shop.refreshed(embedding, 10):
        shop.run("update reviews set body = 'edited' where id = 2")


STATEMENTS = (
    "insert into reviews values (10, 10, 'new'), (11, 1, 'new')",
    "insert into products values (30, 4, 1, 'early'); insert into categories values (4, 'late', '', '')",
    """insert into categories values (1, 'up', 'l', 'n'), (9, 'sert', 'l', 'n')
    on conflict (id) do update set name = excluded.name""",
    """merge into reviews as r using (values (1, 'one'), (2, null), (9, 'new')) as s (id, body) on s.id = r.id
    when matched and s.body is null then delete when matched then update set body = s.body, product_id = 3
    when not matched then insert (id, product_id, body) values (s.id, 4, s.body)""",
    "update categories set id = 20 where id = 1; update tags set id = id + 1 where id = 3",
    "update products set id = id + 100 where id < 5",
    "delete from products where id in (101, 103, 5)",
    "delete from reviews where id = 3; delete from categories where id = 2; delete from product_tags where tag_id = 1",
    "truncate product_tags; truncate categories; truncate reviews",
)


def test_06_whatever_the_statement_there_are_no_orphans_and_nothing_is_missed(shop: Shop) -> None:
    embeddings = [shop.declare(document, name) for name, document in ALL.items()]
    for statement in STATEMENTS:
        shop.run(statement)
        assert_fresh(shop.db, *embeddings)
        shop.run("update categories set name = name || '!'; update tags set name = name || '!'")
        shop.run("update reviews set body = body || '!'")
        assert_fresh(shop.db, *embeddings)


def test_06_copy_leaves_no_orphans_and_misses_nothing(shop: Shop) -> None:
    embeddings = [shop.declare(document, name) for name, document in ALL.items()]
    for statement, rows in (
        ("copy reviews (id, product_id, body) from stdin", [(i, 1 + i % 9, f"copied {i}") for i in range(10, 40)]),
        ("copy product_tags from stdin", [(i, 1 + i % 3) for i in range(13, 20)]),
        ("copy categories (id, name, label, note) from stdin", [(i, "copied", "l", "n") for i in range(4, 6)]),
    ):
        with shop.db.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for row in rows:
                copy.write_row(row)
        assert_fresh(shop.db, *embeddings)


def test_06_partitions_leave_no_orphans_and_miss_nothing(shop: Shop) -> None:
    shop.run("""create table stocks (id int, product_id int, place text, primary key (id, place))
            partition by list (place);
        create table stocks_n partition of stocks for values in ('north');
        create table stocks_s partition of stocks for values in ('south');
        insert into stocks select i, i, 'north' from generate_series(1, 9) as i""")
    embedding = shop.declare("""select p.id, p.title || coalesce((select string_agg(s.place || s.id, ',' order by s.id)
        from stocks as s where s.product_id = p.id), '') as content from products as p""")
    for statement in (
        "insert into stocks_s values (20, 1, 'south'), (21, 12, 'south')",
        "update stocks_n set product_id = 2 where id = 5",
        "update stocks set place = 'south', product_id = 3 where id = 6",
        "create table stocks_w partition of stocks for values in ('west'); insert into stocks_w values (1, 7, 'west')",
        "delete from stocks_s where id = 20",
        "truncate stocks_n",
        "drop table stocks_w",
    ):
        shop.run(statement)
        assert_fresh(shop.db, embedding)


def test_07_rollback_and_rollback_to_a_savepoint_leave_nothing(shop: Shop, connect: Connect) -> None:
    embedding = shop.declare(IN_CATEGORIES)
    writer = connect(autocommit=False)
    with shop.refreshed(embedding):
        writer.execute("update categories set name = 'never'; truncate products cascade")
        writer.rollback()
    with shop.refreshed(embedding, *keys(shop, "select id from products where category_id = 3")):
        writer.execute("update categories set name = 'kept' where id = 3")
        writer.execute("savepoint s")
        writer.execute("update categories set name = 'never' where id in (1, 3)")
        writer.execute("update products set category_id = 1")
        writer.execute("rollback to s")
        writer.commit()


def test_08_of_two_embeddings_of_one_source_only_the_one_that_uses_the_column_is_refreshed(shop: Shop) -> None:
    named = shop.declare(
        "select p.id, c.name as content from products as p join categories as c on c.id = p.category_id"
    )
    labelled = shop.declare(
        "select p.id, c.label || p.id as content from products as p join categories as c on c.id = p.category_id",
        "labelled",
    )
    inside = keys(shop, "select id from products where category_id = 1")
    with shop.refreshed(labelled), shop.refreshed(named, *inside, texts=1):
        shop.run("update categories set name = 'renamed' where id = 1")
    with shop.refreshed(named), shop.refreshed(labelled, *inside):
        shop.run("update categories set label = 'other' where id = 1")


def test_09_small_edits_add_up_against_the_text_last_embedded(shop: Shop) -> None:
    embedding = shop.declare(IN_CATEGORIES)
    with shop.refreshed(embedding):
        for letter in "abc":
            shop.run(f"update categories set name = name || '{letter}' where id = 1")
            shop.db.execute("select vsync_internal.fold()")
        shop.run("update categories set name = 'category 1' where id = 1")
    with shop.refreshed(embedding, *keys(shop, "select id from products where category_id = 1")):
        for letter in "abc":
            shop.run(f"update categories set name = name || '{letter}' where id = 1")
            shop.db.execute("select vsync_internal.fold()")


WORKLOAD = (
    "update categories set name = 'name {n}' where id = 1 + {n} % 3",
    "update products set category_id = 1 + {n} % 4, title = title || '.' where id % 5 = {n} % 5",
    "update categories set id = 7 - id where id = 3 + {n} % 2",
    "delete from products where id = {n}; insert into products values ({n}, 1, 1, 'again')",
    "begin; update categories set label = 'never'; rollback",
    "update products set id = id + 100 where id = 20 - {n}",
    "update categories set hits = {n}; update products set hits = {n}",
    "insert into categories values (10 + {n}, 'new', '', ''); update products set category_id = 10 + {n} where id = 3",
    "delete from categories where id = 8 + {n}",
)


def test_10_trigger_and_wal_lead_to_the_same_result_and_a_slot_that_was_down_catches_up(
    db: Connection, tiny_model: Path
) -> None:
    register(db, tiny_model)
    db.execute(TABLES)
    embeddings = [declare(db, IN_CATEGORIES, name=f"by_{capture}", capture=capture) for capture in CAPTURES]
    chance = Random(10)
    for number in range(1, 19):
        if number == 12:
            db.execute("select pg_drop_replication_slot(vsync_internal.slot_name())")
        for _ in range(chance.randrange(1, 6)):
            db.execute(chance.choice(WORKLOAD).format(n=number).encode())
        if number % 3 == 0:
            assert_fresh(db, *embeddings)
            stored = [
                db.execute(
                    sql.SQL("select id, content, embedding::text from {} order by 1").format(one.view)
                ).fetchall()
                for one in embeddings
            ]
            assert stored[0] == stored[1]


def test_11_explain_impact_lists_the_documents_and_the_cost_and_changes_nothing(shop: Shop) -> None:
    embeddings = [shop.declare(document, name) for name, document in ALL.items()]
    inside = keys(shop, "select id from products where category_id = 2 order by 1")
    state = "select xmin::text, * from vsync_internal.{} order by 1, 2"
    tables = [sql.Identifier(name) for name in ("progress", "marks", "pages", "log", "versions")]
    before = [shop.db.execute(sql.SQL(state).format(table)).fetchall() for table in tables]
    impact = """select embedding::text, role, documents, texts, tokens > 0, seconds > 0, sample
        from vsync.explain_impact(%s, '2') order by 1"""
    listed = shop.db.execute(impact, ["categories"]).fetchall()
    assert [row[:6] for row in listed] == [("in_categories", "c", len(inside), len(inside), True, True)]
    assert [value if isinstance(value, int) else value["id"] for value in listed[0][6]] == inside
    listed = shop.db.execute(impact, ["brands"]).fetchall()
    assert [row[:3] for row in listed] == [("of_brands", "b", 12)]
    listed = shop.db.execute(impact, ["products"]).fetchall()
    assert [row[:3] for row in listed] == [(name, "root", 1) for name in sorted(ALL)]
    assert shop.db.execute("select vsync_internal.fold()").fetchone() == (0,)
    assert [shop.db.execute(sql.SQL(state).format(table)).fetchall() for table in tables] == before
    with shop.refreshed(embeddings[0], *inside):
        shop.run("update categories set name = 'renamed' where id = 2")


def test_12_the_width_of_a_fan_out_does_not_slow_the_writer(shop: Shop) -> None:
    shop.run("insert into categories values (4, 'wide', '', ''), (5, 'narrow', '', '')")
    shop.run("insert into products select i, 4, 1, 'product' from generate_series(1001, 101000) as i")
    shop.run("insert into products values (1000, 5, 1, 'product')")
    declare(shop.db, IN_CATEGORIES, capture=shop.capture)
    shop.db.execute("select vsync_internal.fold()")
    seconds: dict[int, list[float]] = {4: [], 5: []}
    for number in range(60):
        category = 4 + number % 2
        start = perf_counter()
        shop.run(f"update categories set name = 'renamed {number}' where id = {category}")
        seconds[category].append(perf_counter() - start)
    logged = shop.db.execute("""select c.name like 'renamed %%', l.keys, count(*) from vsync_internal.log as l
        join categories as c on l.keys = array[c.id::text] where c.id in (4, 5) group by 1, 2""").fetchall()
    expected = [(True, ["4"], 30), (True, ["5"], 30)] if shop.capture == "trigger" else []
    assert sorted(logged) == expected, "what a writer records does not grow with the width"
    assert median(seconds[4]) < 3 * median(seconds[5])


def test_13_at_rest_the_vectors_equal_a_rebuild_from_scratch(shop: Shop) -> None:
    embeddings = [shop.declare(document, name) for name, document in ALL.items()]
    shop.run("""update brands set name = name || '!'; update lines set brand_id = 3 - brand_id;
        delete from tags where id = 1; delete from reviews where id % 2 = 0;
        update products set category_id = category_id + 1, line_id = 5 - line_id;
        insert into categories values (4, 'four', 'l', 'n');
        update product_tags set tag_id = tag_id + 1 where tag_id = 3""")
    work(shop.db)
    rebuilt = [shop.declare(document, f"rebuilt_{name}") for name, document in ALL.items()]
    assert_fresh(shop.db, *embeddings, *rebuilt)
    for embedding, again in zip(embeddings, rebuilt, strict=True):
        query = sql.SQL("select id, chunk, content, embedding::text from {} order by 1, 2")
        stored, fresh = (shop.db.execute(query.format(one.view)).fetchall() for one in (embedding, again))
        assert stored == fresh
