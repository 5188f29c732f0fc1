"""What rules cost the fold: 100,000 changed rows until they are marked, without rules, with one and with twenty."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.bench.measure import Connection, Figure, database
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import Cluster
from vsync_engine.foundation.host import PsycopgHost
from vsync_engine.rules import change_stage

ROWS = 100_000
_TABLE = f"""
create table goods as
select i as id, 'title ' || i as title, i % 97 as price, i % 5 = 0 as vip, md5(i::text) as note
from generate_series(1, {ROWS}) as i;
alter table goods add primary key (id);
analyze goods;
"""
_DECLARE = """
select vsync.create_embedding('goods_search', 'select id, title || note as content from goods', 'tiny',
    index => '{"type": "none"}')
"""
# each matches a few rows; the last of them most
_CONDITIONS = [
    *(f"new.price = {i} and old.title <> new.title and not new.vip" for i in range(17)),
    "new.vip and old.price is distinct from new.price",
    "pg_catalog.length(new.title) > 40",
    "new.price > 90",
]


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure the same statement with no, one and twenty rules."""
    with tempfile.TemporaryDirectory() as directory, database(cluster, "rules") as session:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
        session.execute(_TABLE.encode())
        session.execute(_DECLARE)
        session.execute("update vsync_internal.progress set phase = 'done'")  # nothing need be embedded to be folded
        rates: dict[int, float] = {}
        for count in (0, 1, 20):
            for number in range(session.execute("select count(*) from vsync.rules").fetchall()[0][0], count):
                create = "select vsync.create_rule(%s, 'goods_search', %s, 'prioritize', '{\"priority\": 1}')"
                session.execute(create, [f"rule_{number}", _CONDITIONS[-1 - number]])
            while session.execute("select vsync_internal.attend_rules()").fetchone() != (0,):
                pass
            rates[count] = max(_rate(cluster, session, f"{count}.{turn}") for turn in range(3))
        yield Figure("fold of 100,000 changes, no rules", rates[0], "rows/s")
        for count, name, must in ((1, "1 rule", None), (20, "20 rules", 0.4)):
            note = f"{rates[count]:,.0f} rows/s"
            yield Figure(f"fold of 100,000 changes, {name} ÷ none", rates[count] / rates[0], "ratio", must, note=note)


def _rate(cluster: Cluster, session: Connection, turn: str) -> float:
    session.execute(f"update goods set title = 'title {turn} ' || id".encode())
    with psycopg.connect(cluster.dsn("rules")) as worker:
        host = PsycopgHost(worker)
        start = time.perf_counter()
        worker.execute("select vsync_internal.fold()")
        worker.commit()
        while change_stage.decide(host, 10, change_stage.TOGETHER, []):
            worker.commit()
        while worker.execute("select vsync_internal.expand()").fetchone() != (0,):
            worker.commit()
        worker.commit()
        rate = ROWS / (time.perf_counter() - start)
        worker.execute("delete from vsync_internal.marks")
        worker.commit()
    session.execute("vacuum vsync_internal.marks, vsync_internal.pages")
    return rate
