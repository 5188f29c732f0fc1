"""By WAL the log says what the triggers say: every kind of statement, transaction and key."""

from pathlib import Path
from random import Random

import psycopg
import pytest

from capture.steps import declare, forget, logged, logged_keys, read_all
from fix_cluster import Connect, Connection
from races.steps import make_table, put, run, scalar

FILL = "insert into shop.items select g, 'text ' || g from generate_series(1, 20) as g"
STATEMENTS = {
    "insert": "insert into shop.items values (100, 'new')",
    "insert of nothing": "insert into shop.items select 1, 'x' where false",
    "update of one row": "update shop.items set body = 'new' where id = 3",
    "update of many rows": "update shop.items set body = 'new' where id < 10",
    "update to the same": "update shop.items set body = body",
    "update of an irrelevant column": "update shop.items set price = 7",
    "update of some": "update shop.items set body = case when id < 5 then 'new' else body end, price = 1",
    "key change": "update shop.items set id = id + 1000 where id in (3, 4)",
    "null text": "update shop.items set body = null where id = 3",
    "delete": "delete from shop.items where id > 15",
    "truncate": "truncate shop.items",
    "upsert": "insert into shop.items values (5, 'old key'), (500, 'new key') "
    "on conflict (id) do update set body = excluded.body",
    "merge": "merge into shop.items as t using (values (5, 'm'), (6, null), (600, 'm')) as s (id, body) on t.id = s.id "
    "when matched and s.body is null then delete when matched then update set body = s.body "
    "when not matched then insert values (s.id, s.body)",
    "rollback": "begin; update shop.items set body = 'x'; insert into shop.items values (700, 'x'); rollback",
    "savepoint": "begin; insert into shop.items values (701, 'x'); savepoint s; insert into shop.items values (702, 'x'"
    "); rollback to s; insert into shop.items values (703, 'x'); savepoint s2; update shop.items set body = 'y'"
    "; release s2; commit",
    "prepared and committed": "begin; insert into shop.items values (704, 'x'); prepare transaction 'p';"
    " commit prepared 'p'",
    "prepared and rolled back": "begin; insert into shop.items values (705, 'x'); prepare transaction 'p';"
    " rollback prepared 'p'",
    "DDL in between": "begin; update shop.items set body = 'a' where id = 1; alter table shop.items add column note"
    " text; update shop.items set body = 'b', note = 'n' where id = 2; commit",
    "rewrite": "alter table shop.items alter column price type float8 using price; update shop.items set body = 'r'",
}


@pytest.mark.parametrize("kind", STATEMENTS)
def test_a_statement_is_logged_as_by_triggers(both: Connection, dsn: str, kind: str) -> None:
    run(both, FILL)
    read_all(dsn)
    forget(both)
    for statement in STATEMENTS[kind].split("; "):
        run(both, statement)
    read_all(dsn)
    assert logged(both, "wal") == logged(both, "trigger")
    assert len(logged_keys(both, "wal")) <= len(logged_keys(both, "trigger"))


def test_copy_is_logged(both: Connection, dsn: str) -> None:
    with both.cursor() as cursor, cursor.copy("copy shop.items (id, body) from stdin") as copy:
        for i in range(2500):
            copy.write_row((i, f"text {i}"))
    read_all(dsn)
    assert logged_keys(both, "wal") == logged_keys(both, "trigger")
    packs = "select max(cardinality(l.keys)), count(*) from vsync_internal.log as l where feed_id = (select id from "
    packs += "vsync_internal.feeds where capture = 'wal')"
    assert run(both, packs) == [(1000, 3)]


def test_nothing_is_logged_for_tables_that_nobody_reads(both: Connection, dsn: str) -> None:
    run(both, "create table shop.other (id int, body text)")
    run(both, "insert into shop.other select g, 'x' from generate_series(1, 1000) as g")
    run(both, "delete from shop.other where id < 10")
    read_all(dsn)
    assert logged(both, "wal") == set()
    assert scalar(both, "select transactions from vsync_internal.wal_state") == 0


