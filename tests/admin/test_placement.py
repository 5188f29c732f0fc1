"""What `make install` puts into a server: found by PL/Python however the server is started, by nothing else."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from races.steps import wait_until
from vsync_admin import cluster as clusters
from vsync_admin import extension, placement
from vsync_admin.cluster import Cluster
from vsync_admin.errors import CommandError
from vsync_admin.server import Server, linked_python

PROBE = "create or replace function pg_temp.origin(module text) returns text language plpython3u as %s"
BODY = "import importlib; return importlib.import_module(module).__file__"


def origin(dsn: str, module: str) -> str:
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("create extension if not exists plpython3u")
        session.execute(sql.SQL(PROBE.replace("%s", "{}")).format(BODY))
        row = session.execute("select pg_temp.origin(%s)", (module,)).fetchone()
    assert row is not None
    return row[0]


def test_a_second_placement_does_nothing(server: Server):
    assert placement.install(server) == []


def test_without_permission_an_installation_that_is_in_place_will_do(server: Server, monkeypatch: pytest.MonkeyPatch):
    def refuse(server: Server) -> None:
        raise CommandError("no permission")

    monkeypatch.setattr(placement, "_require_writable", refuse)
    assert placement.install(server) == []
    monkeypatch.setattr(placement, "engine_stamp", lambda root, python: {"code": "another"})
    with pytest.raises(CommandError, match="no permission"):
        placement.install(server)


@pytest.mark.parametrize("module", ["vsync_engine", "onnxruntime", "tokenizers", "sqlglot"])
def test_the_engine_is_imported_from_the_server(empty_dsn: str, server: Server, module: str):
    assert origin(empty_dsn, module).startswith(f"{server.engine}/")


def test_a_python_outside_the_server_sees_none_of_it(server: Server):
    code = "import sys; print([p for p in sys.path if 'vsync' in p])"
    done = subprocess.run([linked_python(server), "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("crash", ["kill", "immediate"])
def test_it_survives_a_crash(crash_cluster: Cluster, crash: str):
    if crash == "kill":
        clusters.kill(crash_cluster)
    else:
        clusters.stop(crash_cluster, "immediate")
    clusters.start(crash_cluster)
    assert origin(crash_cluster.dsn("vsync"), "vsync_engine").startswith(f"{crash_cluster.server.engine}/")


def test_create_and_drop_extension_leave_nothing(empty_dsn: str):
    schemas = "select count(*) from pg_catalog.pg_namespace where nspname like 'vsync%'"
    with psycopg.connect(empty_dsn, autocommit=True) as session:
        for _ in range(2):
            session.execute("create extension vsync cascade")
            assert session.execute(schemas).fetchone() != (0,)
            session.execute("drop extension vsync cascade")
            assert session.execute(schemas).fetchone() == (0,)


def test_an_install_without_the_extension_has_the_same_functions(empty_dsn: str, dsn: str):
    functions = (
        "select p.oid::regprocedure::text from pg_catalog.pg_proc p"
        " join pg_catalog.pg_namespace n on n.oid = p.pronamespace where n.nspname = 'vsync'"
    )
    with psycopg.connect(empty_dsn, autocommit=True) as plain, psycopg.connect(dsn) as extended:
        assert extension.install_into(plain) == []
        assert set(plain.execute(functions)) == set(extended.execute(functions))


def test_a_table_of_contents_with_an_unknown_line_is_refused(tmp_path: Path):
    (tmp_path / "install.sql").write_text("\\i elsewhere.sql\n", encoding="utf-8")
    with pytest.raises(CommandError, match="line 1"):
        extension.parts(tmp_path)


def test_servers_of_one_python_that_are_placed_at_once_keep_each_others_line(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Another server's placement holds the directory; this one must wait before it reads the file."""
    monkeypatch.setattr(placement, "_site_directory", lambda python: tmp_path)
    pth, other = tmp_path / "vsync.pth", "import os; '' == '/other/postgres' and None\n"
    with ThreadPoolExecutor(1) as pool, placement._locked(tmp_path):
        placing = pool.submit(placement._place_pth, server, linked_python(server))
        waiter = re.compile(rf"-> FLOCK .*:{tmp_path.stat().st_ino} ")
        wait_until(lambda: placing.done() or bool(waiter.search(Path("/proc/locks").read_text("ascii"))), "the lock")
        pth.write_text(other, encoding="utf-8")
    assert placing.result() == [f"placed {pth}"]
    mine, theirs = sorted(pth.read_text(encoding="utf-8").splitlines(keepends=True), key=lambda line: line == other)
    assert (str((server.bindir / "postgres").resolve()) in mine, theirs) == (True, other)
