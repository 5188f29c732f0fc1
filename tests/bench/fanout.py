"""A category with 100,000 products is renamed: what its writer pays, how fast the products are found, who waits."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.bench.measure import Connection, Figure, database, median, seconds
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import Cluster

PRODUCTS = 100_000
ROUNDS = 200
EXPANSIONS = 5
_TABLES = f"""
create table categories (id int primary key, name text not null);
create table plain (id int primary key, name text not null);
insert into categories values (1, 'one'), (2, 'two');
insert into plain select * from categories;
create table products as
select i as id, 1 + (i > {PRODUCTS})::int as category_id, 'title ' || i as title
from generate_series(1, {PRODUCTS + 1000}) as i;
alter table products add primary key (id);
create index on products (category_id);
analyze;
"""
_DECLARE = """
select vsync.create_embedding('products_search', $$
    select p.id, p.title || ' in ' || c.name as content from products p join categories c on c.id = p.category_id
    $$, 'tiny', index => '{"type": "none"}')
"""


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure the writer, the expansion, and a single edit while the products are embedded."""
    with tempfile.TemporaryDirectory() as directory, database(cluster, "fanout") as session:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
        session.execute(_TABLES.encode())
        session.execute(_DECLARE)
        session.execute("call vsync.work()")
        yield _commit(session, "trigger")
        rates = [_expansion(session, turn) for turn in range(EXPANSIONS)]
        yield Figure("fan-out, keys found and marked", median(rates), "keys/s", 100_000, note=f"of {EXPANSIONS}")
        yield Figure(
            "single edit during the fan-out, commit → fresh", _edit(cluster, session), "s", 1.0, 0.3, at_most=True
        )
        session.execute("select vsync.set_capture('products_search', 'wal')")
        session.execute("call vsync.work()")  # makes the slot
        yield _commit(session, "WAL")


def _commit(session: Connection, capture: str) -> Figure:
    """Rename the category of a captured table and of one that is not, in turn."""
    took: dict[str, list[float]] = {"plain": [], "categories": []}
    for turn in range(ROUNDS):
        for table, times in took.items():
            times.append(seconds(session, f"update {table} set name = '{capture} {turn}' where id = 1"))
    without, captured = median(took["plain"]), median(took["categories"])
    spread = sorted(took["plain"])[ROUNDS // 4 : -ROUNDS // 4]
    usual = f"half of those without: {1e6 * spread[0]:.0f} to {1e6 * spread[-1]:.0f} µs"
    note = f"{1e6 * (captured - without):.0f} µs more a statement; {usual}"
    name = f"rename of a category of 100,000, captured by {capture}, commit ÷ without"
    return Figure(name, captured / without, "ratio", 1.05, at_most=True, note=note)


def _expansion(session: Connection, turn: int) -> float:
    """Rename the category, then find and mark its products as a worker does; return how many a second."""
    session.execute("delete from vsync_internal.marks")
    session.execute("vacuum vsync_internal.marks, vsync_internal.pages")
    session.execute("update categories set name = %s where id = 1", [f"expansion {turn}"])
    session.execute("set synchronous_commit = off")  # as workers do
    start = time.perf_counter()
    session.execute("select vsync_internal.fold()")
    while session.execute("select vsync_internal.expand()").fetchone() != (0,):
        pass
    rate = PRODUCTS / (time.perf_counter() - start)
    session.execute("reset synchronous_commit")
    assert session.execute("select count(*) from vsync_internal.marks").fetchone() == (PRODUCTS,)
    return rate


def _edit(cluster: Cluster, session: Connection) -> float:
    """Edit products of the other category, one by one, while a worker embeds the 100,000; the slowest of ten."""
    times: list[float] = []
    with psycopg.connect(cluster.dsn("fanout"), autocommit=True) as worker:
        background = threading.Thread(target=worker.execute, args=["call vsync.work()"])
        background.start()
        for number in range(PRODUCTS + 1, PRODUCTS + 11):
            start = time.perf_counter()
            session.execute("update products set title = 'edited' where id = %s", [number])
            query = "select content like 'edited%%' from vsync_data.products_search_v1 where id = %s"
            while session.execute(query, [number]).fetchone() != (True,):
                time.sleep(0.002)
            times.append(time.perf_counter() - start)
        still_busy = background.is_alive()
        background.join()
    if not still_busy:
        raise SystemExit("the fan-out was over before the edits: nothing was measured")
    return max(times)
