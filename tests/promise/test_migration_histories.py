"""The promise over random migrations: types, keys, columns and tables change, and vectors equal a rebuild after it."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fix_cluster import Connect, Connection
from promise.archive import Archive
from promise.migrations import STEPS, Step
from promise.oracle import register
from promise.stage import Background

SUPPRESSED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)
Steps = list[tuple[Step, int]]
HISTORIES = given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9999)), min_size=2, max_size=9),
    beside=st.booleans(),
    capture=st.sampled_from(["trigger", "trigger", "wal"]),
)


@pytest.fixture
def registered(db: Connection, tiny_model: Path) -> Connection:
    register(db, tiny_model)
    return db


def follow(db: Connection, connect: Connect, steps: Steps, beside: bool, capture: str) -> None:
    archive = Archive(db, capture)
    try:
        if beside:
            with connect() as session, Background(session):
                for step, seed in steps:
                    step(archive, Random(seed))
        else:
            for step, seed in steps:
                step(archive, Random(seed))
        archive.finish()
        archive.migrate_once_more(Random(len(steps)))
    finally:
        for embedding in archive.embeddings:
            db.execute("select vsync.drop_embedding(%s)", [embedding.name])
        db.execute("drop schema archive cascade")


@settings(suppress_health_check=SUPPRESSED, max_examples=8)
@HISTORIES
def test_after_any_history_of_migrations_the_vectors_equal_a_rebuild_and_none_was_made_twice(
    registered: Connection, connect: Connect, steps: Steps, beside: bool, capture: str
) -> None:
    follow(registered, connect, steps, beside, capture)


@pytest.mark.soak
@settings(suppress_health_check=SUPPRESSED)
@HISTORIES
def test_many_histories_of_migrations(
    registered: Connection, connect: Connect, batch: int, steps: Steps, beside: bool, capture: str
) -> None:
    del batch
    follow(registered, connect, steps, beside, capture)
