"""Fixtures: a throw-away cluster, a fresh database from a template for each test, sessions and roles in it.

`db` and `dsn` are what most tests want. `crash_cluster` is for those that kill the server.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.factories import postgresql_noproc
from pytest_postgresql.janitor import DatabaseJanitor

from vsync_admin import cluster as clusters
from vsync_admin import placement
from vsync_admin.cluster import Cluster
from vsync_admin.server import Server, find_server

Connection = psycopg.Connection[tuple[Any, ...]]
Connect = Callable[..., Connection]
MakeRole = Callable[..., str]

SETTINGS = {
    "wal_level": "logical",
    "max_connections": "150",
    "max_prepared_transactions": "10",
    "max_replication_slots": "20",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "statement_timeout": "120s",
    "deadlock_timeout": "200ms",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_DIRECTORY = Path(tempfile.gettempdir()) / f"vsync-test-{os.getpid()}"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Server:
    """The server under test, with this checkout's engine and extension in place."""
    found = find_server()
    placement.install(found)
    return found


@pytest.fixture(scope="session")
def cluster(server: Server) -> Iterator[Cluster]:
    """The cluster all tests share; it does not survive a power failure (fsync is off)."""
    shared = Cluster(server, _DIRECTORY, {**SETTINGS, **_FAST})
    shutil.rmtree(_DIRECTORY, ignore_errors=True)
    try:
        clusters.create(shared)
        clusters.start(shared)
        yield shared
    finally:
        clusters.destroy(shared)


@pytest.fixture(scope="session")
def running_cluster(cluster: Cluster, pytestconfig: pytest.Config) -> None:
    """Tell pytest-postgresql where the cluster is."""
    pytestconfig.option.postgresql_host = str(cluster.directory)
    pytestconfig.option.postgresql_port = str(clusters.PORT)


def _create_extension(**connection: Any) -> None:
    connection["autocommit"] = True
    with psycopg.connect(**connection) as session:
        session.execute("create extension vsync cascade")


template_database = postgresql_noproc(user="postgres", dbname="vsync", load=[_create_extension])


@pytest.fixture(scope="session")
def template(running_cluster: None, request: pytest.FixtureRequest) -> NoopExecutor:
    """The template database with the extension, as pytest-postgresql describes it."""
    del running_cluster
    return request.getfixturevalue("template_database")


def _fresh(cluster: Cluster, template_name: str | None) -> Iterator[str]:
    name = f"t{next(_numbers)}"
    janitor = DatabaseJanitor(
        user="postgres",
        host=str(cluster.directory),
        port=clusters.PORT,
        dbname=name,
        template_dbname=template_name,
    )
    with janitor:
        yield cluster.dsn(name)


@pytest.fixture
def dsn(cluster: Cluster, template: NoopExecutor) -> Iterator[str]:
    """A libpq connection string to a database of this test's own, with the extension; a superuser."""
    yield from _fresh(cluster, template.template_dbname)


@pytest.fixture
def empty_dsn(cluster: Cluster) -> Iterator[str]:
    """The same without the extension: an empty database."""
    yield from _fresh(cluster, None)


@pytest.fixture
def connect(dsn: str) -> Iterator[Connect]:
    """Open further sessions: `connect(user=role)`, `connect(autocommit=False)`; keywords are psycopg's."""
    opened: list[Connection] = []

    def open_session(**keywords: Any) -> Connection:
        session = psycopg.connect(dsn, **{"autocommit": True, **keywords})
        opened.append(session)
        return session

    yield open_session
    for session in opened:
        session.close()


@pytest.fixture
def db(connect: Connect) -> Connection:
    """An autocommit session of the superuser in this test's database."""
    return connect()


@pytest.fixture
def make_role(cluster: Cluster) -> MakeRole:
    """Create a login role that is no superuser: `make_role("vsync_reader", …)` names the roles it is a member of."""

    def create(*memberships: str) -> str:
        name = f"role_{next(_numbers)}"
        with psycopg.connect(cluster.dsn(), autocommit=True) as session:
            session.execute(sql.SQL("create role {} login nosuperuser").format(sql.Identifier(name)))
            for group in memberships:
                session.execute(sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(name)))
        return name

    return create


@pytest.fixture
def crash_cluster(server: Server) -> Iterator[Cluster]:
    """A cluster of this test's own that syncs to disk, with database `vsync` and the extension in it.

    `vsync_admin.cluster` has `kill`, `stop(cluster, "immediate")` and `start` for it; connect with
    `crash_cluster.dsn("vsync")`.
    """
    own = Cluster(server, _DIRECTORY.with_name(f"{_DIRECTORY.name}-{next(_numbers)}"), SETTINGS)
    try:
        clusters.create(own)
        clusters.start(own)
        with psycopg.connect(own.dsn(), autocommit=True) as session:
            session.execute("create database vsync")
        with psycopg.connect(own.dsn("vsync"), autocommit=True) as session:
            session.execute("create extension vsync cascade")
        yield own
    finally:
        clusters.destroy(own)
