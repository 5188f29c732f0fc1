"""Partitioned tables by WAL: every door, partitions that come and go, dependencies without a key."""

from pathlib import Path

import pytest

from capture.steps import declare, logged, read_all
from fix_cluster import Connection
from races.steps import make_table, run, scalar

TABLES = """
create table shop.parts (region text, id int, body text, hits int, primary key (region, id)) partition by list (region);
create table shop.parts_eu partition of shop.parts for values in ('eu') partition by range (id);
create table shop.parts_eu_1 partition of shop.parts_eu for values from (0) to (100);
create table shop.parts_eu_2 (id int, hits int, dropped text, region text, body text, primary key (region, id));
alter table shop.parts_eu_2 drop column dropped;
alter table shop.parts_eu attach partition shop.parts_eu_2 for values from (100) to (200);
create table shop.parts_us partition of shop.parts for values in ('us');
insert into shop.parts select r, i, 'body ' || i, 0 from unnest(array['eu', 'us']) as r, generate_series(95, 105) as i;
"""
DOCUMENT = "select region, id, body as content from shop.parts"
FRESH = """select count(*) from (
(select region, id, body from shop.parts where body <> '' except select region, id, content from shop.found)
union all (select region, id, content from shop.found except select region, id, body from shop.parts)) as x"""

STATEMENTS = (
    "insert into shop.parts_us values ('us', 1, 'direct')",
    "insert into shop.parts_eu values ('eu', 1, 'half way'), ('eu', 106, 'half way')",
    "update shop.parts_eu_2 set body = 'direct' where id = 101",
    "update shop.parts set region = 'us', id = id + 1000 where id = 96 and region = 'eu'",
    "update shop.parts_eu set id = id + 20 where id between 90 and 99",
    "delete from shop.parts_us where id = 104",
    "truncate shop.parts_us",
    "insert into shop.parts select 'eu', i, 'many ' || i % 7 from generate_series(2, 60) as i",
    "create table shop.parts_asia partition of shop.parts for values in ('asia')",
    "insert into shop.parts_asia values ('asia', 1, 'in a new partition'), ('asia', 2, 'another')",
    "update shop.parts_asia set body = 'changed' where id = 1",
    "alter table shop.parts detach partition shop.parts_asia",
    "delete from shop.parts_asia where id = 1",
    "alter table shop.parts attach partition shop.parts_asia for values in ('asia')",
    "drop table shop.parts_asia",
    "alter table shop.parts rename column body to words; alter table shop.parts rename column words to body",
    "truncate shop.parts_eu",
    "truncate shop.parts",
)


@pytest.fixture
def parts(db: Connection, tiny_model: Path) -> Connection:
    make_table(db, tiny_model)
    run(db, TABLES)
    declare(db, "found", DOCUMENT)
    db.execute("call vsync.work()")
    return db


@pytest.mark.parametrize("drained", [True, False])
def test_every_door_to_a_partition_is_followed(parts: Connection, drained: bool) -> None:
    for statement in STATEMENTS:
        run(parts, statement)
        if drained:
            parts.execute("call vsync.work()")
            assert scalar(parts, FRESH) == 0, statement
    parts.execute("call vsync.work()")
    assert scalar(parts, FRESH) == 0


def test_a_partition_attached_with_its_rows_is_seen(
    parts: Connection,
) -> None:
    run(parts, "create table shop.more (like shop.parts including all)")
    run(parts, "insert into shop.more values ('more', 1, 'attached with its row')")
    run(parts, "alter table shop.parts attach partition shop.more for values in ('more')")
    parts.execute("call vsync.work()")
    assert scalar(parts, FRESH) == 0


def test_a_new_partition_of_a_table_with_full_identity_takes_writes(parts: Connection) -> None:
    """Its parent has no key: published as it is made, it would refuse UPDATE and DELETE."""
    run(parts, "create table shop.keyless (id int, body text) partition by list (id)")
    run(parts, "create table shop.keyless_1 partition of shop.keyless for values in (1)")
    run(parts, "alter table shop.keyless_1 replica identity full")
    run(
        parts,
        """insert into vsync_internal.feeds (relation, capture, keys, columns) values ('shop.keyless', 'wal',
        '[{"column": "body", "output": "body", "type": "text", "builtin": true}]', '{body}')""",
    )
    run(parts, "select vsync_internal.sync_publication()")
    run(parts, "create table shop.keyless_2 partition of shop.keyless for values in (2)")
    run(parts, "insert into shop.keyless values (2, 'a'); update shop.keyless set body = 'b'; delete from shop.keyless")


def test_the_log_tells_keys_by_name_where_partitions_order_columns_otherwise(parts: Connection, dsn: str) -> None:
    run(parts, "update shop.parts set body = 'x' where id = 101")
    read_all(dsn)
    assert logged(parts, "wal") == {("U", '["eu", 101]'), ("U", '["us", 101]')}
