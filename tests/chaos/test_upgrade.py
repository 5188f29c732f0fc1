"""pg_upgrade from an older major: changes in the log, marks in the queue, and a slot that stays behind.

Runs where an older major with PL/Python and pgvector is installed, or where UPGRADE_FROM is the path of its pg_config.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from chaos.battery import Battery, change
from chaos.load import open_shop
from fix_cluster import SETTINGS
from races.steps import run, scalar
from vsync_admin import cluster as clusters
from vsync_admin import placement
from vsync_admin.cluster import Cluster
from vsync_admin.errors import CommandError
from vsync_admin.processes import run_as_database_user
from vsync_admin.server import Server, find_server

pytestmark = pytest.mark.battery
ROWS = 200
EMBEDDED = "select id, embedded_at from vsync_data.found_v1"


def major(server: Server) -> int:
    match = re.search(r"\d+", server.version)
    assert match is not None
    return int(match[0])


@pytest.fixture
def older(server: Server) -> Server:
    """The newest of the older majors that have what vsync needs."""
    given = os.environ.get("UPGRADE_FROM")
    paths = [Path(given)] if given else Path("/usr/lib/postgresql").glob("*/bin/pg_config")
    found = [find_server(str(path)) for path in paths if path.with_name("postgres").exists()]
    fit = [
        each
        for each in found
        if major(each) < major(server)
        and all((each.pkglibdir / f"{name}.so").exists() for name in ("plpython3", "vector"))
    ]
    if not fit:
        pytest.skip(f"no server older than {server.version} is installed; UPGRADE_FROM=/path/to/pg_config names one")
    newest = max(fit, key=major)
    placement.install(newest)
    return newest


@pytest.fixture
def upgraded(crash_cluster: Cluster, older: Server) -> Iterator[tuple[Cluster, Cluster]]:
    """A running cluster of the older server, and where its successor is to be."""
    clusters.destroy(crash_cluster)
    before = Cluster(older, Path(f"{crash_cluster.directory}-old"), SETTINGS)
    try:
        clusters.create(before)
        clusters.start(before)
        with psycopg.connect(before.dsn(), autocommit=True) as session:
            session.execute("create database vsync")
        yield before, crash_cluster
    finally:
        clusters.destroy(before)


def upgrade(before: Cluster, after: Cluster) -> None:
    """Run pg_upgrade; what its logs say where it fails."""
    command: list[str | Path] = [after.server.bindir / "pg_upgrade", "-U", "postgres", "-s", after.directory]
    command += ["-b", before.server.bindir, "-B", after.server.bindir, "-d", before.data, "-D", after.data]
    try:
        run_as_database_user(["env", f"--chdir={after.directory}", *command], timeout=300)
    except CommandError as error:
        logs = (after.data / "pg_upgrade_output.d").rglob("*.log")
        pytest.fail("\n".join([error.detail, *(log.read_text("utf-8")[-2000:] for log in logs)]))


@pytest.mark.parametrize("capture", ["trigger", "wal"])
def test_an_upgraded_server_goes_on_where_it_was_and_embeds_nothing_twice(
    upgraded: tuple[Cluster, Cluster], tiny_model: Path, battery: Battery, capture: str
) -> None:
    before, after = upgraded
    with psycopg.connect(before.dsn("vsync"), autocommit=True) as session:
        session.execute("create extension vsync cascade")
        open_shop(session, battery.journal, tiny_model, rows=ROWS, capture=capture, index="hnsw")
        session.execute("call vsync.work()")
        embedded = dict(run(session, EMBEDDED))
        change(session, battery, ROWS, "marked")
        run(session, "select vsync_internal.fold()")
        change(session, battery, ROWS, "logged")
    clusters.stop(before)
    if major(before.server) < 18 <= major(after.server):  # whose initdb has them on
        run_as_database_user([before.server.bindir / "pg_checksums", "--enable", "-D", before.data])
    clusters.create(after)
    upgrade(before, after)
    battery.faults += 1
    clusters.start(after)
    with psycopg.connect(after.dsn("vsync"), autocommit=True) as session:
        battery.rest(session)
        kept = dict(run(session, EMBEDDED))
        changed = {key for key, body in run(session, "select id, body from shop.items") if not body.startswith("text ")}
        assert {key for key in embedded if kept[key] != embedded[key]} == changed
        change(session, battery, ROWS, "after it")
        battery.rest(session)
        assert run(session, "select name, detail from vsync.doctor() where level = 'error'") == []
        assert scalar(session, "select count(*) from vsync.search('found', 'after it 1', 5)") == 5
