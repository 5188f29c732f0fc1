"""The promise itself: after any history, drained, the vectors equal a rebuild from scratch."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fix_cluster import Connect, Connection
from promise.history import History
from promise.oracle import register
from promise.shapes import SHAPES, Shape
from promise.stage import TEXTS, Background, Sessions, Step

KINDS = (
    *("begin", "savepoint", "rollback_to", "commit", "rollback", "role"),
    *("insert", "insert_default", "upsert", "merge", "copy", "update", "update_in_vain", "rekey", "delete", "several"),
    *("everything", "leaf", "attach", "refresh", "update", "insert", "upsert", "leaf", "begin"),
    *("fold", "claim", "publish", "die", "late", "drain", "claim"),
)
STEPS = st.builds(
    Step,
    kind=st.sampled_from(KINDS),
    keys=st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple),
    text=st.integers(0, len(TEXTS) - 1),
    variant=st.integers(0, 3),
)
HISTORIES = given(
    shape=st.sampled_from(SHAPES),
    rows=st.integers(0, 8),
    steps=st.lists(STEPS, min_size=4, max_size=30),
    second=st.booleans(),
    beside=st.booleans(),
)
SUPPRESSED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


@pytest.fixture
def sessions(db: Connection, connect: Connect, tiny_model: Path) -> Sessions:
    register(db, tiny_model)
    return Sessions(db, connect)


def follow(sessions: Sessions, shape: Shape, rows: int, steps: list[Step], second: bool, beside: bool) -> None:
    history = History(sessions, shape, rows, second)
    try:
        with Background(sessions.workers[0]) if beside else nullcontext():
            try:
                history.run(steps)
            finally:
                history.finish()
        history.settle()
    finally:
        history.remove()


@settings(suppress_health_check=SUPPRESSED)
@HISTORIES
def test_after_any_history_the_vectors_equal_a_rebuild(
    sessions: Sessions, shape: Shape, rows: int, steps: list[Step], second: bool, beside: bool
) -> None:
    follow(sessions, shape, rows, steps, second, beside)


@pytest.mark.soak
@settings(suppress_health_check=SUPPRESSED)
@HISTORIES
def test_after_thousands_of_histories_the_vectors_equal_a_rebuild(
    sessions: Sessions, batch: int, shape: Shape, rows: int, steps: list[Step], second: bool, beside: bool
) -> None:
    follow(sessions, shape, rows, steps, second, beside)
