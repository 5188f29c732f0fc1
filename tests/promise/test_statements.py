"""Whatever kind of statement changes a table: once drained, the vectors equal a rebuild."""

from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connect, Connection
from promise.oracle import Declared, assert_fresh, contents, declare, register, work

DOCUMENT = "select id, title || ': ' || body as content from notes where live"


@pytest.fixture
def notes(db: Connection, tiny_model: Path) -> Declared:
    """Ten notes, drained."""
    register(db, tiny_model)
    db.execute("create table notes (id int primary key, title text, body text, live boolean default true, hits int)")
    db.execute("insert into notes select i, 'title', 'body ' || i from generate_series(1, 10) as i")
    embedding = declare(db, DOCUMENT)
    assert_fresh(db, embedding)
    return embedding


STATEMENTS = {
    "insert": "insert into notes (id, title, body) values (11, 'new', 'row'), (12, 'new', 'rows')",
    "insert of no row": "insert into notes select * from notes where false",
    "update of one row": "update notes set body = 'changed' where id = 3",
    "update of several rows": "update notes set body = 'changed ' || id where id < 6",
    "update of no row": "update notes set body = 'changed' where id = 99",
    "update of an irrelevant column": "update notes set hits = 1",
    "same value again": "update notes set body = body, title = title",
    "rows leave the condition": "update notes set live = false where id in (1, 2)",
    "a row's condition is null": "update notes set live = null where id = 1",
    "content becomes null": "update notes set title = null where id < 4",
    "delete of one row": "delete from notes where id = 5",
    "delete of several rows": "delete from notes where id > 5",
    "delete of all rows": "delete from notes",
    "truncate": "truncate notes",
    "truncate and insert": "truncate notes; insert into notes (id, title, body) values (3, 'after', 'truncate')",
    "key of one row changes": "update notes set id = 100 where id = 1",
    "all keys change": "update notes set id = id + 100",
    "keys move over one another": "update notes set id = id - 100 where id > 0; update notes set id = -90 - id",
    "upsert": """insert into notes (id, title, body) values (1, 'up', 'sert'), (20, 'up', 'sert')
        on conflict (id) do update set body = excluded.body""",
    "upsert that does nothing": "insert into notes (id, title, body) values (1, 'a', 'b') on conflict do nothing",
    "merge": """merge into notes as n using (values (1, 'one'), (2, null), (21, 'new')) as s (id, body) on s.id = n.id
        when matched and s.body is null then delete when matched then update set body = s.body
        when not matched then insert (id, title, body) values (s.id, 'merged', s.body)""",
    "writing cte": """with gone as (delete from notes where id < 3 returning *)
        insert into notes select id + 50, title, body || '!', live, hits from gone""",
    "one function, several statements": """do $$ begin update notes set body = 'x' where id = 1;
        delete from notes where id = 2; insert into notes (id, title, body) values (2, 'again', 'there'); end $$""",
}


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_a_statement_is_followed(db: Connection, notes: Declared, role: str) -> None:
    db.execute("select set_config('session_replication_role', %s, false)", [role])
    for statement in STATEMENTS.values():
        start_over(db)
        db.execute(statement.encode())
        assert_fresh(db, notes)


def start_over(db: Connection, count: int = 10) -> None:
    db.execute("truncate notes")
    db.execute("insert into notes select i, 'title', 'body ' || i %% 9 from generate_series(1, %s) as i", [count])
    work(db)


LARGE = {
    "insert": "insert into notes select i, 'title', 'large ' || i % 7 from generate_series(2001, 4600) as i",
    "update": "update notes set body = 'large ' || id % 5",
    "update of an irrelevant column": "update notes set hits = 1",
    "update of every second row": "update notes set body = 'half', hits = 1 where id % 2 = 0",
    "all keys change": "update notes set id = -id",
    "rows leave the condition": "update notes set live = false",
    "delete": "delete from notes where id <> 700",
    "upsert": """insert into notes select i, 'title', 'up ' || i % 3 from generate_series(1, 3000) as i
        on conflict (id) do update set body = 'sert'""",
    "merge": """merge into notes as n using generate_series(1, 4000) as s (id) on s.id = n.id
        when matched and n.id % 2 = 0 then delete when matched then update set body = 'matched'
        when not matched then insert (id, title, body) values (s.id, 'merged', 'in')""",
    "truncate": "truncate notes",
}


