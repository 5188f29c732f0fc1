"""SIGKILL of a worker's backend in the middle of a new version's backfill: what is embedded twice, what is counted."""

import os
import random
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import psycopg
import pytest

from chaos.gates import make_worker
from races.steps import in_background, wait_until
from shop import Connection, declare, open_shop, register, run, value
from versions.rollout import activate, add_version, assert_clean, work
from vsync_admin.cluster import Cluster

# What a kill can lose: a publish comes after 1024 documents at the latest, and a batch has no more texts than tokens.
IN_FLIGHT = 1024 + 512
_EMBEDDED = "select embedded_total from vsync_internal.progress where version_id = 2"
# Commits are durable here: the server's crash takes nothing else along. The engine's part of vsync.work() follows.
_COUNT = """
from vsync_engine.models import embedder
from vsync_engine.refresh import worker
worker._SESSION["synchronous_commit"] = "on"
run = embedder.Model.run
def counted(self, batch):
    with open({sent!r}, "a") as file:
        file.write(f"{{len(batch)}}\\n")
    return run(self, batch)
embedder.Model.run = counted
"""


@pytest.fixture
def sent() -> Iterator[Path]:
    """Give a file that the server's user can write."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        Path(directory).chmod(0o777)
        yield Path(directory) / "sent"


@pytest.mark.parametrize(
    ("documents", "kills"),
    [(4_000, 1), pytest.param(20_000, 5, marks=pytest.mark.chaos, id="20,000 documents, 5 kills")],
)
def test_a_backfill_that_is_killed_embeds_again_only_what_was_in_flight(
    crash_cluster: Cluster, tiny_model: Path, tiny_model_other: Path, sent: Path, documents: int, kills: int
) -> None:
    dsn = crash_cluster.dsn("vsync")
    texts = documents * 3 // 4
    with psycopg.connect(dsn, autocommit=True) as session:
        _prepare(session, tiny_model, tiny_model_other, documents, texts)
        make_worker(session, "shop", _COUNT.format(sent=str(sent)))
    chance = random.Random(documents)
    for turn in range(kills):
        _killed(dsn, (turn + 1) * texts // (kills + 1) - IN_FLIGHT // 2, chance.random() / 20)
    with psycopg.connect(dsn, autocommit=True) as session:
        assert value(session, _EMBEDDED) < texts
        run(session, "call shop.work()")
        stat = "from vsync.stat_embeddings where version = 2"
        embedded, inferred = session.execute(f"select embedded_total, inference_total {stat}").fetchone() or (0, 0)
        assert embedded == texts == value(session, "select count(distinct content_hash) from vsync_data.catalog_v2")
        assert 0 <= inferred - embedded <= kills * IN_FLIGHT
        # and what the model was really asked, whatever was counted
        asked = sum(int(line) for line in sent.read_text("ascii").split())
        assert texts < asked <= texts + kills * IN_FLIGHT
        activate(session, 2)
        assert_clean(session, 1, 2)


def _prepare(session: Connection, model: Path, other: Path, documents: int, texts: int) -> None:
    open_shop(session, model, 0)
    register(session, other, "other")
    fill = "insert into shop.products select i, 'text ' || i %% %s from generate_series(1, %s) as i"
    run(session, fill, texts, documents)
    declare(session, index='{"type": "none"}')
    work(session)
    add_version(session, model="other")


def _killed(dsn: str, embedded: int, pause: float) -> None:
    """Let a worker embed up to a number of texts and a moment longer, kill its backend, and wait for the server."""
    worker, watcher = psycopg.connect(dsn, autocommit=True), psycopg.connect(dsn, autocommit=True)
    working = in_background(lambda: worker.execute("call shop.work()"))
    wait_until(lambda: value(watcher, _EMBEDDED) >= embedded, f"{embedded} texts")
    sleep(pause)
    os.kill(worker.info.backend_pid, signal.SIGKILL)
    assert isinstance(working.exception(60), psycopg.OperationalError)
    wait_until(lambda: not _answers(watcher), "the crash")
    worker.close()
    watcher.close()
    wait_until(lambda: _opens(dsn), "the server")


def _answers(session: Connection) -> bool:
    try:
        session.execute("select")
    except psycopg.OperationalError:
        return False
    return True


def _opens(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True
