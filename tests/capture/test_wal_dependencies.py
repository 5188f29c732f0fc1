"""Documents over joins, captured by WAL: the tables they depend on, and the same end as with triggers."""

from pathlib import Path
from random import Random

import pytest

from capture.steps import declare
from fix_cluster import Connect, Connection
from races.steps import make_table, run, scalar
from shop import refused

DOCUMENT = """select i.id, i.body || ' in ' || coalesce(c.name, 'none') || coalesce(
(select string_agg(r.body, ' ' order by r.id) from shop.reviews as r where r.item = i.id), '') as content
from shop.items as i left join shop.categories as c on c.id = i.category"""


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    """A session; items with a category and reviews, nothing embedded yet."""
    make_table(db, tiny_model)
    run(db, "alter table shop.items add column category int")
    run(db, "create table shop.categories (id int primary key, name text, hits int)")
    run(db, "create table shop.reviews (id int primary key, item int, body text)")
    run(db, "insert into shop.categories select g, 'category ' || g from generate_series(1, 5) as g")
    run(db, "insert into shop.items select g, 'item ' || g, 0, g % 7 from generate_series(1, 30) as g")
    run(db, "insert into shop.reviews select g, g % 30 + 1, 'review ' || g from generate_series(1, 20) as g")
    return db


def agree(db: Connection, name: str) -> bool:
    query = f"select count(*) from (({DOCUMENT}) except (select id, content from shop.{name})) as x"
    back = f"select count(*) from ((select id, content from shop.{name}) except ({DOCUMENT})) as x"
    return scalar(db, query) == scalar(db, back) == 0


def test_a_dependency_needs_an_identity_that_tells_its_path(shop: Connection) -> None:
    report = refused(lambda: declare(shop, "by_wal", DOCUMENT), "VS502")
    assert "shop.reviews" in str(report.message_primary)
    declare(shop, "by_wal", DOCUMENT, options='{"replica_identity": "full"}')
    identities = (
        "select relname, relreplident::text from pg_class where oid = any (array['shop.categories', 'shop.items', "
    )
    identities += "'shop.reviews']::regclass[]) order by 1"
    assert run(shop, identities) == [("categories", "d"), ("items", "d"), ("reviews", "f")]
    shop.execute("call vsync.work()")
    for change in (
        "update shop.categories set name = name || '!' where id = 2",
        "update shop.reviews set item = item % 30 + 1",
        "delete from shop.reviews where id < 5; delete from shop.categories where id = 1",
        "insert into shop.categories values (6, 'new'), (0, 'zero')",
        "update shop.categories set id = id + 10 where id = 3",
        "truncate shop.reviews",
        "truncate shop.categories",
    ):
        run(shop, change)
        shop.execute("call vsync.work()")
        assert agree(shop, "by_wal"), change


def test_a_random_history_ends_in_the_same_vectors_with_both_captures(shop: Connection, connect: Connect) -> None:
    declare(shop, "by_trigger", DOCUMENT, "trigger")
    declare(shop, "by_wal", DOCUMENT, options='{"replica_identity": "full"}')
    chance = Random(11)
    writers = [connect(autocommit=False) for _ in range(2)]
    for step in range(120):
        which = chance.randrange(2)
        key = chance.randrange(15) * 2 + which
        run(
            writers[which],
            chance.choice(
                (
                    f"update shop.items set category = {chance.randrange(7)} where id = {key}",
                    f"update shop.items set body = 'item {chance.randrange(9)}' where id = {key}",
                    f"delete from shop.items where id = {key}",
                    f"insert into shop.items values ({key}, 'a', 0, 1) on conflict (id) do update set body = 'again'",
                    f"update shop.reviews set item = {key} where id = {key}",
                    f"delete from shop.reviews where id = {key}",
                    f"insert into shop.reviews values ({key}, {key}, 'r') on conflict (id) do nothing",
                    f"update shop.categories set name = 'name {step}' where id % 2 = {which}",
                    f"update shop.categories set hits = {step} where id % 2 = {which}",
                )
            ),
        )
        if chance.random() < 0.4:
            chance.choice((writers[which].commit, writers[which].commit, writers[which].rollback))()
        if chance.random() < 0.1:
            shop.execute("call vsync.work(duration => '10 ms')")
    for writer in writers:
        writer.commit()
    shop.execute("call vsync.work()")
    assert agree(shop, "by_trigger")
    assert agree(shop, "by_wal")


def test_a_version_whose_document_reads_another_table_is_checked_and_published(shop: Connection) -> None:
    declare(shop, "found", "select id, body as content from shop.items")
    shop.execute("call vsync.work()")
    add = "select vsync.add_version('found', document => %s)"
    refused(lambda: shop.execute(add, [DOCUMENT]), "VS502")
    run(shop, "alter table shop.reviews replica identity full")
    shop.execute(add, [DOCUMENT])
    shop.execute("call vsync.work()")
    run(shop, "update shop.reviews set body = 'changed'; update shop.categories set name = 'changed'")
    shop.execute("call vsync.work()")
    shop.execute("select vsync.activate_version('found', 2, true)")
    assert agree(shop, "found")
