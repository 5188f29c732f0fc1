"""A queue is empty most of the time: what it knows of itself then must not decide how a burst is worked off."""

from pathlib import Path

from shop import Connection, add, declare, open_shop, rows, run, value
from versions.rollout import work

_BURST = 20_000


def test_statistics_of_an_empty_queue_slow_no_statement_down(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model, 5_000)
    declare(db, index='{"type": "none"}')
    work(db)
    run(db, "alter table vsync_internal.marks set (autovacuum_enabled = off)")
    run(db, "vacuum (truncate off, analyze) vsync_internal.marks")
    assert rows(db, "select reltuples, relpages > 0 from pg_class where relname = 'marks'") == [(0, True)]
    add(db, 5_001, 5_000 + _BURST)
    # compared mark by mark with all others, a claim of so many took minutes
    run(db, "set statement_timeout = '30 s'")
    run(db, "select vsync_internal.fold(); select vsync_internal.expand(100000)")
    token, keys = rows(db, "select token, keys from vsync_internal.claim(1, 2000)")[0]
    assert len(rows(db, "select key from vsync_internal.render(%s, %s)", token, keys)) == 2_000
    assert value(db, "select vsync_internal.postpone(%s, %s, interval '0')", token, keys[:1000]) == 1_000
    assert value(db, "select vsync_internal.release(%s)", token) == 1_000
