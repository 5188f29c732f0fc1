"""The tables that a document joins change shape: renames are followed, what is used cannot go unnoticed."""

import threading
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connect, Connection
from promise.oracle import Declared, assert_fresh, contents, declare, embedded_total, register, work
from promise.stage import Background

TABLES = """
create schema shop;
create table shop.brands (id int primary key, name text, hits int);
create table shop.products (id int primary key, brand_id int, name text);
insert into shop.brands select i, 'brand ' || i from generate_series(1, 3) as i;
insert into shop.products select i, 1 + i % 3, 'product ' || i from generate_series(1, 9) as i;
"""
DOCUMENT = """select p.id, p.name || ' by ' || b.name as content from shop.products as p
join shop.brands as b on b.id = p.brand_id"""


@pytest.fixture
def products(db: Connection, tiny_model: Path) -> Declared:
    """Nine products of three brands, drained."""
    register(db, tiny_model)
    db.execute(TABLES)
    embedding = declare(db, DOCUMENT, schema="shop")
    assert_fresh(db, embedding)
    return embedding


RENAMES = (
    ("alter table shop.brands rename to makers", {"shop.brands": "shop.makers"}),
    ("alter table shop.makers rename column name to title", {"b.name": "b.title"}),
    ("alter table shop.makers rename column id to code", {"b.id": "b.code"}),
    ("alter table shop.makers rename column hits to name", {}),
    ("alter table shop.products rename column brand_id to maker", {"p.brand_id": "p.maker"}),
    ("alter table shop.products rename column id to number", {"p.id": "p.number as id"}),
    ("alter table shop.products rename column name to id", {"p.name": "p.id"}),
    ('create schema "Else Where"; alter table shop.makers set schema "Else Where"', {"shop.m": '"Else Where".m'}),
    ('alter schema "Else Where" rename to elsewhere', {'"Else Where"': "elsewhere"}),
    ("alter table shop.products rename to goods", {"shop.products": "shop.goods"}),
)


def test_renames_of_dependencies_are_followed_while_changes_flow(
    db: Connection, connect: Connect, products: Declared
) -> None:
    writer = connect()
    document = DOCUMENT
    for number, (rename, spelled) in enumerate(RENAMES):
        db.execute(rename.encode())
        for old, new in spelled.items():
            document = document.replace(old, new)
        table, key, text = names(db, "brands", "makers")
        goods, product, link = names(db, "products", "goods")
        writer.execute(f"update {table} set {text} = 'renamed {number}' where {key} = 1".encode())
        writer.execute(f"insert into {table} ({key}, {text}) values ({number + 10}, 'brand')".encode())
        writer.execute(f"update {goods} set {link} = {number + 10} where {product} = 3".encode())
        writer.execute(f"update {table} set {text} = {text} || '!' where {key} >= 2".encode())
        assert_fresh(db, products, document=document)
        assert contents(db, products)["3"][0].endswith(" by brand!")


def names(db: Connection, *tables: str) -> tuple[str, str, str]:
    """Return what a table, known by one of these names, and its first two columns are called now."""
    query = """select c.oid::regclass::text, quote_ident(a.attname), quote_ident(b.attname) from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum = 1
        join pg_attribute as b on b.attrelid = c.oid and b.attnum = 2
        where c.relname = any (%s) and c.relkind = 'r'"""
    row = db.execute(query, [list(tables)]).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def test_columns_of_a_dependency_that_change_places_in_one_transaction_are_followed(
    db: Connection, connect: Connect, tiny_model: Path
) -> None:
    register(db, tiny_model)
    db.execute("create table brands (a int, b int, name text); insert into brands values (1, 2, 'x'), (2, 1, 'y')")
    db.execute("create table products (id int primary key, a int); insert into products values (1, 1), (2, 2)")
    document = "select p.id, b.name as content from products as p join brands as b on b.a = p.a"
    products = declare(db, document)
    assert_fresh(db, products)
    other = connect(autocommit=False)
    other.execute("update brands set name = 'before' where a = 1")
    other.execute("alter table brands rename column a to c")
    other.execute("update brands set name = 'between' where c = 2")
    other.execute("alter table brands rename column b to a; alter table brands rename column c to b")
    other.execute("update brands set b = 3 - b")
    other.commit()
    document = "select p.id, b.name as content from products as p join brands as b on b.b = p.a"
    assert_fresh(db, products, document=document)
    db.execute("update brands set name = 'after' where b = 1; update brands set b = 7 where b = 2")
    assert_fresh(db, products, document=document)


