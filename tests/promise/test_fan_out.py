"""One change that reaches thousands of documents: each is refreshed once, nobody waits, no crash loses it."""

import threading
import time
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connect, Connection
from promise.oracle import Declared, assert_fresh, declare, embedded_total, register, statistic, work

WIDE = 4000
TABLES = """
create table lines (id int primary key, name text, hits int);
create table categories (id int primary key, line_id int, name text, label text, note text);
create table products (id int primary key, category_id int, name text);
create index on products (category_id);
create index on categories (line_id);
insert into lines values (1, 'line'), (2, 'line');
insert into categories values (1, 1, 'wide', 'l', 'n'), (2, 2, 'narrow', 'l', 'n'), (3, 1, 'empty', 'l', 'n');
"""
DOCUMENT = """select p.id, p.name || ' in ' || c.name || ' ' || c.label || ' ' || c.note || ' ' || l.name as content
from products as p join categories as c on c.id = p.category_id join lines as l on l.id = c.line_id"""


@pytest.fixture
def products(db: Connection, tiny_model: Path) -> Declared:
    """Thousands of products in category 1 of line 1, ten in category 2 of line 2, drained."""
    register(db, tiny_model)
    db.execute(TABLES)
    db.execute("insert into products select i, 1, 'product ' || i from generate_series(1, %s) as i", [WIDE])
    db.execute("insert into products select -i, 2, 'other ' || i from generate_series(1, 10) as i")
    embedding = declare(db, DOCUMENT)
    assert_fresh(db, embedding)
    return embedding


def test_a_wide_change_refreshes_each_document_once(db: Connection, connect: Connect, products: Declared) -> None:
    total = embedded_total(db, products)
    writer = connect(autocommit=False)
    for column in ("name", "label", "note"):
        writer.execute(f"update categories set {column} = {column} || '!' where id = 1".encode())
    writer.execute("update categories set name = 'renamed' where id = 1")
    writer.execute("update lines set name = 'renamed', hits = 1 where id = 1")
    writer.execute("update products set name = name || '!' where id > 0 and id % 7 = 0")
    writer.commit()
    assert_fresh(db, products)
    assert embedded_total(db, products) == total + WIDE
    assert statistic(db, products, "inference_total") == embedded_total(db, products)


def test_a_small_change_does_not_wait_for_a_wide_one(db: Connection, connect: Connect, products: Declared) -> None:
    db.execute("select vsync.configure('claim_limit', '100')")
    worker = connect()
    worker.execute("call vsync.work()")
    db.execute("update lines set name = 'renamed' where id = 1")
    thread = threading.Thread(target=work, args=[worker])
    thread.start()
    late = (
        "select count(*) filter (where content not like '%% renamed'), bool_or(content like 'edited%%') from promised"
    )
    counted = f"select * from ({late} where id > 0 or id = -1) as s".encode()
    while db.execute(counted).fetchone() == (WIDE + 1, False):
        time.sleep(0.001)
    db.execute("update products set name = 'edited' where id = -1")
    while True:
        left, edited = db.execute(counted).fetchone() or (0, True)
        if edited or not thread.is_alive():
            break
        time.sleep(0.001)
    assert edited
    assert left > WIDE // 4, "the wide change was nearly done"
    thread.join()
    assert_fresh(db, products)


def test_rows_that_move_while_a_wide_change_is_expanded_are_followed(db: Connection, products: Declared) -> None:
    total = embedded_total(db, products)
    db.execute("update lines set name = 'renamed' where id = 1")
    db.execute("select vsync_internal.fold()")
    for number in range(8):
        db.execute("select vsync_internal.expand(25)")
        db.execute("update products set category_id = 2 where id = %s", [number * 500 + 250])
        db.execute("update products set category_id = 1 where id = %s", [-1 - number])
        db.execute("update products set id = id + 100000 where id = %s", [number * 500 + 100])
        db.execute("delete from products where id = %s", [number * 500 + 300])
        if number == 4:
            db.execute("update categories set line_id = 2 where id = 1")
            db.execute("update lines set name = 'other' where id = 2")
    assert_fresh(db, products)
    assert embedded_total(db, products) - total <= WIDE + 10


