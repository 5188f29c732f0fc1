"""SIGKILL: of a worker's backend, which restarts the whole server, and of the server itself."""

import os
import random
import signal
from pathlib import Path
from threading import Event, Lock

import psycopg
import pytest

from chaos.rest import assert_at_rest
from fix_cluster import Connection
from races.steps import declare, in_background, make_table, scalar, wait_until
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster

ROWS = 500
TOGETHER = 20


class Writer:
    """Updates rows, twenty a transaction, through every crash; never further ahead than it is allowed."""

    def __init__(self, dsn: str, seed: int) -> None:
        self.done = 0
        self.allowed = 0
        self.stop = Event()
        self._dsn = dsn
        self._random = random.Random(seed)
        self._lock = Lock()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                with psycopg.connect(self._dsn) as session:
                    self._write(session)
            except psycopg.OperationalError:
                self.stop.wait(0.05)

    def _write(self, session: Connection) -> None:
        while not self.stop.is_set():
            if self.done >= self.allowed:
                self.stop.wait(0.005)
                continue
            keys = self._random.sample(range(1, ROWS + 1), TOGETHER)
            texts = [f"text {self._random.randrange(2000)} of {key % 50}" for key in keys]
            gone = self._random.sample(keys, 2)
            with session.transaction():
                session.execute(
                    "insert into shop.items select * from unnest(%s::int[], %s::text[]) as u "
                    "on conflict (id) do update set body = excluded.body",
                    [keys, texts],
                )
                session.execute("delete from shop.items where id = any(%s)", [gone])
            self.done += TOGETHER


class Worker:
    """Calls vsync.work() again and again, through every crash."""

    def __init__(self, dsn: str) -> None:
        self.pid: int | None = None
        self.stop = Event()
        self._dsn = dsn

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True) as session:
                    session.execute("load 'plpython3'")
                    self.pid = session.info.backend_pid
                    while not self.stop.is_set():
                        session.execute("call vsync.work(duration => '1 s')")
            except psycopg.OperationalError:
                self.stop.wait(0.05)
            finally:
                self.pid = None


@pytest.mark.parametrize(
    ("kills", "updates"), [(2, 1000), pytest.param(20, 20_000, marks=pytest.mark.chaos, id="20 kills")]
)
def test_nothing_is_lost_doubled_or_stale_after_workers_were_killed(
    crash_cluster: Cluster, tiny_model: Path, kills: int, updates: int
) -> None:
    dsn = crash_cluster.dsn("vsync")
    with psycopg.connect(dsn, autocommit=True) as session:
        make_table(session, tiny_model)
        declare(session, index="hnsw")
    chance = random.Random(kills)
    writer, workers = Writer(dsn, kills), [Worker(dsn), Worker(dsn)]
    running = [in_background(part.run) for part in (writer, *workers)]
    try:
        for turn in range(kills):
            writer.allowed = (turn + 1) * updates // kills
            moment = turn * updates // kills + chance.randrange(updates // kills)
            wait_until(lambda moment=moment: writer.done >= moment, "the writer")
            victim = workers[turn % 2]
            wait_until(lambda victim=victim: victim.pid is not None, "a worker")
            pid = victim.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda victim=victim, pid=pid: victim.pid != pid, "the worker's end")
        wait_until(lambda: writer.done >= updates, "the rest of the writes")
    finally:
        for part in (writer, *workers):
            part.stop.set()
        for future in running:
            future.result(60)
    clusters.start(crash_cluster)  # waits for the end of recovery
    assert crash_cluster.log.read_text(errors="replace").count("was terminated by signal 9") == kills
    with psycopg.connect(dsn, autocommit=True) as session:
        assert_at_rest(session)
        assert scalar(session, "select count(*) from shop.items") > ROWS / 2


def test_log_and_queue_survive_a_crash_of_the_server(crash_cluster: Cluster, tiny_model: Path) -> None:
    dsn = crash_cluster.dsn("vsync")
    with psycopg.connect(dsn, autocommit=True) as session:
        make_table(session, tiny_model)
        declare(session)
        session.execute("insert into shop.items select g, 'folded ' || g from generate_series(1, 100) as g")
        session.execute("select vsync_internal.fold()")
        session.execute("select vsync_internal.claim(1, 10)")
        session.execute("insert into shop.items select g, 'logged ' || g from generate_series(101, 200) as g")
    clusters.kill(crash_cluster)
    clusters.start(crash_cluster)
    with psycopg.connect(dsn, autocommit=True) as session:
        assert scalar(session, "select count(*) from vsync_internal.marks") == 100
        assert_at_rest(session)
