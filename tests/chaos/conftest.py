"""Fixtures of the tests with real workers, and the line that each battery ends with."""

import os
import random
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.battery import Battery
from fix_cluster import Connection
from races import steps

_run: list[Battery] = []


@pytest.fixture
def items(db: Connection, tiny_model_poison: Path) -> Connection:
    """A session; the embedding `found` reads the bodies of shop.items, with the model that can be poisoned."""
    steps.make_table(db, tiny_model_poison)
    db.execute("create function shop.body_of(id int, body text) returns text language sql immutable as 'select body'")
    db.execute(
        "select vsync.create_embedding('found', 'select id, shop.body_of(id, body) as content from shop.items', 'tiny')"
    )
    return db


@pytest.fixture
def battery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Battery]:
    """A run of a battery: its seed (SEED; else the long forms take another each time), its journal and verdict."""
    chosen = secrets.randbelow(1_000_000) if request.node.get_closest_marker("chaos") else 1
    seed = int(os.environ.get("SEED") or chosen)
    own = Battery(request.node.name, seed, random.Random(seed), tmp_path / "journal")
    _run.append(own)
    yield own
    own.journal.close()


@pytest.fixture
def share() -> Callable[[int], int]:
    """Scale the size of a long run: PERCENT of it, all of it otherwise."""
    percent = int(os.environ.get("PERCENT") or 100)
    return lambda count: max(1, count * percent // 100)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line a battery."""
    if _run:
        terminalreporter.section("chaos")
        for battery in _run:
            terminalreporter.write_line(str(battery))
