"""Partitioned roots: whatever door a change comes in by, and whichever partitions come and go, the vectors follow."""

from pathlib import Path

import pytest
from psycopg import sql

from fix_cluster import Connect, Connection
from promise.oracle import Declared, assert_fresh, contents, declare, register

TABLES = """
create table parts (region text, id int, body text, hits int, primary key (region, id)) partition by list (region);
create table parts_eu partition of parts for values in ('eu') partition by range (id);
create table parts_eu_1 partition of parts_eu for values from (0) to (100);
create table parts_eu_2 (id int, hits int, dropped text, region text not null, body text, primary key (region, id));
alter table parts_eu_2 drop column dropped;
alter table parts_eu attach partition parts_eu_2 for values from (100) to (200);
create table parts_us partition of parts for values in ('us');
insert into parts select r, i, 'body ' || i, 0 from unnest(array['eu', 'us']) as r, generate_series(95, 105) as i;
"""


@pytest.fixture
def parts(db: Connection, tiny_model: Path) -> Declared:
    """Two levels of partitions, one with its columns in another order; drained."""
    register(db, tiny_model)
    db.execute(TABLES)
    embedding = declare(db, "select region, id, body as content from parts", key=("region", "id"))
    assert_fresh(db, embedding)
    return embedding


STATEMENTS = (
    "insert into parts_us values ('us', 1, 'direct')",
    "insert into parts_eu values ('eu', 1, 'half way'), ('eu', 106, 'half way')",
    "update parts_eu_2 set body = 'direct' where id = 101",
    "update parts set region = 'us', id = id + 1000 where id = 96 and region = 'eu'",
    "update parts set id = id + 50 where region = 'eu'",
    "update parts_eu set id = id - 50, body = body || '.'",
    "update parts_eu set id = id + 20 where id between 90 and 99",
    "delete from parts_us where id = 104",
    "delete from parts_eu where id > 100",
    "truncate parts_us",
    "truncate parts_eu",
    "insert into parts select 'eu', i, 'many ' || i % 7 from generate_series(0, 199) as i",
    "insert into parts_us select 'us', i, 'many ' || i % 7 from generate_series(0, 1999) as i",
    "update parts set region = 'us', id = id + 5000, hits = 1 where region = 'eu'",
    "update parts_us set body = 'direct and many ' || id % 3",
    "update parts set region = 'eu' where id between 10 and 100 and region = 'us'",
    "truncate parts",
)


def test_every_door_to_a_partition_is_followed(db: Connection, parts: Declared) -> None:
    for statement in STATEMENTS:
        db.execute(statement.encode())
        assert_fresh(db, parts)


def test_copy_into_a_partition_is_followed(db: Connection, parts: Declared) -> None:
    with db.cursor() as cursor, cursor.copy("copy parts_eu_2 (region, id, body) from stdin") as copy:
        copy.write_row(("eu", 150, "copied"))
    assert_fresh(db, parts)


def test_a_row_that_a_trigger_stops_on_its_way_to_another_partition_is_followed(
    db: Connection, parts: Declared
) -> None:
    db.execute("create function stop() returns trigger language plpgsql as 'begin return null; end'")
    db.execute("""create trigger stop before insert on parts_us for each row when (new.id in (1095, 1096))
        execute function stop()""")
    db.execute("update parts set region = 'us', id = id + 1000 where region = 'eu' and id = 95")
    assert_fresh(db, parts)
    assert "(eu,95)" not in contents(db, parts)
    db.execute("update parts set region = 'us', id = id + 1000 where region = 'eu' and id in (96, 97)")
    assert_fresh(db, parts)
    assert "(eu,96)" not in contents(db, parts)


CHANGES = {
    "new partition": "create table parts_asia partition of parts for values in ('asia')",
    "new default": "create table parts_rest partition of parts default",
    "new subtree": """create table parts_af partition of parts for values in ('af') partition by range (id);
        create table parts_af_1 partition of parts_af for values from (0) to (5)""",
    "detached": "alter table parts detach partition parts_us",
    "detached at the second level": "alter table parts_eu detach partition parts_eu_2",
    "subtree detached": "alter table parts detach partition parts_eu",
    "dropped": "drop table parts_us",
    "dropped at the second level": "drop table parts_eu_1",
    "subtree dropped": "drop table parts_eu",
    "attached with rows": """create table parts_au (like parts including all);
        insert into parts_au values ('au', 1, 'a');
        alter table parts attach partition parts_au for values in ('au');
        insert into parts_au values ('au', 2, 'b')""",
    "exchanged": """begin; create table parts_us_new (like parts including all);
        insert into parts_us_new values ('us', 95, 'exchanged'), ('us', 1, 'new');
        alter table parts detach partition parts_us;
        alter table parts attach partition parts_us_new for values in ('us'); commit""",
    "split": """begin; create table half partition of parts_eu for values from (200) to (300);
        alter table parts_eu detach partition parts_eu_2; insert into half select 'eu', id + 100, body from parts_eu_2;
        commit""",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_partitions_that_come_and_go_are_followed(db: Connection, parts: Declared, change: str) -> None:
    db.execute(change.encode())
    assert_fresh(db, parts)
    db.execute("update parts set body = body || ' again'")
    assert_fresh(db, parts)


def test_a_detached_partition_goes_its_own_way_and_comes_back(
    db: Connection, connect: Connect, parts: Declared
) -> None:
    db.execute("alter table parts detach partition parts_us")
    triggers = sql.SQL("select count(*) from pg_trigger where tgrelid = 'parts_us'::regclass and tgname like 'vsync%'")
    assert db.execute(triggers).fetchone() == (0,)
    assert_fresh(db, parts)
    db.execute("alter table parts rename column id to number")
    db.execute("update parts_us set body = 'on its own', id = id - 50")
    db.execute("delete from parts_us where id = 50")
    document = "select region, number as id, body as content from parts"
    assert_fresh(db, parts, document=document)
    db.execute("alter table parts_us rename column id to number")
    connect().execute("alter table parts attach partition parts_us for values in ('us')")
    assert_fresh(db, parts, document=document)
    db.execute("update parts_us set body = 'at home' where number = 46")
    assert_fresh(db, parts, document=document)
    assert contents(db, parts)["(us,46)"] == ["at home"]


def test_a_partition_detached_concurrently_is_followed(db: Connection, parts: Declared) -> None:
    db.execute("alter table parts detach partition parts_us concurrently")
    assert_fresh(db, parts)


def test_rolled_back_changes_of_partitions_leave_capture_as_it_was(
    db: Connection, connect: Connect, parts: Declared
) -> None:
    other = connect(autocommit=False)
    other.execute("alter table parts detach partition parts_us; drop table parts_eu_1")
    other.rollback()
    db.execute("update parts_us set body = 'still there'; update parts_eu_1 set body = 'too'")
    assert_fresh(db, parts)