def test_a_wide_change_survives_killed_workers(db: Connection, connect: Connect, products: Declared) -> None:
    total = embedded_total(db, products)
    db.execute("select vsync.configure('claim_limit', '200')")
    db.execute("update lines set name = 'renamed' where id = 1")
    killed = 0
    for number in range(12):
        worker = connect()
        thread = threading.Thread(target=be_killed, args=[worker])
        thread.start()
        time.sleep(0.02 + 0.02 * number)
        (ended,) = db.execute("select pg_terminate_backend(%s)", [worker.info.backend_pid]).fetchone() or (False,)
        killed += ended
        thread.join()
    assert killed > 3
    assert_fresh(db, products)
    assert embedded_total(db, products) == total + WIDE


def be_killed(worker: Connection) -> None:
    try:
        worker.execute("call vsync.work()")
        worker.execute("select pg_sleep(60)")
    except psycopg.OperationalError:
        pass


def test_one_statement_over_thousands_of_parents_is_followed(db: Connection, products: Declared) -> None:
    db.execute("insert into categories select i, 1 + i % 2, 'c ' || i, 'l', 'n' from generate_series(10, 2500) as i")
    db.execute("update products set category_id = 10 + id % 2400 where id > 0")
    assert_fresh(db, products)
    total = embedded_total(db, products)
    db.execute("update categories set name = 'renamed ' || id where id > 9")
    assert_fresh(db, products)
    assert embedded_total(db, products) == total + WIDE
    db.execute("update categories set id = -id where id > 9")
    db.execute("update products set category_id = -category_id where category_id > 9")
    assert_fresh(db, products)
    assert embedded_total(db, products) == total + WIDE
    db.execute("delete from categories where id < 0 and id % 3 = 0")
    assert_fresh(db, products)
    db.execute("truncate lines")
    assert_fresh(db, products)


def test_an_embedding_dropped_in_the_middle_of_a_wide_change_leaves_nothing(db: Connection, products: Declared) -> None:
    other = declare(db, "select id, name as content from products where id < 0", name="other")
    db.execute("update lines set name = 'renamed' where id = 1")
    db.execute("select vsync_internal.fold(); select vsync_internal.expand(25)")
    db.execute("select vsync.drop_embedding('promised')")
    db.execute("update products set name = 'new' where id = -1")
    assert_fresh(db, other)


LARGE = {
    "names": "update staff set name = 'name ' || id % 7",
    "links": "update staff set manager_id = 1 + (id * 7) % 2400",
    "links and names of some": "update staff set manager_id = manager_id + 1, name = name || '.' where id % 2 = 0",
    "irrelevant": "update staff set hits = 1",
    "keys": "update staff set id = id + 5000",
    "keys and links": "update staff set id = id - 5000, manager_id = manager_id + 1",
    "upsert": """insert into staff select i, i / 2, 'new ' || i from generate_series(2000, 4000) as i
        on conflict (id) do update set name = 'upserted ' || excluded.id % 5""",
    "delete": "delete from staff where id % 3 = 0",
    "insert": "insert into staff select -i, i, 'negative ' || i % 3 from generate_series(1, 1200) as i",
    "truncate": "truncate staff",
}


def test_large_statements_on_a_table_that_is_joined_to_itself_are_followed(
    db: Connection, connect: Connect, tiny_model: Path
) -> None:
    register(db, tiny_model)
    db.execute("create table staff (id int primary key, manager_id int, name text, hits int)")
    db.execute("create index on staff (manager_id)")
    db.execute("insert into staff select i, i / 3, 'name ' || i % 9 from generate_series(1, 2400) as i")
    staff = declare(
        db,
        """select e.id, e.name || coalesce(' under ' || m.name, '') || coalesce(' and ' || g.name, '') as content
        from staff as e left join staff as m on m.id = e.manager_id left join staff as g on g.id = m.manager_id""",
    )
    work(db)
    for number, statement in enumerate(LARGE.values()):
        (connect() if number % 2 else db).execute(statement.encode())
        assert_fresh(db, staff)