def test_a_used_column_or_table_of_a_dependency_cannot_be_dropped_unnoticed(db: Connection, products: Declared) -> None:
    for statement in (
        "drop table shop.brands",
        "alter table shop.brands drop column name",
        "alter table shop.brands drop column id",
        "alter table shop.products drop column brand_id",
        "alter table shop.brands alter column name type varchar(10)",
    ):
        with pytest.raises((psycopg.errors.DependentObjectsStillExist, psycopg.errors.FeatureNotSupported)):
            db.execute(statement.encode())
    db.execute("update shop.brands set name = 'still followed' where id = 1")
    assert_fresh(db, products)


GONE = {
    "dependency": "drop table shop.brands cascade",
    "text column": "alter table shop.brands drop column name cascade",
    "path column": "alter table shop.brands drop column id cascade",
    "link column": "alter table shop.products drop column brand_id cascade",
}


@pytest.mark.parametrize("drop", GONE.values(), ids=GONE.keys())
def test_a_document_whose_dependency_is_gone_is_broken_and_says_why(
    db: Connection, connect: Connect, products: Declared, drop: str
) -> None:
    other = declare(db, "select id, name as content from shop.products", name="other", schema="shop")
    db.execute("update shop.brands set name = name || '.'; truncate shop.brands; select vsync_internal.fold()")
    db.execute("insert into shop.brands values (1, 'again')")
    db.execute(drop.encode())
    db.execute("update shop.products set name = name || ' still'")
    connect().execute("call vsync.work()")
    assert contents(db, other)["1"] == ["product 1 still"]
    row = db.execute("select state, last_error from vsync.stat_embeddings where embedding = 'promised'").fetchone()
    assert row is not None
    assert row[0] == "broken"
    reason = db.execute("select p.broken from vsync_internal.progress as p where p.broken is not null").fetchone()
    assert reason is not None
    assert "gone" in reason[0]
    db.execute("select vsync.drop_embedding('promised')")
    assert_fresh(db, other)
    db.execute("select vsync.drop_embedding('other')")
    assert_nothing_left(db)


def assert_nothing_left(db: Connection) -> None:
    left = db.execute("""select c.oid::regclass::text from pg_class as c
        where c.relnamespace = 'vsync_data'::regnamespace
        union all select p.oid::regprocedure::text from pg_proc as p where p.pronamespace = 'vsync_data'::regnamespace
        union all select t.tgname from pg_trigger as t where t.tgname like 'vsync%%'
        union all select 'marks' from vsync_internal.marks union all select 'pages' from vsync_internal.pages
        union all select 'feeds' from vsync_internal.feeds
        union all select 'dependencies' from vsync_internal.dependencies
        union all select 'captures' from vsync_internal.captures""").fetchall()
    assert left == []


def test_columns_of_a_dependency_that_are_of_no_concern_come_and_go(db: Connection, products: Declared) -> None:
    before = embedded_total(db, products)
    db.execute("alter table shop.brands add column country text default 'x'")
    db.execute("alter table shop.brands alter column hits type bigint")
    db.execute("update shop.brands set country = 'y', hits = 1")
    db.execute("alter table shop.brands drop column country; update shop.brands set hits = 2")
    assert_fresh(db, products)
    assert embedded_total(db, products) == before
    db.execute("update shop.brands set name = 'still followed' where id = 1")
    assert_fresh(db, products)
    assert embedded_total(db, products) == before + 3


def test_a_whole_row_of_a_dependency_is_followed(db: Connection, products: Declared) -> None:
    whole = declare(
        db,
        "select p.id, p.name || b::text as content from shop.products as p join shop.brands as b on b.id = p.brand_id",
        name="whole",
        schema="shop",
    )
    db.execute("update shop.brands set hits = 5 where id = 2")
    assert_fresh(db, products, whole)
    db.execute("alter table shop.brands add column country text default 'x'")
    assert_fresh(db, products, whole)
    db.execute("update shop.brands set country = 'y' where id = 3")
    assert_fresh(db, products, whole)
    db.execute("alter table shop.brands drop column hits")
    assert_fresh(db, products, whole)


def test_a_trigger_of_a_dependency_that_was_dropped_comes_back(db: Connection, products: Declared) -> None:
    db.execute("drop trigger vsync_update on shop.brands")
    db.execute("update shop.brands set name = 'seen'")
    assert_fresh(db, products)
    db.execute("begin; drop trigger vsync_insert on shop.products; drop trigger vsync_truncate on shop.brands; commit")
    db.execute("insert into shop.products values (10, 1, 'ten'); truncate shop.brands")
    assert_fresh(db, products)


