"""The private cluster of this checkout: where it lies, and bringing it up and down."""

import hashlib
import os
from pathlib import Path
from typing import NoReturn

import psycopg
from psycopg import sql

from vsync_admin import cluster
from vsync_admin.cluster import Cluster
from vsync_admin.errors import CommandError
from vsync_admin.extension import checkout
from vsync_admin.processes import is_root
from vsync_admin.server import find_server

DATABASE = "vsync"
_SETTINGS = {
    "wal_level": "logical",
    "max_wal_size": "4GB",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def state_directory() -> Path:
    """Return where vsync keeps clusters: /var/lib/vsync for root, else below the user's XDG state directory."""
    if is_root():
        return Path("/var/lib/vsync")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vsync"


def private_cluster() -> Cluster:
    """Return the cluster that belongs to this checkout (or, without one, to this installation)."""
    home = checkout() or Path(__file__).resolve().parent
    name = f"dev-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}"
    return Cluster(find_server(), state_directory() / name, _SETTINGS)


def up() -> Cluster:
    """Create what is missing, start the cluster and make its database; leave alone what is there."""
    private = private_cluster()
    cluster.create(private)
    cluster.start(private)
    with psycopg.connect(private.dsn(), autocommit=True) as connection:
        known = "select from pg_catalog.pg_database where datname = %s"
        if connection.execute(known, (DATABASE,)).fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    return private


def down() -> bool:
    """Stop the cluster, keeping its data; tell whether it was running."""
    private = private_cluster()
    was_running = cluster.running(private)
    cluster.stop(private)
    return was_running


def dsn() -> str:
    """Return the connection string of the private cluster's database."""
    return private_cluster().dsn(DATABASE)


def psql(arguments: list[str]) -> NoReturn:
    """Replace this process by psql, connected to the private cluster; CommandError when it is down."""
    private = private_cluster()
    if not cluster.running(private):
        raise CommandError("the private cluster is down", hint="Run `vsync dev up`.")
    program = str(private.server.bindir / "psql")
    os.execv(program, [program, "--dbname", private.dsn(DATABASE), *arguments])
