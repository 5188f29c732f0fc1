"""Where the time of a backlog and of fresh changes goes, by the stages of a document's way."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.drain import DECLARE
from tests.bench.measure import Figure, database, real_texts
from tests.bench.stages import drain
from vsync_admin import catalogue
from vsync_admin.cluster import Cluster

TEXTS = 3_000


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Run the loop in this process over a connection, where each part can be timed."""
    directory = catalogue.locate("minilm")
    texts = real_texts(TEXTS)
    with database(cluster, "breakdown") as session:
        session.execute("select vsync.register_model('minilm', %s)", [f"file://{directory}"])
        session.execute("create table texts (id int primary key, body text)")
        with session.cursor() as cursor, cursor.copy("copy texts from stdin") as copy:
            for row in enumerate(texts):
                copy.write_row(row)
        session.execute(DECLARE)
        yield from _shares("a backlog", *drain(cluster.dsn("breakdown")))
        session.execute("update texts set body = 'again ' || body where id < 1000")
        yield from _shares("1,000 changes, with the index", *drain(cluster.dsn("breakdown")))


def _shares(what: str, spent: dict[str, float], total: float) -> Iterator[Figure]:
    parts = {**spent, "Python, waiting": total - sum(spent.values())}
    note = f"{total:.2f} s in all"
    for stage, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        yield Figure(f"{what}: {stage}", 100 * seconds / total, "%", note=note, compared=False)