def test_a_view_between_that_is_replaced_is_followed(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute(TABLES)
    db.execute(
        "create table shop.areas (brand_id int primary key, name text); insert into shop.areas values (1, 'north')"
    )
    db.execute("create view shop.labels as select id, name as label from shop.brands")
    document = """select p.id, p.name || l.label as content from shop.products as p
        join shop.labels as l on l.id = p.brand_id"""
    products = declare(db, document, schema="shop")
    assert_fresh(db, products)
    db.execute("""create or replace view shop.labels as select b.id, b.name || coalesce(a.name, '') as label
        from shop.brands as b left join shop.areas as a on a.brand_id = b.id""")
    assert_fresh(db, products)
    db.execute("update shop.areas set name = 'south'; insert into shop.areas values (2, 'west')")
    assert_fresh(db, products)
    db.execute("update shop.brands set name = 'other' where id = 3")
    assert_fresh(db, products)


PARTITIONED = """
create table brands (id int, name text, primary key (id)) partition by range (id);
create table brands_a partition of brands for values from (0) to (10);
create table brands_b (name text, id int primary key);
alter table brands attach partition brands_b for values from (10) to (20);
create table products (id int primary key, brand_id int, name text);
insert into brands select i, 'brand ' || i from generate_series(5, 15) as i;
insert into products select i, i, 'product ' || i from generate_series(1, 30) as i;
"""
CHANGES = {
    "new partition": "create table brands_c partition of brands for values from (20) to (40)",
    "new default": "create table brands_d partition of brands default",
    "attached with rows": """create table brands_e (like brands including all);
        insert into brands_e values (25, 'e');
        alter table brands attach partition brands_e for values from (20) to (40);
        insert into brands_e values (26, 'f')""",
    "detached": "alter table brands detach partition brands_b",
    "dropped": "drop table brands_b",
    "truncated": "truncate brands_a",
    "direct": """update brands_b set name = 'direct'; delete from brands_a where id = 6;
        insert into brands_b values ('x', 18)""",
    "moved": "update brands set id = id + 10 where id = 9",
    "exchanged": """begin; create table brands_n (like brands including all); insert into brands_n values (3, 'n');
        alter table brands detach partition brands_a;
        alter table brands attach partition brands_n for values from (0) to (10); commit""",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_partitions_of_a_dependency_that_come_and_go_are_followed(
    db: Connection, tiny_model: Path, change: str
) -> None:
    register(db, tiny_model)
    db.execute(PARTITIONED)
    document = """select p.id, p.name || coalesce(' by ' || b.name, '') as content from products as p
        left join brands as b on b.id = p.brand_id"""
    inner = """select p.id, p.name || ' by ' || b.name as content from products as p, brands as b
        where b.id = p.brand_id"""
    products = declare(db, document)
    known = declare(db, inner, name="known")
    assert_fresh(db, products, known)
    db.execute(change.encode())
    assert_fresh(db, products, known)
    db.execute("update brands set name = name || ' again'")
    assert_fresh(db, products, known)
    db.execute("delete from brands where id % 3 = 0; update brands set id = id - 1 where id in (7, 13, 25)")
    assert_fresh(db, products, known)


def test_embeddings_that_come_and_go_lose_nothing_of_a_dependency_being_written(
    db: Connection, connect: Connect, products: Declared
) -> None:
    other = products
    writers = [connect(), connect()]
    stop = threading.Event()
    failures: list[Exception] = []

    def write(writer: Connection, brand: int) -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                writer.execute("update shop.brands set name = 'name ' || %s where id = %s", [number, brand])
                writer.execute("update shop.products set brand_id = %s where id = %s", [1 + number % 3, brand])
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[writer, i + 1]) for i, writer in enumerate(writers)]
    for thread in threads:
        thread.start()
    try:
        with Background(connect()), Background(connect()):
            for number in range(8):
                name = f"other_{number % 2}"
                document = (
                    "select b.id, b.name || coalesce(string_agg(p.name, ' ' order by p.id), '') as content"
                    " from shop.brands as b left join shop.products as p on p.brand_id = b.id group by b.id"
                )
                db.execute("select vsync.drop_embedding(%s, true)", [name])
                db.execute("select pg_sleep(0.05)")
                other = declare(db, DOCUMENT if number % 4 < 2 else document, name=name, schema="shop")
                db.execute("select pg_sleep(0.1)")
                if number == 5:
                    products = declare(db, DOCUMENT, name="later", schema="shop")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    work(db)
    assert_fresh(db, products, other)
