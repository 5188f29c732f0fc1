"""DDL and workers meet: neither fails nor waits for the other for ever."""

import threading
from pathlib import Path
from time import sleep

from fix_cluster import Connect, Connection
from promise.oracle import assert_fresh, declare, register
from promise.stage import Background
from races.steps import in_background


def test_tables_dropped_beside_working_workers_stop_nobody(db: Connection, connect: Connect, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table kept (id int primary key, body text)")
    kept = declare(db, "select id, body as content from kept", name="keeper")
    with Background(connect()), Background(connect()):
        for number in range(12):
            db.execute("create table notes (id int primary key, body text)")
            db.execute("insert into notes select i, 'body ' || i from generate_series(1, 3000) as i")
            declare(db, "select id, body as content from notes")
            db.execute("update notes set body = body || '.' where id % 3 = 0")
            db.execute("select pg_sleep(%s)", [number * 0.02])
            if number % 3 == 0:
                db.execute("truncate notes")
            db.execute("drop table notes cascade" if number % 2 else "alter table notes drop column body cascade")
            db.execute("select vsync.drop_embedding('promised')")
            db.execute("drop table if exists notes")
            db.execute("insert into kept values (%s, 'row')", [number])
    assert_fresh(db, kept)


def test_partitions_come_and_go_beside_working_workers(db: Connection, connect: Connect, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table parts (id int primary key, body text) partition by range (id)")
    db.execute("create table parts_0 partition of parts for values from (0) to (1000)")
    db.execute("insert into parts select i, 'body ' || i from generate_series(0, 999) as i")
    parts = declare(db, "select id, body as content from parts")
    writer = connect()
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            writer.execute("update parts set body = body || '.' where id % 100 = 7")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with Background(connect()), Background(connect()):
            for number in range(1, 8):
                db.execute(
                    f"create table parts_{number} partition of parts for values"
                    f" from ({number * 1000}) to ({number * 1000 + 1000})".encode()
                )
                db.execute(
                    "insert into parts select i, 'new' from generate_series(%s::int, %s::int) as i",
                    [number * 1000, number * 1000 + 400],
                )
                db.execute(f"alter table parts detach partition parts_{number - 1}".encode())
                if number % 2:
                    db.execute(f"drop table parts_{number - 1}".encode())
                else:
                    bounds = f"from ({number * 1000 - 1000}) to ({number * 1000})"
                    db.execute(f"alter table parts attach partition parts_{number - 1} for values {bounds}".encode())
    finally:
        stop.set()
        thread.join()
    assert_fresh(db, parts)


def test_columns_are_renamed_beside_working_workers(db: Connection, connect: Connect, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute("create table notes (id int primary key, body text)")
    db.execute("insert into notes select i, 'body ' || i from generate_series(1, 500) as i")
    notes = declare(db, "select id, body as content from notes")
    with Background(connect()), Background(connect()):
        for number in range(10):
            key, text = ("id", "body") if number % 2 else ("number", "words")
            old_key, old_text = ("number", "words") if number % 2 else ("id", "body")
            db.execute(f"alter table notes rename column {old_key} to {key}".encode())
            db.execute(f"update notes set {old_text} = {old_text} || '.' where {key} % 7 = {number % 7}".encode())
            db.execute(f"alter table notes rename column {old_text} to {text}".encode())
            db.execute(f"insert into notes values ({1000 + number}, 'new')".encode())
            db.execute(f"delete from notes where {key} = {number * 3}".encode())
    assert_fresh(db, notes)


def test_an_embedding_is_dropped_beside_a_worker_that_is_at_one_of_its_pages(
    db: Connection, connect: Connect, tiny_model: Path
) -> None:
    register(db, tiny_model)
    db.execute("create table notes (id int primary key, body text)")
    declare(db, "select id, body as content from notes")
    db.execute("call vsync.work()")
    db.execute(
        "insert into vsync_internal.pages (version_id, generation, captured_at, keys) "
        "select v.id, nextval('vsync_internal.generation'), now(), '{1}' from vsync_internal.versions as v"
    )
    worker = connect()
    with worker.transaction():
        # as one that follows a change: a page first, then what it leads to
        worker.execute("select from vsync_internal.pages for update")
        dropping = in_background(lambda: db.execute("select vsync.drop_embedding('promised')"))
        sleep(1.5)  # more than deadlock_timeout
        worker.execute("set local lock_timeout = '20 s'")
        worker.execute("select count(*) from notes")
    dropping.result(60)
    assert db.execute("select count(*) from vsync_internal.pages").fetchone() == (0,)
