"""`vsync worker` in production: what it says, what it waits for, what ends it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from admin.test_worker_command import VSYNC, eventually
from shop import add, declare, open_shop, run, value
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster
from vsync_admin.errors import CommandError
from vsync_admin.worker import Assignment, keep

Connection = psycopg.Connection[tuple[Any, ...]]
KEEP = "import sys; from vsync_admin.worker import *; keep(Assignment(sys.argv[1], json_log=True, patience=1), 2)"
SERVED = "select count(*) from shop.catalog"
FAILED = """
update vsync_internal.marks set failed_at = clock_timestamp(),
    due_at = case %s when 'infinity' then timestamptz 'infinity' else clock_timestamp() + interval '4 minutes' end
where attempts > 0
"""
COUNTED = "update vsync_internal.progress set failed_total = failed_total + 1"


class Worker:
    """A worker process, and the events it has logged so far."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have had it ignored
        try:
            with log.open("w") as stderr:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        finally:
            signal.signal(signal.SIGHUP, before)

    def events(self, name: str = "") -> list[dict[str, Any]]:
        lines = self.log.read_text("utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in found if not name or event["event"] == name]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `vsync worker` on a database; what still runs at the end is killed."""
    started: list[Worker] = []

    def launch(to: str, *arguments: str, before: tuple[str, ...] = (), code: str = "") -> Worker:
        command = [sys.executable, "-c", code, to] if code else [*VSYNC, "worker", "-d", to, "--json", *arguments]
        started.append(Worker([*before, *command], tmp_path / f"{len(started)}.log"))
        return started[-1]

    yield launch
    for worker in started:
        worker.process.kill()
        worker.process.wait()


@pytest.fixture
def poisoned(db: Connection, tiny_model_poison: Path) -> None:
    """A shop with a text that the model fails on."""
    open_shop(db, tiny_model_poison, 3)
    run(db, "insert into shop.products values (4, %s, '', '')", "a poisonpill\x1b[31m")
    declare(db)


@pytest.mark.parametrize("mode", [(), ("--workers", "2"), ("--local",)])
def test_failures_broken_versions_and_a_summary_are_logged(
    mode: tuple[str, ...], start: Start, poisoned: None, dsn: str, db: Connection
):
    worker = start(dsn, *mode)
    eventually(lambda: bool(worker.events("document failed") or worker.events("document quarantined")))
    run(db, FAILED, "4 minutes")
    run(db, COUNTED)
    eventually(lambda: bool(worker.events("document failed")))
    failed = worker.events("document failed")[0]
    assert (failed["embedding"], failed["version"], json.loads(failed["key"]), failed["level"]) == (
        "catalog",
        1,
        {"id": 4},
        "warning",
    )
    assert failed["error"]
    assert failed["sqlstate"]
    summary = worker.events("summary")[0]
    assert {"embedding", "version", "state", "pending", "failed", "quarantined", "embedded"} <= summary.keys()
    run(db, FAILED, "infinity")
    run(db, COUNTED)
    eventually(lambda: bool(worker.events("document quarantined")))
    assert worker.events("document quarantined")[0]["level"] == "error"
    run(db, "alter table shop.products drop column title cascade")
    eventually(lambda: bool(worker.events("version broken")))
    assert worker.events("version broken")[0]["error"]
    assert worker.end() == 0
    assert len(worker.events("version broken")) == 1


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> None:
    """A shop with an embedding that no worker has filled."""
    open_shop(db, tiny_model)
    declare(db)


def test_changes_that_are_not_captured_are_logged(start: Start, shop: None, dsn: str, db: Connection):
    worker = start(dsn)
    eventually(lambda: value(db, SERVED) == 3)
    run(db, "alter table shop.products disable trigger all")
    eventually(lambda: bool(worker.events("changes not captured")))
    assert "no enabled trigger" in worker.events("changes not captured")[0]["error"]
    run(db, "alter table shop.products enable trigger all")
    eventually(lambda: bool(worker.events("version goes on")))
    assert worker.end() == 0
    assert len(worker.events("changes not captured")) == 1


@pytest.mark.parametrize("mode", [(), ("--workers", "2")])
def test_it_ends_cleanly_on_a_hangup(mode: tuple[str, ...], start: Start, shop: None, dsn: str, db: Connection):
    worker = start(dsn, *mode)
    eventually(lambda: value(db, SERVED) == 3)
    assert worker.end(signal.SIGHUP) == 0
    assert worker.events("stopped")


@pytest.mark.parametrize("mode", [(), ("--workers", "2")])
def test_it_outlives_a_hangup_under_nohup(mode: tuple[str, ...], start: Start, shop: None, dsn: str, db: Connection):
    worker = start(dsn, *mode, before=("nohup",))
    eventually(lambda: value(db, SERVED) == 3)
    os.kill(worker.process.pid, signal.SIGHUP)
    add(db, 4, 5)
    eventually(lambda: value(db, SERVED) == 5)
    assert worker.end() == 0


def test_it_outlives_the_shell_that_started_it(shop: None, dsn: str, db: Connection, tmp_path: Path):
    log = tmp_path / "log"
    script = f'nohup "$@" >{log} 2>&1 & echo $!'
    command = ["sh", "-c", script, "sh", *VSYNC, "worker", "-d", dsn, "--json"]
    pid = int(subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout)
    try:
        eventually(lambda: value(db, SERVED) == 3)
        add(db, 4, 5)
        eventually(lambda: value(db, SERVED) == 5)
    finally:
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: '"stopped"' in log.read_text("utf-8"))


