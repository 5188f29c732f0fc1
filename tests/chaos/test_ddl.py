"""DDL of every kind beside workers and writers: nobody is wedged, nothing deadlocks, and at rest all is fresh."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import psycopg
import pytest

from chaos.battery import Battery
from chaos.load import DOCUMENT, KINDS, Load, Worker, open_shop
from fix_cluster import Connect, Connection
from races.steps import in_background, run, scalar, wait_until

ROWS = 60
DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"
WAITING = "select wait_event is not null and state = 'active' from pg_stat_activity where pid = %s"
PATIENCE = "set lock_timeout = '20 s'; set statement_timeout = '60 s'"


class Storm:
    """The session that alters everything; what it does to rows is in the journal."""

    def __init__(self, db: Connection, battery: Battery, model: Path) -> None:
        self._db = db
        self._battery = battery
        self._chance = battery.chance
        self._model = model
        self._table, self._body = "items", "body"
        self._expected = battery.journal.replay()

    def finish(self) -> None:
        """Give table and column their names back."""
        if self._table != "items":
            self.rename_table()
        if self._body != "body":
            self.rename_column()

    def write(self) -> None:
        """Change, add and delete rows."""
        for key in self._chance.sample(range(1, ROWS + 21), 5):
            row: list[object] = [self._chance.randrange(KINDS), f"text {self._chance.randrange(10_000)}"]
            self._db.execute(
                f"insert into shop.{self._table} (id, kind, {self._body}) values (%s, %s, %s) on conflict (id) "
                f"do update set kind = excluded.kind, {self._body} = excluded.{self._body}".encode(),
                [key, *row],
            )
            self._battery.journal.acknowledge([("items", key, row)])
        gone = self._chance.randrange(1, ROWS)
        run(self._db, f"delete from shop.{self._table} where id = {gone}")
        self._battery.journal.acknowledge([("items", gone, None)])

    def rename_column(self) -> None:
        new = "words" if self._body == "body" else "body"
        run(self._db, f"alter table shop.{self._table} rename column {self._body} to {new}")
        self._body = new

    def rename_table(self) -> None:
        new = "things" if self._table == "items" else "items"
        run(self._db, f"alter table shop.{self._table} rename to {new}")
        self._table = new

    def retype(self) -> None:
        run(self._db, f"alter table shop.{self._table} alter price type {self._chance.choice(['float8', 'numeric'])}")
        with suppress(psycopg.errors.FeatureNotSupported):
            run(self._db, f"alter table shop.{self._table} alter {self._body} type varchar")

    def columns(self) -> None:
        run(self._db, f"alter table shop.{self._table} add column if not exists more text default 'x'")
        run(self._db, f"alter table shop.{self._table} drop column more")
        with pytest.raises(psycopg.errors.DependentObjectsStillExist):
            run(self._db, f"alter table shop.{self._table} drop column {self._body}")

    def partitions(self) -> None:
        run(self._db, "alter table shop.parted detach partition shop.part_1")
        run(self._db, "insert into shop.part_1 values (150 + random() * 40, 'while detached') on conflict do nothing")
        run(self._db, "alter table shop.parted attach partition shop.part_1 for values from (100) to (200)")
        run(self._db, "update shop.parted set body = body || '.' where id % 7 = 0")
        run(self._db, f"truncate shop.part_{self._chance.randrange(2)}")
        run(self._db, "insert into shop.parted select g, 'again ' || g from generate_series(10, 190, 20) as g "
                      "on conflict do nothing")  # fmt: skip

    def drop_embedding(self) -> None:
        self._db.execute("select vsync.drop_embedding('found')")
        self.declare()

    def drop_column(self) -> None:
        run(self._db, f"alter table shop.{self._table} drop column {self._body} cascade")
        self._db.execute("select vsync.drop_embedding('found')")
        run(self._db, f"alter table shop.{self._table} add column {self._body} text")
        run(self._db, f"update shop.{self._table} set {self._body} = 'anew ' || id")
        rows = run(self._db, f"select id, kind from shop.{self._table}")
        self._battery.journal.acknowledge(("items", key, [kind, f"anew {key}"]) for key, kind in rows)
        self.declare()

    def drop_source(self) -> None:
        keys = [row[0] for row in run(self._db, f"select id from shop.{self._table}")]
        run(self._db, f"drop table shop.{self._table} cascade")
        self._battery.journal.acknowledge(("items", key, None) for key in keys)
        self._db.execute("select vsync.drop_embedding('found')")
        run(self._db, f"create table shop.{self._table} (id int primary key, kind int not null, {self._body} text, "
                      "price numeric default 0)")  # fmt: skip
        self.declare()

    def drop_extension(self) -> None:
        run(self._db, "drop extension vsync cascade")
        run(self._db, "create extension vsync")
        self._db.execute("select vsync.register_model('tiny', %s)", [f"file://{self._model}"])
        self.declare()
        declare_parted(self._db)

    def declare(self) -> None:
        document = DOCUMENT.replace("shop.items", f"shop.{self._table}").replace("i.body", f"i.{self._body}")
        self._db.execute(
            "select vsync.create_embedding('found', %s, 'tiny', index => '{\"type\": \"none\"}')", [document]
        )


OPERATIONS: tuple[Callable[[Storm], None], ...] = (
    *(Storm.rename_column, Storm.rename_table, Storm.retype, Storm.columns, Storm.partitions) * 3,
    Storm.drop_embedding,
    Storm.drop_column,
    Storm.drop_source,
    Storm.drop_extension,
)


def declare_parted(db: Connection) -> None:
    db.execute("select vsync.create_embedding('parted_found', 'select id, body as content from shop.parted', 'tiny')")


@contextmanager
def idle_writes(connect: Connect) -> Iterator[list[int]]:
    """Write beside the storm what changes no text: whatever fails for want of a table or a column is tried again."""
    stop, written = Event(), [0]
    session = connect()
    run(session, PATIENCE)

    def write() -> None:
        while not stop.is_set():
            for table in ("items", "things"):
                with suppress(psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
                    run(session, f"update shop.{table} set price = price + 1, kind = kind where id % 3 = 0")
                    written[0] += 1
            run(session, "update shop.kinds set name = name where id < 3")

    writing = in_background(write)
    try:
        yield written
    finally:
        stop.set()
        writing.result(60)


@pytest.mark.parametrize("hold", ["select from vsync_internal.marks", "comment on view vsync.settings is null"])
def test_drop_extension_holds_nothing_while_it_waits(
    db: Connection, connect: Connect, tiny_model: Path, battery: Battery, hold: str
) -> None:
    open_shop(db, battery.journal, tiny_model, rows=ROWS)
    dropper, other = connect(), connect()
    with db.transaction():
        run(db, hold)
        dropping = in_background(lambda: run(dropper, "drop extension vsync cascade"))
        pid = dropper.info.backend_pid
        wait_until(lambda: scalar(other, WAITING, pid), "DROP EXTENSION")
        run(db, "set local lock_timeout = '2 s'")
        for relation in ("vsync_internal.log", "vsync_internal.progress", "vsync_data.found_v1", "shop.found"):
            run(db, f"select from {relation}")
        run(db, "insert into shop.items values (1000, 1, 'captured')")
        battery.faults += 1
    dropping.result(60)
    assert scalar(db, "select to_regnamespace('vsync') is null")
    assert scalar(db, "select count(*) from shop.items") == ROWS + 1


@pytest.mark.parametrize("rounds", [25, pytest.param(1000, marks=pytest.mark.chaos, id="1000 rounds")])
def test_ddl_beside_workers_wedges_nobody(
    db: Connection,
    dsn: str,
    connect: Connect,
    tiny_model: Path,
    battery: Battery,
    share: Callable[[int], int],
    rounds: int,
) -> None:
    open_shop(db, battery.journal, tiny_model, rows=ROWS)
    run(db, "create table shop.parted (id int primary key, body text) partition by range (id)")
    run(db, "create table shop.part_0 partition of shop.parted for values from (0) to (100)")
    run(db, "create table shop.part_1 partition of shop.parted for values from (100) to (200)")
    declare_parted(db)
    run(db, PATIENCE)
    before = scalar(db, DEADLOCKS)
    storm = Storm(db, battery, tiny_model)
    with (
        idle_writes(connect) as written,
        Load([], [Worker(dsn, whatever_fails=True), Worker(dsn, whatever_fails=True)]),
    ):
        for turn in range(rounds if rounds == 25 else share(rounds)):
            storm.write()
            operation = OPERATIONS[turn % len(OPERATIONS)] if rounds == 25 else battery.chance.choice(OPERATIONS)
            operation(storm)
            battery.faults += 1
            if battery.chance.random() < 0.3:
                time.sleep(battery.chance.random() * 0.2)
        storm.finish()
        assert written[0] > 0
        battery.rest(db)  # the workers take part, and are in nobody's way
    assert scalar(db, DEADLOCKS) == before
    assert run(db, "select checked > 0, missing, extra, stale, mixed from vsync.audit('parted_found')") == [
        (True, 0, 0, 0, 0)
    ]
    assert run(db, "select name, detail from vsync.doctor() where level = 'error'") == []
