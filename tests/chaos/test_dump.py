"""Dumps of every kind, restored: whole, structure only, rows only with the triggers disabled."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from chaos.battery import Battery, change
from chaos.load import DOCUMENT, Load, Worker, Writer, open_shop
from fix_cluster import Connection
from races.steps import run, scalar, wait_until
from vsync_admin.cluster import Cluster

pytestmark = pytest.mark.battery
ROWS = 200
Copy = Callable[..., Connection]


@pytest.fixture
def copy(cluster: Cluster, db: Connection) -> Iterator[Copy]:
    """Dump the database and load the dump into a new one, or into the one given; a session in that."""
    sessions: list[Connection] = []
    bindir = cluster.server.bindir

    def load(*options: str, into: Connection | None = None) -> Connection:
        name = into.info.dbname if into else f"{db.info.dbname}_copy"
        if into is None:
            run(db, f'create database "{name}"')
        dump = subprocess.run(
            [bindir / "pg_dump", *options, "-d", cluster.dsn(db.info.dbname)], check=True, capture_output=True
        )
        psql = [bindir / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", cluster.dsn(name)]
        done = subprocess.run(psql, input=dump.stdout, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        if into is not None:
            return into
        sessions.append(psycopg.connect(cluster.dsn(name), autocommit=True))
        return sessions[-1]

    yield load
    for session in sessions:
        name = session.info.dbname
        session.close()
        run(db, f'drop database "{name}" with (force)')


def test_a_dump_taken_under_load_goes_on_where_it_was(
    db: Connection, dsn: str, tiny_model: Path, battery: Battery, copy: Copy
) -> None:
    open_shop(db, battery.journal, tiny_model, rows=ROWS)
    writer = Writer(dsn, battery.journal, 0, 1, ROWS, battery.seed)
    with Load([writer], [Worker(dsn)]) as load:
        load.allow(100_000)
        wait_until(lambda: load.done > 100 and scalar(db, "select count(*) > 0 from shop.found"), "writer and worker")
        restored = copy()
        battery.faults += 1
    # what was acknowledged before the dump began is in it, and more: the tables themselves say what
    rows = run(restored, "select id, kind, body from shop.items")
    found = dict(run(restored, "select id, content from (select * from shop.found) as f"))
    restored.execute("call vsync.work()")
    assert dict(run(restored, "select id, content from shop.found")) == dict(run(restored, DOCUMENT))
    assert len(rows) > ROWS / 2
    assert found
    assert run(restored, "select missing, extra, stale, mixed from vsync.audit('found')") == [(0, 0, 0, 0)]
    battery.rest(db)


def test_the_structure_alone_can_be_written_to_and_declared_anew(
    db: Connection, tiny_model: Path, battery: Battery, copy: Copy
) -> None:
    open_shop(db, battery.journal, tiny_model, rows=ROWS)
    db.execute("call vsync.work()")
    bare = copy("--schema-only")
    battery.faults += 1
    rows = run(db, "select id, kind, body from shop.items")
    run(bare, "insert into shop.kinds select g, 'kind ' || g from generate_series(0, 19) as g")
    run(bare, "insert into shop.items select g, g % 20, 'text ' || g from generate_series(1, 200) as g")
    bare.execute("call vsync.work()")
    assert len(rows) == scalar(bare, "select count(*) from shop.items")
    bare.execute("select vsync.register_model('tiny', %s)", [f"file://{tiny_model}"])
    # numbered otherwise than before, and the old triggers are there still
    bare.execute("select vsync.create_embedding('items_found', 'select id, body as content from shop.items', 'tiny')")
    bare.execute("select vsync.create_embedding('found', %s, 'tiny', index => '{\"type\": \"none\"}')", [DOCUMENT])
    battery.rest(bare)
    change(bare, battery, ROWS, "captured")
    battery.rest(bare)


def test_rows_alone_loaded_behind_disabled_triggers_are_found_by_the_audit(
    db: Connection, dsn: str, tiny_model: Path, battery: Battery, copy: Copy
) -> None:
    open_shop(db, battery.journal, tiny_model, rows=ROWS)
    db.execute("call vsync.work()")
    restored = copy()
    restored.execute("call vsync.work()")
    run(restored, "truncate shop.items")
    restored.execute("call vsync.work()")
    change(db, battery, ROWS, "changed")
    copy("--data-only", "--disable-triggers", "--table=shop.items", into=restored)
    battery.faults += 1
    assert scalar(restored, "select missing from vsync.audit('found')") == ROWS
    # the restore enables the triggers again, which has every document compared
    assert scalar(restored, "select count(*) from vsync_internal.log where op = 'M'") == 1
    assert run(restored, "select distinct name from vsync.doctor() where level = 'error'") == []
    battery.rest(restored)
    run(restored, "set session_replication_role = replica")
    change(restored, battery, ROWS, "captured")
    battery.rest(restored)


def test_a_trigger_of_a_capture_that_is_no_more_is_replaced(db: Connection, tiny_model: Path, battery: Battery) -> None:
    run(db, "create function vsync_data.capture_77() returns trigger language plpgsql as 'begin return null; end'")
    open_shop(db, battery.journal, tiny_model)
    db.execute("select vsync.drop_embedding('found')")
    run(db, "create trigger vsync_update after update on shop.items execute function vsync_data.capture_77()")
    run(db, "alter table shop.items enable always trigger vsync_update")
    run(db, "insert into shop.items select g, g % 20, 'text ' || g from generate_series(1, 200) as g")
    battery.journal.acknowledge(("items", key, [key % 20, f"text {key}"]) for key in range(1, ROWS + 1))
    db.execute("select vsync.create_embedding('found', %s, 'tiny', index => '{\"type\": \"none\"}')", [DOCUMENT])
    battery.rest(db)
    change(db, battery, ROWS, "captured")
    battery.faults += 1
    battery.rest(db)
