"""What a document reads goes away: deletes are followed still, all else says that it is stale, and it comes back."""

from pathlib import Path

import pytest

from fix_cluster import Connect, Connection
from promise.oracle import Declared, assert_fresh, contents, declare, embedded_total, register, work
from races.steps import blocked, in_background, wait_until
from shop import refused, rows, value


@pytest.fixture
def notes(db: Connection, tiny_model: Path) -> Declared:
    register(db, tiny_model)
    db.execute("create table notes (id int primary key, body text, hits int)")
    db.execute("insert into notes select i, 'body ' || i, i from generate_series(1, 9) as i")
    embedding = declare(db, "select id, body as content from notes")
    assert_fresh(db, embedding)
    return embedding


def search(db: Connection, name: str = "promised") -> dict[int, bool]:
    return {key["id"]: stale for key, stale in rows(db, f"select key, stale from vsync.search('{name}', 'body', 50)")}


def test_deletes_are_followed_and_all_is_stale_while_broken(db: Connection, connect: Connect, notes: Declared) -> None:
    db.execute("update notes set body = 'waits'; delete from notes where id = 1")
    db.execute("alter table notes drop column body cascade")
    db.execute(
        "delete from notes where id = 2; insert into notes (id) values (20); update notes set id = 30 where id = 3"
    )
    connect().execute("call vsync.work()")
    assert search(db) == dict.fromkeys(range(4, 10), True)
    state = "select state, pending, oldest_pending_age from vsync.stat_embeddings"
    assert rows(db, state) == [("broken", None, None)]
    assert rows(db, "select waiting, backlog from vsync.stat_queue") == [(None, None)]
    db.execute("alter table notes rename to papers; alter table papers rename column id to number")
    db.execute("delete from papers where number = 4")
    work(db)
    assert 4 not in search(db)
    db.execute("truncate papers")
    work(db)
    assert search(db) == {}
    found = rows(db, "select detail, remediation from vsync.doctor() where name = 'embeddings'")
    assert "Deletes are followed" in found[0][0]
    assert "repair_embedding" in found[0][1]


def test_a_column_that_comes_back_is_followed_again(db: Connection, notes: Declared) -> None:
    before = embedded_total(db, notes)
    db.execute("alter table notes add column kept text; update notes set kept = body")
    db.execute("alter table notes drop column body cascade; delete from notes where id = 1")
    work(db)
    db.execute("alter table notes add column body text; update notes set body = kept")
    db.execute("update notes set body = 'changed' where id = 2")
    assert_fresh(db, notes)
    assert embedded_total(db, notes) == before + 1
    assert value(db, "select state from vsync.stat_embeddings") == "active"
    db.execute("update notes set body = 'followed' where id = 3; delete from notes where id = 4")
    assert_fresh(db, notes)
    assert set(search(db).values()) == {False}


def test_repair_says_what_is_missing_and_follows_what_is_back(db: Connection, notes: Declared) -> None:
    db.execute("alter table notes drop column body cascade")
    refused(lambda: db.execute("select vsync.repair_embedding('promised')"), "VS201")
    db.execute("alter table notes add column body text default 'new'")
    assert value(db, "select vsync.repair_embedding('promised')") == 1
    assert value(db, "select vsync.repair_embedding('promised')") == 0
    assert_fresh(db, notes)


def test_search_says_that_the_root_is_gone_until_it_is_back(db: Connection, notes: Declared) -> None:
    db.execute("drop table notes cascade")
    work(db)
    refused(lambda: search(db), "VS303")
    db.execute("create table notes (id int primary key, body text)")
    db.execute("insert into notes values (1, 'body 1'), (2, 'other')")
    before = embedded_total(db, notes)
    assert_fresh(db, notes)
    assert embedded_total(db, notes) == before + 1
    db.execute("delete from notes where id = 1")
    assert_fresh(db, notes)


def test_a_dropped_key_is_said_to_be_gone(db: Connection, notes: Declared) -> None:
    db.execute("alter table notes drop column id cascade; delete from notes; insert into notes values ('x')")
    work(db)
    refused(lambda: search(db), "VS303")


def test_a_lost_vector_table_is_made_again(db: Connection, notes: Declared) -> None:
    db.execute("drop table vsync_data.promised_v1 cascade")
    assert_fresh(db, notes)


def test_one_broken_version_leaves_the_other_served(db: Connection, notes: Declared) -> None:
    db.execute("select vsync.add_version('promised', document => 'select id, body || hits as content from notes')")
    work(db)
    db.execute("alter table notes drop column hits cascade; update notes set body = 'new' where id = 1")
    work(db)
    assert rows(db, "select version, state from vsync.stat_embeddings order by 1") == [(1, "active"), (2, "broken")]
    assert contents(db, notes)["1"] == ["new"]
    assert search(db)[1] is False
    refused(lambda: db.execute("select vsync.activate_version('promised', 2)"), "VS402")


def test_a_dependency_that_is_gone_leaves_deletes_followed(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table brands (id int primary key, name text); insert into brands values (1, 'b')")
    db.execute("create table goods (id int primary key, brand int, name text)")
    db.execute("insert into goods select i, 1, 'g ' || i from generate_series(1, 5) as i")
    goods = declare(db, "select g.id, g.name || b.name as content from goods g join brands b on b.id = g.brand")
    assert_fresh(db, goods)
    before = embedded_total(db, goods)
    db.execute("drop table brands cascade; delete from goods where id = 1")
    work(db)
    assert search(db) == dict.fromkeys(range(2, 6), True)
    db.execute("create table brands (id int primary key, name text); insert into brands values (1, 'b')")
    assert_fresh(db, goods)
    assert embedded_total(db, goods) == before
    db.execute("update brands set name = 'c'")
    assert_fresh(db, goods)


def test_a_root_of_two_embeddings_is_dropped_and_made_again(db: Connection, notes: Declared) -> None:
    other = declare(db, "select id, hits::text as content from notes", name="hits")
    assert_fresh(db, other)
    before = embedded_total(db, notes), embedded_total(db, other)
    db.execute("create table kept as table notes; drop table notes cascade")
    assert rows(db, "select distinct state from vsync.stat_embeddings") == [("broken",)]
    db.execute("alter table kept rename to notes; alter table notes add primary key (id)")
    assert_fresh(db, notes, other)
    assert (embedded_total(db, notes), embedded_total(db, other)) == before
    db.execute("update notes set body = 'new', hits = 100 where id = 1")
    assert_fresh(db, notes, other)


def test_two_that_repair_at_once_do_not_meet(db: Connection, connect: Connect, notes: Declared) -> None:
    repair = "select vsync.repair_embedding('promised')"
    db.execute("alter table notes drop column body cascade; alter table notes add column body text default 'new'")
    first = connect(autocommit=False)
    second = connect()
    assert value(first, repair) == 1
    later = in_background(lambda: value(second, repair))
    wait_until(lambda: blocked(db, second), "the first repair")
    first.commit()
    assert later.result() == 0
    assert_fresh(db, notes)
