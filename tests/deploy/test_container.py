"""The container's start: a cluster whose worker and application log in with roles of their own, as in docker/."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from races.steps import wait_until
from shop import declare, rows, run, value
from vsync_admin.processes import DATABASE_USER, is_root
from vsync_admin.server import Server

DOCKER = Path(__file__).resolve().parents[2] / "docker"
PASSWORDS = {"VSYNC_APP_PASSWORD": "it's the app's", "VSYNC_WORKER_PASSWORD": "work"}

pytestmark = pytest.mark.skipif(not is_root(), reason="the container's postgres is the operating system's, too")


@dataclass(frozen=True)
class Container:
    """What start.sh starts, without the container around it."""

    server: Server
    directory: Path
    port: int

    def environment(self, passwords: dict[str, str]) -> dict[str, str]:
        path = f"{self.server.bindir}:/usr/bin:/bin"
        return {"PATH": path, "PGDATA": str(self.directory / "data"), "LANG": "C.UTF-8", **passwords}

    def command(self) -> list[str]:
        options = (f"port={self.port}", f"unix_socket_directories={self.directory}", "fsync=off")
        return [str(self.directory / "start.sh"), "postgres", *(word for option in options for word in ("-c", option))]

    def dsn(self, user: str, password: str) -> str:
        return make_conninfo(host="127.0.0.1", port=self.port, dbname="app", user=user, password=password)

    def connect(self, user: str, password: str) -> psycopg.Connection:
        return psycopg.connect(self.dsn(user, password), autocommit=True)

    def as_postgres(self, statement: str) -> str:
        command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-p", str(self.port), "-d", "app"]
        done = subprocess.run(
            [*command, "-c", statement], env=self.environment({}), user=DATABASE_USER, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextmanager
def started(container: Container, passwords: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (
        (container.directory / "log").open("ab") as log,
        subprocess.Popen(
            container.command(),
            env=container.environment(passwords),
            cwd="/",
            user=DATABASE_USER,
            group=DATABASE_USER,
            extra_groups=[],
            stdout=log,
            stderr=log,
        ) as process,
    ):
        ready = [container.server.bindir / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(container.port)]
        try:
            wait_until(lambda: process.poll() is not None or subprocess.run(ready).returncode == 0, "the server")
            yield process
        finally:
            process.send_signal(2)  # STOPSIGNAL of the image


@pytest.fixture
def container(server: Server) -> Iterator[Container]:
    directory = Path(tempfile.mkdtemp(prefix="vsync-container-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("start.sh", "setup.sql"):
        shutil.copy(DOCKER / name, directory)
    shutil.chown(directory, DATABASE_USER)
    yield Container(server, directory, port)
    shutil.rmtree(directory)


def test_it_does_not_start_without_passwords(container: Container) -> None:
    with started(container, {"VSYNC_APP_PASSWORD": "x"}) as process:
        assert process.wait(10) == 1
    assert "VSYNC_WORKER_PASSWORD is not set" in (container.directory / "log").read_text()
    assert not (container.directory / "data").exists()


def test_the_worker_works_as_a_role_that_can_do_nothing_else(container: Container, tiny_model: Path) -> None:
    with started(container, PASSWORDS) as process:
        register = f"select vsync.register_model('tiny', $$file://{tiny_model}$$)"
        container.as_postgres(register)
        with container.connect("app", PASSWORDS["VSYNC_APP_PASSWORD"]) as app:
            run(app, "create schema shop; create table shop.products (id int primary key, title text)")
            run(app, "insert into shop.products values (1, 'a red bicycle')")
            declare(app)
            vsync = [sys.executable, "-c", "from vsync_admin.cli import app; app()", "worker", "--workers", "1"]
            dsn = container.dsn("vsync_worker", PASSWORDS["VSYNC_WORKER_PASSWORD"])
            with subprocess.Popen([*vsync, "--dbname", dsn], env=os.environ) as worker:
                try:
                    wait_until(
                        lambda: rows(app, "select key from vsync.search('catalog', 'a red bicycle')") != [], "a vector"
                    )
                finally:
                    worker.terminate()
            assert worker.returncode == 0
            assert (
                value(app, "select rolsuper or rolcreaterole or rolcreatedb from pg_roles where rolname = 'app'")
                is False
            )
        with container.connect("vsync_worker", PASSWORDS["VSYNC_WORKER_PASSWORD"]) as session:
            role = "select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls from pg_roles"
            assert value(session, f"{role} where rolname = current_user") is False
            member = "select rolname::text from pg_roles where pg_has_role(current_user, oid, 'member') order by 1"
            assert rows(session, member) == [("vsync_operator",), ("vsync_reader",), ("vsync_worker",)]
            for statement in (
                "select title from shop.products",
                "update shop.products set title = ''",
                "table vsync_internal.models",
                "alter procedure vsync.work reset all",
                "drop extension vsync",
                "create table shop.mine ()",
                "create table public.mine ()",
                "create temporary table mine ()",
                "select vsync.configure('threads', '1')",
                "select vsync.drop_embedding('catalog')",
                "copy (select 1) to program 'true'",
                "set role app",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(statement.encode())
        process.send_signal(2)
        assert process.wait(60) == 0
    with started(container, {}), container.connect("app", PASSWORDS["VSYNC_APP_PASSWORD"]) as app:
        assert len(rows(app, "select key from vsync.search('catalog', 'a red bicycle')")) == 1


def test_the_superuser_comes_in_by_the_socket_alone(container: Container) -> None:
    with started(container, PASSWORDS):
        assert container.as_postgres("select rolpassword is null from pg_authid where rolname = 'postgres'") == "t"
        with pytest.raises(psycopg.OperationalError, match="rejects connection"):
            container.connect("postgres", "x")
        log = (container.directory / "log").read_text()
        assert not any(password in log for password in ("the app's", "password 'work"))


def test_what_was_begun_is_finished_at_the_next_start(container: Container) -> None:
    with started(container, PASSWORDS):
        container.as_postgres("drop extension vsync cascade")
        container.as_postgres("drop owned by vsync_worker; drop role vsync_worker")
    (container.directory / "data" / "vsync.ready").unlink()
    with (
        started(container, PASSWORDS),
        container.connect("vsync_worker", PASSWORDS["VSYNC_WORKER_PASSWORD"]) as session,
    ):
        session.execute("call vsync.work()")


def test_the_image_has_no_password_and_runs_as_nobody_in_particular() -> None:
    image = (DOCKER / "Dockerfile").read_text("utf-8")
    assert "PASSWORD" not in image
    assert [line for line in image.splitlines() if line.startswith("USER")] == ["USER postgres"]
    compose = (DOCKER / "compose.yaml").read_text("utf-8")
    assert "user: vsync\n" in compose
    assert "PGUSER: vsync_worker\n" in compose
