"""`vsync worker`: keeps sessions alive, loses nothing, ends cleanly."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

VSYNC = [sys.executable, "-c", "from vsync_admin.cli import app; app()"]
SESSIONS = "select pid from pg_stat_activity where application_name = 'vsync worker' and datname = current_database()"
LONG_RUNNING = """
select min(clock_timestamp() - query_start) > '1 s' from pg_stat_activity
where application_name = 'vsync worker' and datname = current_database()
"""
STALE = """
select count(*) from public.notes n
where not exists (select from public.notes_search s where s.id = n.id and s.content = n.body)
"""
Connection = psycopg.Connection[tuple[Any, ...]]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def notes(db: Connection, tiny_model: Path) -> None:
    """An embedding with work to do."""
    db.execute("create table public.notes (id int primary key, body text)")
    db.execute("insert into public.notes select i, 'note ' || i from generate_series(1, 500) i")
    db.execute("select vsync.register_model('tiny', %s)", (f"file://{tiny_model}",))
    document = "select id, body as content from public.notes"
    db.execute("select vsync.create_embedding('notes_search', %s, 'tiny')", (document,))


@pytest.fixture
def start(dsn: str) -> Iterator[Start]:
    """Start `vsync worker` with arguments; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def launch(*arguments: str, to: str = dsn) -> subprocess.Popen[str]:
        command = [*VSYNC, "worker", "-d", to, "--json", *arguments]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield launch
    for process in started:
        process.kill()
        process.communicate()


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "not within the time allowed"
        time.sleep(0.05)


def fresh(db: Connection) -> bool:
    return db.execute(STALE).fetchone() == (0,)


def pids(db: Connection) -> list[int]:
    return [pid for (pid,) in db.execute(SESSIONS)]


def end(process: subprocess.Popen[str], number: signal.Signals) -> list[dict[str, Any]]:
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    events = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    return [event for event in events if event["event"] != "summary"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("mode", [(), ("--workers", "2"), ("--local",)])
def test_it_keeps_vectors_fresh_and_ends_cleanly_on_a_signal(
    mode: tuple[str, ...], number: signal.Signals, start: Start, notes: None, db: Connection
):
    process = start(*mode)
    eventually(lambda: fresh(db))
    db.execute("update public.notes set body = 'changed ' || id where id <= 20")
    eventually(lambda: fresh(db))
    events = [event["event"] for event in end(process, number)]
    assert events == ["working", "stopped"]
    eventually(lambda: pids(db) == [])


@pytest.mark.parametrize("mode", [(), ("--local",)])
def test_a_terminated_session_is_made_anew_and_nothing_is_lost(
    mode: tuple[str, ...], start: Start, notes: None, db: Connection
):
    process = start(*mode)
    eventually(lambda: fresh(db))
    before = pids(db)
    db.execute("select pg_terminate_backend(pid) from unnest(%s) as pid", (before,))
    db.execute("update public.notes set body = 'changed ' || id")
    eventually(lambda: fresh(db))
    assert not set(pids(db)) & set(before)
    lost = [event for event in end(process, signal.SIGTERM) if event["event"] == "session lost"]
    assert [event["sqlstate"] for event in lost] in (["57P01"], [""], [None])


def test_a_killed_worker_process_is_replaced(start: Start, notes: None, db: Connection):
    process = start("--workers", "2")
    eventually(lambda: len(pids(db)) == 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
    workers = [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    db.execute("update public.notes set body = 'changed ' || id")
    eventually(lambda: fresh(db))
    eventually(lambda: len(pids(db)) >= 2)
    events = end(process, signal.SIGTERM)
    assert [event["exit_code"] for event in events if event["event"] == "worker process died"] == [-9]


def test_no_timeout_of_the_role_ends_a_session(start: Start, notes: None, db: Connection, dsn: str, make_role):
    role = make_role("vsync_operator")
    db.execute(sql.SQL("alter role {} set statement_timeout = '300ms'").format(sql.Identifier(role)))
    process = start(to=f"{dsn} user={role}")
    eventually(lambda: fresh(db))
    eventually(lambda: db.execute(LONG_RUNNING).fetchone() == (True,))
    assert [event["event"] for event in end(process, signal.SIGTERM)] == ["working", "stopped"]


def test_it_works_for_the_embedding_it_is_told(start: Start, notes: None, db: Connection):
    db.execute("create table public.others (id int primary key, body text)")
    db.execute("insert into public.others values (1, 'other')")
    document = "select id, body as content from public.others"
    db.execute("select vsync.create_embedding('others_search', %s, 'tiny')", (document,))
    process = start("--embedding", "notes_search")
    eventually(lambda: fresh(db))
    assert db.execute("select count(*) from public.others_search").fetchone() == (0,)
    end(process, signal.SIGTERM)


@pytest.mark.parametrize("mode", [(), ("--local",)])
def test_what_can_never_work_is_an_error_at_once(mode: tuple[str, ...], start: Start, notes: None):
    process = start("--embedding", "nothing", *mode)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "VS302" in stderr
    assert "does not exist" in stderr
