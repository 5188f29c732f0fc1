"""Two links of one chain change together, in one transaction and in two, in every order of commits and workers' steps.

A delta that joined the far side as well would lose the key: where it looks, the other link has changed already.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest
from psycopg import sql

from fix_cluster import Connect, Connection
from promise.oracle import assert_fresh, declare, register, work
from vsync_engine.capture.wal_reader import Reader
from vsync_engine.foundation.host import PsycopgHost

TABLES = """
create table brands (id int primary key, name text);
create table products (id int primary key, brand_id int, name text);
create table items (id int primary key, product_id int, name text);
create table tags (id int primary key, name text);
create table item_tags (item_id int, tag_id int, primary key (item_id, tag_id));
"""
# of each case {n}: items {n} and {m} of products {n} and {m} of brands {n} and {m}; so the tags. {k} is nowhere
FILL = """
truncate brands, products, items, tags, item_tags;
insert into brands select n, 'brand ' || n from unnest(%(cases)s::int[]) as c (b), generate_series(b, b + 1) as n;
insert into products select id, id, 'product ' || id from brands;
insert into items select id, id, 'item ' || id from brands;
insert into tags select id, 'tag ' || id from brands;
insert into item_tags select id, id from brands;
"""
DOCUMENTS = {
    "inner_joined": "select i.id, i.name || ' of ' || p.name || ' by ' || b.name as content from items as i"
    " join products as p on p.id = i.product_id join brands as b on b.id = p.brand_id",
    "outer_joined": "select i.id, i.name || coalesce(' of ' || p.name, '') || coalesce(' by ' || b.name, '') as content"
    " from items as i left join products as p on p.id = i.product_id left join brands as b on b.id = p.brand_id",
    "tagged": "select i.id, coalesce((select string_agg(t.name, ',' order by t.id) from item_tags as x"
    " join tags as t on t.id = x.tag_id where x.item_id = i.id), 'none') as content from items as i",
    "branded": "select b.id, b.name || coalesce((select string_agg(i.name, ',' order by i.id) from products as p"
    " join items as i on i.product_id = p.id where p.brand_id = b.id), '') as content from brands as b",
    "existing": "select i.id, i.name as content from items as i where exists (select from products as p"
    " join brands as b on b.id = p.brand_id where p.id = i.product_id and b.name is not null)",
}
PAIRS = {
    "to another product, which goes to another brand": (
        "update items set product_id = {m} where id = {n}",
        "update products set brand_id = {n} where id = {m}",
    ),
    "to another product, the old one to another brand": (
        "update items set product_id = {m} where id = {n}",
        "update products set brand_id = {m} where id = {n}",
    ),
    "to another product, whose brand is renamed": (
        "update items set product_id = {m} where id = {n}",
        "update brands set name = 'renamed' where id = {m}",
    ),
    "to another product, the old brand renamed": (
        "update items set product_id = {m} where id = {n}",
        "update brands set name = 'renamed' where id = {n}",
    ),
    "product to another brand, which is renamed": (
        "update products set brand_id = {m} where id = {n}",
        "update brands set name = 'renamed' where id = {m}",
    ),
    "product to another brand, the old one renamed": (
        "update products set brand_id = {m} where id = {n}",
        "update brands set name = 'renamed' where id = {n}",
    ),
    "product to another brand, the old one gone": (
        "update products set brand_id = {m} where id = {n}",
        "delete from brands where id = {n}",
    ),
    "product to a new brand": (
        "update products set brand_id = {k} where id = {n}",
        "insert into brands values ({k}, 'new')",
    ),
    "product renumbered, its item follows": (
        "update products set id = {k} where id = {n}",
        "update items set product_id = {k} where id = {n}",
    ),
    "brand renumbered, its product follows": (
        "update brands set id = {k} where id = {n}",
        "update products set brand_id = {k} where id = {n}",
    ),
    "item to another product, the old one gone": (
        "update items set product_id = {m} where id = {n}",
        "delete from products where id = {n}",
    ),
    "item to a new product": (
        "update items set product_id = {k} where id = {n}",
        "insert into products values ({k}, {m}, 'new')",
    ),
    "product and brand gone": ("delete from products where id = {n}", "delete from brands where id = {n}"),
    "new product of a new brand": (
        "insert into products values ({k}, {k}, 'new'); update items set product_id = {k} where id = {n}",
        "insert into brands values ({k}, 'new')",
    ),
    "item gone, product renamed": (
        "delete from items where id = {n}",
        "update products set name = 'renamed' where id = {n}",
    ),
    "item renumbered, product to another brand": (
        "update items set id = {k} where id = {n}",
        "update products set brand_id = {m} where id = {n}",
    ),
    "tag moves to another item, and is renamed": (
        "update item_tags set item_id = {m} where item_id = {n}",
        "update tags set name = 'renamed' where id = {n}",
    ),
    "other tag, the old one renumbered": (
        "update item_tags set tag_id = {m} where item_id = {n}",
        "update tags set id = {k} where id = {n}",
    ),
    "new link to a new tag": (
        "insert into item_tags values ({n}, {k})",
        "insert into tags values ({k}, 'new')",
    ),
    "link gone, tag gone": ("delete from item_tags where item_id = {n}", "delete from tags where id = {n}"),
}
# events: a and b are the statements of the pair, A and B the commits of their transactions
ORDERS = ("aAbB", "abAB", "abBA", "baAB", "baBA", "bBaA", "ab+", "ba+")
STEPS = ("nothing", "fold", "claim", "drain")
_CASES = {(o, p): 1000 * (o + 1) + 10 * p for o in range(len(ORDERS)) for p in range(len(PAIRS))}


@pytest.mark.parametrize("capture", ["trigger", pytest.param("wal", marks=pytest.mark.soak)])
def test_two_links_that_change_together_are_followed(
    db: Connection, connect: Connect, tiny_model: Path, capture: str
) -> None:
    """Workers step in once, at any place, or after each event in the same way."""
    every = itertools.product(STEPS, repeat=3)
    follow(db, connect, tiny_model, capture, (s for s in every if s.count("nothing") > 1 or len(set(s)) == 1))


@pytest.mark.soak
@pytest.mark.parametrize("capture", ["trigger", "wal"])
def test_two_links_that_change_together_are_followed_whatever_workers_do(
    db: Connection, connect: Connect, tiny_model: Path, capture: str
) -> None:
    follow(db, connect, tiny_model, capture, itertools.product(STEPS, repeat=3))


def follow(db: Connection, connect: Connect, model: Path, capture: str, worked: Iterable[tuple[str, ...]]) -> None:
    register(db, model)
    db.execute(TABLES)
    embeddings = [declare(db, document, name=name, capture=capture) for name, document in DOCUMENTS.items()]
    writers = {(order, side): connect() for order in ORDERS for side in "ab"}
    reader = Reader(PsycopgHost(connect(autocommit=False))) if capture == "wal" else None
    for steps in worked:
        db.execute(sql.SQL(FILL.replace("%(cases)s", "{}")).format(sql.Literal(list(_CASES.values()))))
        work(db)
        try:
            play(db, connect(), writers, reader, steps)
            assert_fresh(db, *embeddings)
        except AssertionError as error:
            error.add_note(f"key // 1000 - 1 is the order of {ORDERS}, key % 1000 // 10 the pair; workers: {steps}")
            raise


def play(
    db: Connection,
    claimer: Connection,
    writers: dict[tuple[str, str], Connection],
    reader: Reader | None,
    steps: tuple[str, ...],
) -> None:
    """Let all orders happen at once, each over cases of its own, with a worker's step after each event."""
    held: list[int] = []
    for number in range(4):
        for order in ORDERS:
            if number < len(order):
                happen(writers, order, order[number])
        step = steps[number] if number < len(steps) else "nothing"
        for token in held:
            claimer.execute("select vsync_internal.release(%s)", [token])
        held = []
        if reader is not None and step in ("fold", "claim"):
            reader.look(urgent=True)
        if step == "fold":
            db.execute("select vsync_internal.fold()")
        elif step == "claim":
            held = claim(db, claimer)
        elif step == "drain":
            work(db)
    claimer.close()