def test_a_large_statement_is_followed(db: Connection, notes: Declared) -> None:
    for statement in LARGE.values():
        start_over(db, 1500)
        db.execute(statement.encode())
        assert_fresh(db, notes)


def test_keys_that_are_exchanged_in_one_statement_are_followed(db: Connection, notes: Declared) -> None:
    db.execute("alter table notes drop constraint notes_pkey, add primary key (id) deferrable")
    for count in (11, 1499):
        start_over(db, count)
        db.execute("update notes set id = %s - id where id %% 3 <> 0", [count + 1])
        assert_fresh(db, notes)


def test_the_first_rows_beyond_a_page_are_followed(db: Connection, notes: Declared) -> None:
    for count in (999, 1000, 1001, 2000, 2001):
        db.execute("truncate notes")
        db.execute("insert into notes select i, 't', 'n' from generate_series(1, %s) as i", [count])
        db.execute("update notes set body = 'm ' || id % 3")
        db.execute("delete from notes where id > 1")
        assert_fresh(db, notes)


def test_copy_is_followed(db: Connection, notes: Declared) -> None:
    for first, last in ((20, 30), (1000, 3000)):
        with db.cursor() as cursor, cursor.copy("copy notes (id, title, body) from stdin") as copy:
            for i in range(first, last):
                copy.write_row((i, "copied", f"row {i % 11}"))
        assert_fresh(db, notes)


def test_a_rolled_back_change_leaves_nothing(db: Connection, connect: Connect, notes: Declared) -> None:
    before = contents(db, notes)
    writer = connect(autocommit=False)
    writer.execute("update notes set body = 'never'")
    writer.execute("insert into notes (id, title, body) values (11, 'never', 'never')")
    writer.execute("truncate notes")
    work_is_idle(db)
    writer.rollback()
    assert_fresh(db, notes)
    assert contents(db, notes) == before


def work_is_idle(db: Connection) -> None:
    assert db.execute("select vsync_internal.fold()").fetchone() == (0,)


def test_rolling_back_to_a_savepoint_leaves_what_was_before_it(
    db: Connection, connect: Connect, notes: Declared
) -> None:
    writer = connect(autocommit=False)
    writer.execute("update notes set body = 'kept' where id = 1")
    writer.execute("savepoint s")
    writer.execute("update notes set body = 'dropped' where id in (1, 2)")
    writer.execute("delete from notes where id = 3")
    writer.execute("rollback to s")
    writer.execute("savepoint inner_one")
    writer.execute("update notes set body = 'kept too' where id = 4")
    writer.execute("release inner_one")
    writer.commit()
    assert_fresh(db, notes)
    assert contents(db, notes)["1"] == ["title: kept"]


def test_a_prepared_transaction_counts_when_it_commits(db: Connection, connect: Connect, notes: Declared) -> None:
    writer = connect(autocommit=False)
    writer.execute("update notes set body = 'prepared' where id = 1")
    writer.execute("prepare transaction 'change'")
    work(db)
    assert contents(db, notes)["1"] == ["title: body 1"]
    db.execute("commit prepared 'change'")
    assert_fresh(db, notes)
    assert contents(db, notes)["1"] == ["title: prepared"]


def test_a_statement_that_fails_leaves_nothing(db: Connection, notes: Declared) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute("update notes set id = 1, body = 'never'")
    assert_fresh(db, notes)


def test_a_cursor_and_an_update_of_its_row_are_followed(db: Connection, connect: Connect, notes: Declared) -> None:
    writer = connect(autocommit=False)
    writer.execute("declare c cursor for select * from notes where id = 4 for update")
    writer.execute("fetch c")
    writer.execute("update notes set body = 'at the cursor' where current of c")
    writer.commit()
    assert_fresh(db, notes)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_writer_with_an_old_snapshot_is_followed(
    db: Connection, connect: Connect, notes: Declared, level: str
) -> None:
    writer = connect(autocommit=False)
    writer.execute(f"set transaction isolation level {level}".encode())
    writer.execute("select count(*) from notes")
    db.execute("update notes set body = 'meanwhile' where id = 1")
    work(db)
    writer.execute("update notes set body = 'late' where id = 2")
    writer.commit()
    assert_fresh(db, notes)
