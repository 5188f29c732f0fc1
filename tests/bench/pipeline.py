"""Rows a second through log, queue, render and publish, with a model that costs next to nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Figure, database, seconds
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import Cluster

ROWS = 100_000
_TABLE = f"""
create table texts as
select i as id, 'title ' || i as title, md5(i::text) || ' some words here ' || md5((i * 7)::text) as body
from generate_series(1, {ROWS}) as i
"""
_DECLARE = """
select vsync.create_embedding('texts_search', 'select id, title || body as content from texts', 'tiny', index => %s)
"""


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure one worker on changed and on unchanged text, without and with the vector index."""
    with tempfile.TemporaryDirectory() as directory, database(cluster, "pipeline") as session:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
        session.execute(_TABLE.encode())
        session.execute("alter table texts add primary key (id)")
        session.execute(_DECLARE, ['{"type": "none"}'])
        session.execute("call vsync.work()")
        session.execute("update texts set body = body || 'x'")
        changed = ROWS / seconds(session, "call vsync.work()")
        session.execute("update texts set body = body")
        unchanged = ROWS / seconds(session, "call vsync.work()")
        yield Figure("pipeline, changed text", changed, "rows/s", 5_000, 15_000)
        yield Figure("pipeline, unchanged text", unchanged, "rows/s", 20_000, 50_000)
        session.execute("select vsync.drop_embedding('texts_search')")
        session.execute("delete from texts where id > 20000")
        session.execute(_DECLARE, ["{}"])
        session.execute("call vsync.work()")
        session.execute("update texts set body = body || 'y'")
        yield Figure("pipeline, changed text, with HNSW", 20_000 / seconds(session, "call vsync.work()"), "rows/s")