def happen(writers: dict[tuple[str, str], Connection], order: str, event: str) -> None:
    together = order.endswith("+")
    if event in "ab":
        side = order[0] if together else event
        number = ORDERS.index(order)
        statements = [
            pair["ab".index(event)].format(n=_CASES[number, p], m=_CASES[number, p] + 1, k=_CASES[number, p] + 2)
            for p, pair in enumerate(PAIRS.values())
        ]
        begin = "" if together and event != side else "begin; "
        writers[order, side].execute((begin + "; ".join(statements)).encode())
    else:
        writers[order, order[0] if together else event.lower()].execute("commit")


def claim(db: Connection, claimer: Connection) -> list[int]:
    """Fold, and claim and render all there is: what is unchanged or gone is finished, the rest is held."""
    db.execute("select vsync_internal.fold()")
    db.execute("select vsync_internal.expand()")
    held: list[int] = []
    for (version,) in db.execute("select id from vsync_internal.versions order by id").fetchall():
        row = claimer.execute("select token, keys from vsync_internal.claim(%s, 5000)", [version]).fetchone()
        if row is not None and row[0] is not None:
            claimer.execute("select from vsync_internal.render(%s, %s)", row)
            held.append(row[0])
    return held


def test_every_pair_really_changes_a_document(db: Connection, tiny_model: Path) -> None:
    """The cases above are worth something: each pair changes what some document reads."""
    db.execute(TABLES)
    for number, pair in enumerate(PAIRS.values()):
        n = _CASES[0, number]
        db.execute(sql.SQL(FILL.replace("%(cases)s", "{}")).format(sql.Literal([n])))
        before = rendered(db)
        db.execute("; ".join(pair).format(n=n, m=n + 1, k=n + 2).encode())
        assert rendered(db) != before


def rendered(db: Connection) -> list[list[tuple[object, ...]]]:
    return [db.execute(document.encode()).fetchall() for document in DOCUMENTS.values()]
