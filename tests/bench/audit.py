"""Documents a second that the audit compares: of one table, all in one call, and by pages as the command line does."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Connection, Figure, database, median, seconds
from tests.fix_models import write_tiny_model
from vsync_admin.cluster import Cluster

ROWS = 1_000_000
ROUNDS = 3
PAGE = 50_000
_TABLE = f"""
create table texts as
select i as id, 'title ' || i || ' ' || md5(i::text) as body from generate_series(1, {ROWS}) as i
"""
_DECLARE = """
select vsync.create_embedding('texts_search', 'select id, body as content from texts', 'tiny',
    index => '{"type": "none"}')
"""
# what workers would have stored, vectors aside
_STORE = """
insert into vsync_data.texts_search_v1 (id, chunk, chunks, content, content_hash, document_hash, embedding, truncated,
    token, captured_at, embedded_at, worker)
select t.id, 0, 1, t.body, sha256(t.body::bytea), sha256(t.body::bytea), '[1,2,3,4,5,6,7,8]', false, 1, now(), now(), 0
from texts as t
"""
_FOUND = "select checked, missing + extra + stale + mixed from vsync.audit('texts_search')"
_PAGE = "select next_key, checked, missing + extra + stale + mixed from vsync_internal.audit_page(1, %s, %s, false)"


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Measure a clean embedding of a million short documents; vectors are stored by SQL, since none is read."""
    with tempfile.TemporaryDirectory() as directory, database(cluster, "audit") as session:
        Path(directory).chmod(0o755)
        model = write_tiny_model(Path(directory) / "tiny")
        session.execute("select vsync.register_model('tiny', %s)", [f"file://{model}"])
        session.execute(_TABLE.encode())
        session.execute("alter table texts add primary key (id)")
        session.execute(_DECLARE)
        session.execute(_STORE)
        session.execute("vacuum analyze texts")
        session.execute("vacuum analyze vsync_data.texts_search_v1")
        found = session.execute(
            "select checked, missing + extra + stale + mixed from vsync.audit('texts_search')"
        ).fetchone()
        assert found == (ROWS, 0), found
        whole = [ROWS / seconds(session, _FOUND) for _ in range(ROUNDS)]
        yield Figure("audit of one table, in one call", median(whole), "documents/s", 100_000)
        yield Figure(
            "audit of one table, by pages", median([_by_pages(session) for _ in range(ROUNDS)]), "documents/s", 100_000
        )


def _by_pages(session: Connection) -> float:
    start = time.perf_counter()
    after, checked = None, 0
    while True:
        row = session.execute(_PAGE, [after, PAGE]).fetchone()
        assert row is not None
        assert row[2] == 0
        checked += row[1]
        after = row[0]
        if after is None:
            break
    assert checked == ROWS
    return ROWS / (time.perf_counter() - start)
