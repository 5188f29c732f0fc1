"""A worker is as fast where the queue's statistics were taken while it was empty, as autovacuum takes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fix_cluster import Connect, Connection
from races import steps
from races.steps import Claimed, scalar

DOCUMENTS = 20_000
TAKEN = 2_000
FOUND = 10
_EMPTY = """
update pg_class set reltuples = 0, relpages = (pg_relation_size(oid) / 8192)::int
where oid = 'vsync_internal.marks'::regclass
"""
_PLANNED = 8  # calls after which a session keeps its plans
_MARKS_READ = """
select seq_tup_read + idx_tup_fetch from pg_stat_xact_all_tables where relid = 'vsync_internal.marks'::regclass
"""


@pytest.fixture
def full_queue(db: Connection, tiny_model: Path) -> Iterator[Connection]:
    """A session with marks of every document, of which statistics know none; they may not compare all pairs."""
    steps.make_table(db, tiny_model)
    db.execute("alter table vsync_internal.marks set (autovacuum_enabled = off)")
    db.execute("insert into shop.items select i, 'text ' || i from generate_series(1, %s) as i", [DOCUMENTS])
    db.execute(
        "select vsync.create_embedding('found', 'select id, body as content from shop.items', 'tiny',"
        """ index => '{"type": "none"}')"""
    )
    assert scalar(db, "select vsync_internal.backfill(1, %s)", DOCUMENTS) > DOCUMENTS
    db.execute(_EMPTY)
    db.execute("set statement_timeout = '5 s'")
    yield db
    db.execute("reset statement_timeout")


def test_documents_are_claimed_and_published(full_queue: Connection):
    taken = steps.claim(full_queue, TAKEN)
    documents = steps.render(full_queue, taken)
    assert len(documents) == TAKEN
    assert steps.publish(full_queue, taken, documents) == TAKEN
    steps.release(full_queue, taken)
    assert scalar(full_queue, "select count(*) from vsync_internal.marks") == DOCUMENTS - TAKEN


def test_a_claim_that_ends_early_frees_its_marks(full_queue: Connection):
    taken = steps.claim(full_queue, TAKEN)
    assert steps.release(full_queue, taken) == TAKEN


@pytest.mark.parametrize("call", ["fail({}, {}, '{{}}')", "postpone({}, {}, '1 s')", "hold_back({}, 1, {})"])
def test_claimed_documents_are_put_back(call: str, full_queue: Connection):
    taken: Claimed = steps.claim(full_queue, TAKEN)
    statement = f"select vsync_internal.{call.format('%s', '%s')}"
    assert scalar(full_queue, statement, taken.token, taken.keys) == TAKEN


def test_a_session_that_searched_beside_an_empty_queue_reads_no_queue_that_is_full(
    db: Connection, connect: Connect, tiny_model: Path
):
    steps.make_table(db, tiny_model)
    for key in range(FOUND):
        steps.put(db, key, f"text {key}")
    steps.declare(db)
    db.execute("alter table vsync_internal.marks set (autovacuum_enabled = off)")
    db.execute("vacuum (analyze) vsync_internal.marks")
    reader = connect()
    for _ in range(_PLANNED):
        assert _search(reader) == [False] * FOUND
    db.execute(
        "insert into shop.items select i, 'text ' || i from generate_series(%s::int, %s) as i", [FOUND, DOCUMENTS]
    )
    steps.put(db, 1, "another text")
    steps.fold(db)
    while scalar(db, "select vsync_internal.expand(%s)", DOCUMENTS):
        pass
    assert scalar(db, "select count(*) from vsync_internal.marks") > DOCUMENTS - FOUND
    with reader.transaction():
        assert sorted(_search(reader)) == [False] * (FOUND - 1) + [True]
        assert scalar(reader, _MARKS_READ) <= FOUND


def _search(session: Connection) -> list[bool]:
    """Return of each document that is found whether it is said to be stale."""
    return [stale for (stale,) in session.execute("select stale from vsync.search('found', 'text')").fetchall()]
