"""Switching an embedding between trigger and WAL loses nothing, whoever writes meanwhile."""

from pathlib import Path
from random import Random
from threading import Event

import pytest

from capture.steps import declare, slot
from fix_cluster import Connect, Connection, MakeRole
from races.steps import in_background, make_table, put, run, scalar
from shop import refused

FRESH = """select count(*) from ((select id, body from shop.items except select id, content from shop.found)
union all (select id, content from shop.found except select id, body from shop.items)) as x"""


@pytest.fixture
def found(db: Connection, tiny_model: Path) -> Connection:
    make_table(db, tiny_model)
    run(db, "insert into shop.items select g, 'text ' || g from generate_series(1, 50) as g")
    declare(db, "found", capture="trigger")
    db.execute("call vsync.work()")
    return db


def triggers(db: Connection) -> int:
    ours = "tgrelid = 'shop.items'::regclass and tgname like 'vsync%%'"
    return scalar(db, f"select count(*) from pg_trigger where {ours}")


@pytest.mark.parametrize("capture", ["wal", "manual"])
def test_a_switch_and_back_embeds_only_what_changed(found: Connection, capture: str) -> None:
    put(found, 1, "captured by trigger, not folded")
    found.execute("select vsync.set_capture('found', %s)", [capture])
    assert triggers(found) == 0
    assert slot(found) is None
    put(found, 2, "between the modes")
    found.execute("call vsync.work()")
    assert scalar(found, FRESH) == 0
    if capture == "wal":
        put(found, 3, "in the WAL, not read")
        assert slot(found) is not None
    found.execute("select vsync.set_capture('found', 'trigger')")
    put(found, 4, "captured by trigger again")
    found.execute("call vsync.work()")
    assert scalar(found, FRESH) == 0
    assert triggers(found) == 4
    assert slot(found) is None
    assert scalar(found, "select inference_total from vsync.stat_embeddings") == (54 if capture == "wal" else 53)


def test_switches_under_concurrent_writers_lose_nothing(found: Connection, connect: Connect) -> None:
    stop = Event()

    def write(seed: int) -> None:
        chance, session = Random(seed), connect(autocommit=False)
        while not stop.is_set():
            for _ in range(chance.randrange(1, 4)):
                put(session, chance.randrange(50) * 2 + seed, f"text {chance.randrange(1000)}")
            if chance.random() < 0.2:
                run(session, f"delete from shop.items where id = {chance.randrange(50) * 2 + seed}")
            session.commit()
        session.close()

    writers = [in_background(lambda seed=seed: write(seed)) for seed in (0, 1)]
    worker = connect()
    working = in_background(lambda: worker.execute("call vsync.work(duration => '1 minute')"))
    for i in range(8):
        found.execute("select vsync.set_capture('found', %s)", ["wal" if i % 2 == 0 else "trigger"])
        scalar(found, "select pg_sleep(0.3)")
    stop.set()
    for writer in writers:
        writer.result(60)
    worker.cancel()
    working.exception(60)
    found.execute("call vsync.work()")
    assert scalar(found, FRESH) == 0


def test_two_embeddings_of_one_table_each_keep_their_mode(found: Connection) -> None:
    declare(found, "second", "select id, 'again ' || body as content from shop.items", "wal")
    found.execute("call vsync.work()")
    put(found, 1, "for both")
    found.execute("call vsync.work()")
    for name in ("found", "second"):
        assert scalar(found, f"select content from shop.{name} where id = 1").endswith("for both")
    assert run(found, "select capture, embeddings::text[] from vsync.stat_capture order by 1") == [
        ("trigger", ["found"]),
        ("wal", ["second"]),
    ]
    found.execute("select vsync.set_capture('found', 'wal')")
    assert run(found, "select capture, embeddings::text[] from vsync.stat_capture") == [("wal", ["found", "second"])]
    assert triggers(found) == 0


def test_only_the_owner_may_switch(found: Connection, connect: Connect, make_role: MakeRole) -> None:
    session = connect(user=make_role("vsync_admin"))
    refused(lambda: session.execute("select vsync.set_capture('found', 'wal')"), "VS002")
    refused(lambda: found.execute("select vsync.set_capture('lost', 'wal')"), "VS302")
    refused(lambda: found.execute("select vsync.set_capture('found', 'walk')"), "VS001")
    assert scalar(found, "select vsync.set_capture('found', 'trigger')") == "found"


def test_a_worker_that_is_no_superuser_makes_and_reads_the_slot(
    found: Connection, connect: Connect, make_role: MakeRole
) -> None:
    worker = connect(user=make_role("vsync_operator"))
    found.execute("select vsync.set_capture('found', 'wal')")
    worker.execute("call vsync.work()")
    assert slot(found) is not None
    put(found, 1, "read by an operator")
    worker.execute("call vsync.work()")
    assert scalar(found, FRESH) == 0
    found.execute("select vsync.set_capture('found', 'trigger')")
    worker.execute("call vsync.work()")
