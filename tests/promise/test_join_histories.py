"""The promise over joined documents: after any history of all their tables a rebuild's vectors, and nothing wasted."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fix_cluster import Connect, Connection
from promise.join_history import JoinHistory
from promise.joins import JOINS, Joined
from promise.oracle import register
from promise.stage import Background, JoinStep, Sessions

CAPTURES = (("trigger",), ("wal",), ("trigger", "wal"))
KINDS = (
    *("begin", "begin", "savepoint", "rollback_to", "commit", "rollback", "role"),
    *("insert", "insert_default", "upsert", "upsert", "merge", "copy", "several"),
    *("update", "update", "relink", "relink", "relink", "update_in_vain", "there_and_back", "rekey", "delete"),
    *("everything", "fold", "claim", "publish", "die", "late", "drain", "drain", "claim", "refresh"),
)
STEPS = st.builds(
    JoinStep,
    kind=st.sampled_from(KINDS),
    table=st.integers(0, 3),
    writer=st.integers(0, 2),
    keys=st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple),
    link=st.integers(0, 5),
    text=st.integers(0, 7),
    variant=st.integers(0, 3),
)
HISTORIES = given(
    captures=st.sampled_from(CAPTURES),
    shape=st.sampled_from(JOINS),
    rows=st.sampled_from((6, 6, 6, 4, 0)),
    steps=st.lists(STEPS, min_size=4, max_size=30),
    beside=st.integers(0, 7),
    workers=st.integers(-1, 2),
)
SUPPRESSED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


@pytest.fixture
def sessions(db: Connection, connect: Connect, tiny_model: Path) -> Sessions:
    register(db, tiny_model)
    return Sessions(db, connect)


def follow(
    sessions: Sessions,
    captures: tuple[str, ...],
    shape: Joined,
    rows: int,
    steps: list[JoinStep],
    beside: int,
    workers: int,
) -> None:
    """Play a history. workers: how many run beside it; -1: a calm one."""
    followed = captures if shape.by_wal else ("trigger",)
    history = JoinHistory(sessions, shape, followed, rows, beside, calm=workers < 0)
    try:
        with ExitStack() as stack:
            for worker in sessions.workers[: max(workers, 0)]:
                stack.enter_context(Background(worker))
            try:
                history.run(steps)
            finally:
                history.finish()
        history.settle()
    finally:
        history.remove()


@settings(suppress_health_check=SUPPRESSED)
@HISTORIES
def test_after_any_history_of_all_tables_the_vectors_equal_a_rebuild(
    sessions: Sessions,
    captures: tuple[str, ...],
    shape: Joined,
    rows: int,
    steps: list[JoinStep],
    beside: int,
    workers: int,
) -> None:
    follow(sessions, captures, shape, rows, steps, beside, workers)


@pytest.mark.soak
@settings(suppress_health_check=SUPPRESSED)
@HISTORIES
def test_after_thousands_of_histories_of_all_tables_the_vectors_equal_a_rebuild(
    sessions: Sessions,
    captures: tuple[str, ...],
    batch: int,
    shape: Joined,
    rows: int,
    steps: list[JoinStep],
    beside: int,
    workers: int,
) -> None:
    follow(sessions, captures, shape, rows, steps, beside, workers)


@pytest.mark.parametrize("shape", JOINS, ids=lambda shape: shape.name)
@pytest.mark.parametrize("captures", [CAPTURES[0], pytest.param(CAPTURES[2], marks=pytest.mark.soak)], ids="+".join)
def test_every_shape_is_followed_link_by_link(sessions: Sessions, captures: tuple[str, ...], shape: Joined) -> None:
    """Change each table in each way, one statement at a time, drained in between."""
    steps: list[JoinStep] = []
    for table in range(len(shape.tables)):
        for kind in ("update", "relink", "rekey", "delete", "upsert", "everything"):
            steps += [JoinStep("fill", (0,), 0, 0), JoinStep("drain", (0,), 0, 0)]
            for variant in range(2 if kind in ("delete", "upsert") else 4):
                keys = (variant % 2, 1 + variant % 2)
                steps += [JoinStep(kind, keys, variant + 1, variant, table, variant % 3, variant + table + 1)]
                steps += [JoinStep("drain", (0,), 0, 0)]
    follow(sessions, captures, shape, 6, steps, 9, -1)
