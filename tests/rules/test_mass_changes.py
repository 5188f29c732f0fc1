"""A change that would touch more documents than somebody said yes to: one hold, whatever its size."""

from __future__ import annotations

from pathlib import Path

import pytest

from shop import Connection, declare, register, rows, run, value

DOCUMENT = """
select p.id, p.title || ' in ' || c.name as content
from stock.products as p join stock.categories as c on c.id = p.category
"""
_TABLES = """
create schema stock;
create table stock.categories (id int primary key, name text);
create table stock.products (id int primary key, category int, title text);
create index on stock.products (category);
insert into stock.categories values (1, 'large'), (2, 'small');
"""


def open_stock(db: Connection, model: Path, large: int, small: int) -> None:
    """Make a category of so many products, and a small one."""
    register(db, model)
    run(db, _TABLES)
    fill = "select i, case when i <= %s then 1 else 2 end, 'p' || mod(i, 50) from generate_series(1, %s::int) as i"
    run(db, f"insert into stock.products {fill}", large, large + small)
    declare(db, "stocked", DOCUMENT, index='{"type": "none"}')
    run(db, "call vsync.work()")
    assert value(db, "select count(*) from vsync_data.stocked_v1") == large + small


def sent(db: Connection) -> int:
    return value(db, "select inference_total from vsync.stat_embeddings where embedding = 'stocked'")


def renamed(db: Connection, name: str) -> int:
    return value(db, "select count(*) from vsync_data.stocked_v1 where split_part(content, ' in ', 2) = %s", name)


def test_a_rename_of_60_000_documents_waits_as_one_hold(db: Connection, tiny_model: Path) -> None:
    open_stock(db, tiny_model, 60_000, 10)
    run(db, "select vsync.create_rule('mass_changes', 'stocked', 'true', 'hold', '{\"over\": 50000}')")
    before = sent(db)
    run(db, "update stock.categories set name = 'huge' where id = 1")
    run(db, "update stock.categories set name = 'tiny' where id = 2")
    run(db, "call vsync.work()")
    assert renamed(db, "tiny") == 10
    assert renamed(db, "large") == 60_000
    holds = rows(db, "select id, rule, documents, state, relation::text from vsync.holds")
    assert [hold[1:] for hold in holds] == [("mass_changes", 60_000, "waiting", "stock.categories")]
    assert rows(db, "select stale, held from vsync.audit('stocked', true)") == [(0, 60_000)]
    sent_meanwhile = sent(db)
    run(db, "update stock.products set title = 'single' where id = 60005")
    run(db, "call vsync.work()")
    assert sent(db) == sent_meanwhile + 1
    assert sent_meanwhile - before <= 10
    run(db, "select vsync.approve(%s)", holds[0][0])
    run(db, "call vsync.work()")
    assert renamed(db, "huge") == 60_000
    assert value(db, "select count(*) from vsync_internal.marks") == 0
    assert rows(db, "select state from vsync.holds") == [("approved",)]


@pytest.mark.parametrize("relation", ['"relation": "stock.categories", ', ""])
def test_a_rejected_hold_leaves_the_old_vectors_and_says_so(db: Connection, tiny_model: Path, relation: str) -> None:
    open_stock(db, tiny_model, 60, 10)
    run(db, "select vsync.create_rule('mass_changes', 'stocked', 'true', 'hold', %s)", f'{{{relation}"over": 50}}')
    run(db, "update stock.categories set name = 'huge' where id = 1")
    run(db, "call vsync.work()")
    hold = value(db, "select id from vsync.holds where documents = 60")
    run(db, "select vsync.reject(%s)", hold)
    run(db, "call vsync.work()")
    assert renamed(db, "large") == 60
    search = "select stale, count(*) from vsync.search('stocked', 'p1 in large', 70) group by stale order by stale"
    assert rows(db, search) == [(False, 10), (True, 60)]
    assert rows(db, "select stale, held from vsync.audit('stocked', true)") == [(0, 60)]
    run(db, "update stock.products set title = 'changed' where id = 1")
    run(db, "call vsync.work()")
    assert rows(db, "select content from vsync_data.stocked_v1 where id = 1") == [("changed in huge",)]
    assert renamed(db, "large") == 59


def test_a_large_statement_on_the_root_waits_and_a_small_one_does_not(db: Connection, tiny_model: Path) -> None:
    open_stock(db, tiny_model, 60, 10)
    run(db, "select vsync.create_rule('mass_changes', 'stocked', 'true', 'hold', '{\"over\": 50}')")
    run(db, "update stock.products set title = 'few' where id <= 50")
    run(db, "call vsync.work()")
    assert value(db, "select count(*) from vsync_data.stocked_v1 where content like 'few%'") == 50
    run(db, "update stock.products set title = 'many' where id <= 51")
    run(db, "call vsync.work()")
    assert value(db, "select count(*) from vsync_data.stocked_v1 where content like 'many%'") == 0
    assert rows(db, "select documents, state from vsync.holds") == [(51, "waiting")]
    run(db, "select vsync.drop_rule('mass_changes')")
    run(db, "call vsync.work()")
    assert value(db, "select count(*) from vsync_data.stocked_v1 where content like 'many%'") == 51