@pytest.mark.parametrize("mode", [(), ("--local",)])
def test_it_waits_for_a_server_that_is_down(
    mode: tuple[str, ...], start: Start, crash_cluster: Cluster, tiny_model: Path
):
    dsn = crash_cluster.dsn("vsync")
    with psycopg.connect(dsn, autocommit=True) as db:
        open_shop(db, tiny_model)
        declare(db)
    clusters.stop(crash_cluster)
    worker = start(dsn, *mode)
    eventually(lambda: len(worker.events("no connection")) > 1)
    assert not worker.events("working")
    clusters.start(crash_cluster)
    eventually(lambda: bool(worker.events("working")))
    clusters.stop(crash_cluster, "immediate")
    waited = len(worker.events("no connection"))
    eventually(lambda: len(worker.events("no connection")) > waited)
    clusters.start(crash_cluster)
    with psycopg.connect(dsn, autocommit=True) as db:
        add(db, 4, 5)
        eventually(lambda: value(db, SERVED) == 5)
    assert worker.end() == 0


def test_it_waits_for_a_server_that_is_full(start: Start, shop: None, dsn: str, db: Connection, make_role: Any):
    role = sql.Identifier(name := make_role("vsync_operator"))
    db.execute(sql.SQL("alter role {} connection limit 0").format(role))
    worker = start(f"{dsn} user={name}")
    eventually(lambda: len(worker.events("no connection")) > 1)
    assert "too many connections" in worker.events("no connection")[0]["error"]
    db.execute(sql.SQL("alter role {} connection limit -1").format(role))
    eventually(lambda: value(db, SERVED) == 3)
    assert worker.end() == 0