def test_tables_without_a_key_that_nobody_reads_are_updated_and_deleted_as_before(both: Connection) -> None:
    run(both, "create table shop.keyless (body text); insert into shop.keyless values ('a')")
    run(both, "update shop.keyless set body = 'b'; delete from shop.keyless")


def test_interleaved_transactions_are_each_logged_whole(both: Connection, dsn: str, connect: Connect) -> None:
    run(both, FILL)
    first, second = connect(autocommit=False), connect(autocommit=False)
    for i in range(3):
        put(first, 1 + i, f"first {i}")
        put(second, 11 + i, f"second {i}")
    second.commit()
    read_all(dsn)
    forget(both)
    put(first, 4, "last")
    first.commit()
    read_all(dsn)
    assert logged(both, "wal") == {("U", key) for key in "1234"}


def test_the_log_rows_tell_when_the_change_was_committed(both: Connection, dsn: str) -> None:
    before = scalar(both, "select clock_timestamp()")
    put(both, 1, "x")
    after = scalar(both, "select clock_timestamp()")
    scalar(both, "select pg_sleep(0.2)")
    read_all(dsn)
    feed = "select id from vsync_internal.feeds where capture = 'wal'"
    at = f"select captured_at from vsync_internal.log where feed_id = ({feed})"
    assert before <= scalar(both, at) <= after


def test_a_long_text_that_an_update_leaves_alone_is_no_change(both: Connection, dsn: str) -> None:
    run(both, "alter table shop.items alter column body set storage external")
    put(both, 1, "long " * 10_000)
    read_all(dsn)
    forget(both)
    run(both, "update shop.items set price = 3")
    read_all(dsn)
    assert logged(both, "wal") == set()
    run(both, "update shop.items set body = body || '.'")
    read_all(dsn)
    assert logged(both, "wal") == {("U", "1")}


def test_without_old_values_every_update_is_logged_and_skipped_by_its_text(
    db: Connection, dsn: str, tiny_model: Path
) -> None:
    make_table(db, tiny_model)
    declare(db, "by_wal")
    run(db, FILL)
    db.execute("call vsync.work()")
    forget(db)
    run(db, "update shop.items set price = 7 where id = 3")
    read_all(dsn)
    assert logged(db, "wal") == {("U", "3")}
    db.execute("call vsync.work()")
    assert scalar(db, "select inference_total from vsync.stat_embeddings") == 20
    run(db, "update shop.items set id = 300 where id = 3; delete from shop.items where id = 4")
    db.execute("call vsync.work()")
    assert set(run(db, "select id from shop.by_wal")) == {(i,) for i in (*range(1, 3), *range(5, 21), 300)}


def test_a_random_history_leaves_the_same_log(both: Connection, dsn: str, connect: Connect) -> None:
    chance = Random(7)
    writers = [connect(autocommit=False) for _ in range(3)]
    for _ in range(300):
        which = chance.randrange(3)
        writer, key = writers[which], chance.randrange(10) * 3 + which
        match chance.randrange(8):
            case 0:
                run(writer, f"delete from shop.items where id = {key}")
            case 1:
                run(writer, f"update shop.items set price = price + 1 where id % 3 = {which}")
            case 2:
                run(writer, f"update shop.items set id = {key} + 30 where id = {key} and not exists "
                    f"(select from shop.items where id = {key} + 30)")  # fmt: skip
            case 3:
                run(writer, f"update shop.items set body = 'text {chance.randrange(3)}' where id % 3 = {which}")
            case 4:
                writer.rollback()
            case _:
                put(writer, key, f"text {chance.randrange(5)}")
        if chance.random() < 0.5:
            writer.commit()
        if chance.random() < 0.05:
            read_all(dsn)
    for writer in writers:
        writer.commit()
    read_all(dsn)
    assert logged(both, "wal") == logged(both, "trigger")