def refused(conninfo: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        keep(Assignment(conninfo, json_log=True, patience=1), 1)
    assert caught.value.code == 3
    assert caught.value.hint
    return caught.value


def test_what_waiting_seldom_ends_is_an_exit_code_after_a_while(crash_cluster: Cluster):
    assert 'database "nothing" does not exist' in refused(crash_cluster.dsn("nothing")).message
    dsn = crash_cluster.dsn("vsync")
    hba = crash_cluster.data / "pg_hba.conf"
    hba.write_text(f"local all anna scram-sha-256\nlocal all bert reject\n{hba.read_text('utf-8')}", "utf-8")
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("create role anna login password 'right'")
        db.execute("select pg_reload_conf()")
    assert "authentication failed" in refused(f"{dsn} user=anna password=wrong").message
    assert "bert" in refused(f"{dsn} user=bert").message


def test_several_workers_end_when_they_are_refused(start: Start, shop: None, dsn: str, db: Connection, make_role: Any):
    name = make_role("vsync_operator")
    worker = start(f"{dsn} user={name}", code=KEEP)
    eventually(lambda: value(db, SERVED) == 3)
    db.execute(sql.SQL("alter role {} nologin").format(sql.Identifier(name)))
    end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s"
    eventually(lambda: not run(db, end, name) and worker.process.poll() is not None)
    assert worker.process.returncode != 0
    assert worker.events("refused")


@pytest.fixture(params=["transaction", "session"])
def pool(request: pytest.FixtureRequest, cluster: Cluster, dsn: str) -> Iterator[tuple[str, str]]:
    """A pgbouncer before this test's database: its pool_mode and a connection string."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    with tempfile.TemporaryDirectory(prefix="pool-", dir="/var/tmp") as folder:
        directory = Path(folder)
        directory.chmod(0o755)
        (directory / "users.txt").write_text('"postgres" ""\n', "ascii")
        (directory / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={cluster.directory} port={clusters.PORT}\n[pgbouncer]\npool_mode={request.param}\n"
            f"listen_port=6432\nlisten_addr=\nunix_socket_dir={directory}\nauth_type=trust\n"
            f"auth_file={directory}/users.txt\ndefault_pool_size=4\n",
            "ascii",
        )
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            for path in (directory, *directory.iterdir()):
                shutil.chown(path, user)
        command = [program, "-q", str(directory / "pgbouncer.ini")]
        with subprocess.Popen(command, user=user, cwd="/", stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: (directory / ".s.PGSQL.6432").exists())
                dbname = conninfo_to_dict(dsn)["dbname"]
                yield request.param, f"host={directory} port=6432 user=postgres dbname={dbname}"
            finally:
                process.terminate()


STATE = """
select s.name || '=' || s.setting from pg_settings as s
where s.setting is distinct from s.reset_val and s.name <> 'application_name' -- which a pooler sets itself
union all select 'prepared ' || p.name from pg_prepared_statements as p
union all select 'lock ' || l.objid from pg_locks as l where l.locktype = 'advisory' and l.pid = pg_backend_pid()
"""


def left_behind(conninfo: str) -> set[str]:
    """Return what the pool's sessions hold that a new session would not."""
    sessions = [psycopg.connect(conninfo, prepare_threshold=None) for _ in range(4)]
    try:  # transactions that are open at once, so that each has a session of its own
        return {row[0] for session in sessions for row in session.execute(STATE.encode())}
    finally:
        for session in sessions:
            session.close()


@pytest.mark.parametrize("mode", [(), ("--local",)])
def test_a_worker_works_in_pooled_sessions_and_refuses_pooled_transactions(
    mode: tuple[str, ...], pool: tuple[str, str], start: Start, shop: None, db: Connection
):
    pool_mode, conninfo = pool
    before = left_behind(conninfo)
    worker = start(conninfo, *mode)
    if pool_mode == "session":
        eventually(lambda: value(db, SERVED) == 3)
        assert worker.end() == 0
        return
    assert worker.process.wait(60) == 1
    said = worker.log.read_text("utf-8")
    assert "transaction pooling" in said
    assert "pool_mode = session" in said
    assert left_behind(conninfo) == before


def test_statements_through_a_pooler_leave_nothing_behind(pool: tuple[str, str], shop: None, db: Connection):
    _, conninfo = pool
    before = left_behind(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as session:
        session.prepare_threshold = None
        session.execute("call vsync.work()")
        session.execute("select * from vsync.search('catalog', 'product', 2)")
        session.execute("select vsync.query_vector('catalog', 'product')")
        session.execute(
            "select vsync.add_version('catalog', document => 'select id, title as content from shop.products')"
        )
        session.execute("call vsync.work()")
        session.execute("select vsync.activate_version('catalog', 2)")
        session.execute("select vsync.create_rule('none', 'catalog', 'new.title is null', 'skip')")
        session.execute("select vsync.release_table('shop.products')")
        session.execute("select vsync.resume_table('shop.products')")
        document = "select id, title || '!' as content from shop.products"
        session.execute("select vsync.create_embedding('other', %s, 'tiny')", [document])
        session.execute("call vsync.work()")
    for arguments in (["status"], ["audit", "catalog"], ["search", "catalog", "product"], ["doctor"]):
        done = subprocess.run([*VSYNC, *arguments, "-d", conninfo], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 4), done.stderr
    assert left_behind(conninfo) == before
    assert value(db, SERVED) == 3


def test_an_index_is_not_built_through_pooled_transactions(pool: tuple[str, str], shop: None, db: Connection):
    pool_mode, conninfo = pool
    command = [*VSYNC, "index", "rebuild", "catalog", "-d", conninfo]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if pool_mode == "session" else 1), done.stderr