KEYS = {
    "int": ("k int", "-7"),
    "bigint": ("k bigint", "9223372036854775807"),
    "numeric": ("k numeric(20, 4)", "12345.6700"),
    "uuid": ("k uuid", "'0F0E0D0C-0b0a-0908-0706-050403020100'"),
    "text": ("k text", "e'Ünï \"quoted\" it''s {,} \\\\ \\n key 😀'"),
    "varchar": ("k varchar(9)", "'a ''b'''"),
    "character": ("k char(6)", "'ab'"),
    "name": ("k name", "'The Name'"),
    "boolean": ("k boolean", "true"),
    "date": ("k date", "'2026-02-01'"),
    "timestamp": ("k timestamp", "'2026-02-01 10:00:00.123456'"),
    "timestamptz": ("k timestamptz", "'2026-02-01 10:00:00.123456+05:30'"),
    "timetz": ("k timetz", "'10:00:00+05:30'"),
    "interval": ("k interval", "'-1 year +1 day +02:03:04'"),
    "float8": ("k float8", "0.1::float8 + 0.2::float8"),
    "float4": ("k float4", "1e-7::float4"),
    "bytea": ("k bytea", "'\\x00ff5c'"),
    "inet": ("k inet", "'10.0.0.1'"),
    "range": ("k int4range", "'[1,7]'"),
    "array": ("k text[]", "array['a b', null, 'it''s']"),
    "enum": ('k shop."Mood"', "'so, So'"),
    "domain": ("k shop.positive", "7"),
    "domain of text": ("k shop.word", "'a word'"),
}


SEVERAL = ("int, text", "date, numeric, boolean", "timestamptz, enum, domain", "float8, array")


@pytest.mark.parametrize("kind", [*KEYS, *SEVERAL])
def test_keys_of_every_type_are_written_as_triggers_write_them(
    db: Connection, dsn: str, tiny_model: Path, kind: str
) -> None:
    make_table(db, tiny_model)
    run(db, "create type shop.\"Mood\" as enum ('so, So', 'Happy')")
    run(db, "create domain shop.positive as bigint check (value > 0); create domain shop.word as text")
    parts = [KEYS[part] for part in kind.split(", ")]
    names = [f'"Key {i}"' for i in range(len(parts))]
    columns = ", ".join(column.replace("k ", f"{name} ", 1) for name, (column, _) in zip(names, parts, strict=True))
    run(db, f'create table shop."Keyed" ({columns}, body text, primary key ({", ".join(names)}))')
    document = f'select {", ".join(names)}, body as content from shop."Keyed"'
    declare(db, "by_trigger", document, "trigger")
    declare(db, "by_wal", document)
    read_all(dsn)
    run(
        db,
        "set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'; set extra_float_digits = -10; "
        "set timezone = 'Asia/Kolkata'; set bytea_output = 'escape'",
    )
    run(db, f"insert into shop.\"Keyed\" values ({', '.join(value for _, value in parts)}, 'a')")
    run(db, "update shop.\"Keyed\" set body = 'b'")
    run(db, 'delete from shop."Keyed"')
    with psycopg.connect(dsn, options="-c datestyle=German -c client_encoding=LATIN1 -c extra_float_digits=-15"):
        read_all(dsn)
    assert logged(db, "wal") == logged(db, "trigger")
    assert {op for op, _ in logged(db, "wal")} == {"I", "U", "D"}


def test_a_large_transaction_is_logged_whole(both: Connection, dsn: str) -> None:
    run(both, "begin")
    run(both, "insert into shop.items select g, 'x' from generate_series(1, 100000) as g")
    run(both, "update shop.items set body = 'y'")
    run(both, "commit")
    read_all(dsn)
    assert logged(both, "wal") == logged(both, "trigger")
    assert len(logged_keys(both, "wal")) == 200_000
    assert scalar(both, "select transactions from vsync_internal.wal_state") == 1
