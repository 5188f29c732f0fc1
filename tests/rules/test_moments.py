"""What happens by time alone: rules that begin and end, documents that fall due, schedules that come round."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connect, Connection
from races.steps import in_background, wait_until
from rules.shelf import marks, open_shelf, rule, sent, text, work
from shop import rows, run, value
from vsync_engine.foundation.host import PsycopgHost
from vsync_engine.refresh import worker
from vsync_engine.refresh.worker import Worker

_MOMENTS = 6
_POLL = 1.0  # seconds
_APART = 1.37  # seconds: no multiple of the sleep
_SOON = "clock_timestamp() + make_interval(secs => %s)"
_LATE = "select id, extract(epoch from embedded_at - %s::timestamptz)::float8 from vsync_data.found_v1 where id = %s"


@pytest.fixture
def shelf(db: Connection, tiny_model: Path) -> Connection:
    open_shelf(db, tiny_model, articles=_MOMENTS, index='{"type": "none"}')
    run(db, "select vsync.configure('poll_ms', %s)", str(int(_POLL * 1000)))
    return db


def _ends(db: Connection, key: int, moment: datetime) -> None:
    create = "select vsync.create_rule(%s, 'found', %s, 'skip', valid_until => %s)"
    run(db, create, f"rule_{key}", f"new.id = {key}", moment)


def _begins(db: Connection, key: int, moment: datetime) -> None:
    create = "select vsync.create_rule(%s, 'found', %s, 'refresh', '{\"force\": true}', valid_from => %s)"
    run(db, create, f"rule_{key}", f"doc.id = {key}", moment)


def _outranks(db: Connection, key: int, moment: datetime) -> None:
    rule(db, f"rule_{key}", f"new.id = {key}", "skip")
    create = "select vsync.create_rule(%s, 'found', %s, 'refresh', priority => 1, valid_from => %s)"
    run(db, create, f"refresh_{key}", f"doc.id = {key}", moment)


def _falls_due(db: Connection, key: int, moment: datetime) -> None:
    rule(db, f"rule_{key}", f"new.id = {key}", "defer", '{"for": "1 hour"}')
    run(db, "update shelf.articles set title = 'changed' where id = %s", key)
    work(db)
    run(db, "update vsync_internal.marks set due_at = %s, held_until = %s where key = %s", moment, moment, str(key))


def _shows(db: Connection, key: int, moment: datetime) -> None:
    create = "select vsync.create_rule(%s, 'found', %s, 'exclude', valid_until => %s)"
    run(db, create, f"rule_{key}", f"doc.id = {key}", moment)


@pytest.mark.parametrize("becomes", [_ends, _begins, _outranks, _falls_due, _shows])
def test_a_worker_that_sleeps_its_longest_is_there_in_time(
    shelf: Connection,
    monkeypatch: pytest.MonkeyPatch,
    becomes: Callable[[Connection, int, datetime], None],
) -> None:
    first: datetime = value(shelf, f"select {_SOON}", 5)
    moments = {key: first + timedelta(seconds=(key - 1) * _APART) for key in range(1, _MOMENTS + 1)}
    for key, moment in moments.items():
        becomes(shelf, key, moment)
    run(shelf, "update shelf.articles set title = 'changed'")
    work(shelf)
    early = [found for key, moment in moments.items() for found in rows(shelf, _LATE, moment, key)]
    assert all(late < 0 for _, late in early)
    assert value(shelf, "select clock_timestamp() < %s", first)
    monkeypatch.setattr(worker, "_SHORTEST_SLEEP", _POLL)
    with psycopg.connect(shelf.info.dsn) as session:
        left: float = value(shelf, "select extract(epoch from %s - clock_timestamp())::float8", moments[_MOMENTS])
        Worker(PsycopgHost(session), None).run(left + _POLL)
    late = dict(found for key, moment in moments.items() for found in rows(shelf, _LATE, moment, key))
    assert all(0 <= seconds < _POLL / 2 for seconds in late.values()), late


def test_a_worker_at_a_backlog_follows_rules_between_its_batches(shelf: Connection, connect: Connect) -> None:
    rule(shelf, "skipping", "new.id = 1", "skip")
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    work(shelf)
    run(shelf, "select vsync.configure('batch_tokens', '1')")
    run(shelf, "insert into shelf.articles select i, 1, 'backlog ' || i from generate_series(100, 2500) as i")
    other = connect()
    working = in_background(lambda: work(other))
    wait_until(lambda: value(shelf, "select count(*) from vsync_internal.marks where token is not null") > 0, "a claim")
    run(shelf, "select vsync.drop_rule('skipping')")
    working.result(120)
    assert text(shelf, 1) == "changed in two"
    at = value(shelf, "select embedded_at from vsync_data.found_v1 where id = 1")
    assert value(shelf, "select count(*) from vsync_data.found_v1 where id > 99 and embedded_at > %s", at) > 100


def test_exclude_begins_and_ends_with_its_validity_and_no_worker(shelf: Connection) -> None:
    seen = "select array_agg(id order by id) from shelf.found"
    search = "select array_agg((key ->> 'id')::int order by (key ->> 'id')::int) from vsync.search('found', 'x', 10)"
    create = f"""select vsync.create_rule('brief', 'found', 'doc.id = 1', 'exclude',
        valid_from => {_SOON}, valid_until => {_SOON})"""
    run(shelf, create, 1.5, 3)
    everything, others = [*range(1, _MOMENTS + 1)], [*range(2, _MOMENTS + 1)]
    for moment, ids in ((None, everything), ("valid_from", others), ("valid_until", everything)):
        if moment is not None:
            run(shelf, f"select pg_sleep(extract(epoch from {moment} - clock_timestamp())) from vsync.rules")
        assert [value(shelf, seen), value(shelf, search)] == [ids, ids]
    assert value(shelf, "select count(*) from vsync_internal.rule_turns") == 1


def test_five_rules_at_once_have_each_document_decided_once(shelf: Connection) -> None:
    rule(shelf, "first", "new.id > 0", "skip")
    rule(shelf, "second", "doc.id > 0", "hold")
    run(shelf, "update shelf.articles set title = 'changed'")
    work(shelf)
    assert [verdict for _, verdict, _, _ in marks(shelf)] == ["skip"] * _MOMENTS
    run(shelf, "truncate vsync_internal.decided, vsync_internal.rule_stats")
    with psycopg.connect(shelf.info.dsn) as session:
        for name, condition, action, params, priority in (
            ("a", "new.id > 1", "defer", '{"for": "1 hour"}', 5),
            ("b", "doc.id = 2", "refresh", "{}", 9),
            ("c", "new.id = 3", "hold", "{}", 8),
            ("d", "doc.id = 4", "skip", "{}", 7),
            ("e", "new.id = 99", "skip", "{}", 6),
        ):
            create = "select vsync.create_rule(%s, 'found', %s, %s, %s, %s)"
            session.execute(create, (name, condition, action, params, priority))
    before = sent(shelf)
    work(shelf)
    assert sent(shelf) == before + 1
    assert [(key, verdict, name) for key, verdict, name, _ in marks(shelf)] == [
        ("1", "skip", "first"),
        ("3", "hold", "c"),
        ("4", "skip", "d"),
        ("5", "defer", "a"),
        ("6", "defer", "a"),
    ]
    asked = "select name, asked from vsync.stat_rules order by name"
    assert rows(shelf, asked) == [(name, _MOMENTS) for name in ("a", "b", "c", "d", "e", "first", "second")]
    decided = "select rule, count(*), count(distinct key) from vsync.decisions group by rule order by rule"
    assert rows(shelf, decided) == [
        *(("a", 5, 5), ("b", 1, 1), ("c", 1, 1), ("d", 1, 1)),
        *(("first", _MOMENTS, _MOMENTS), ("second", _MOMENTS, _MOMENTS)),
    ]


def test_what_was_decided_by_the_new_rules_is_not_decided_again(shelf: Connection) -> None:
    rule(shelf, "first", "new.id > 0", "skip")
    work(shelf)
    run(shelf, "truncate vsync_internal.decided, vsync_internal.rule_stats")
    run(shelf, "update shelf.articles set title = 'changed'")
    run(shelf, "select vsync.alter_rule('first', 'new.id < 100')")
    work(shelf)
    assert rows(shelf, "select name, asked from vsync.stat_rules") == [("first", _MOMENTS)]


def test_a_change_that_comes_while_a_turn_is_followed_does_not_keep_what_a_dropped_rule_held(shelf: Connection) -> None:
    rule(shelf, "held", "new.id > 0", "hold")
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    work(shelf)
    run(shelf, "select vsync.drop_rule('held')")
    assert value(shelf, "select vsync_internal.attend_rules()") == 1
    run(shelf, "update shelf.articles set title = 'changed again' where id = 1")
    assert value(shelf, "select vsync_internal.fold()") == 1
    assert marks(shelf) == [("1", "hold", None, None)]
    work(shelf)
    assert text(shelf, 1) == "changed again in two"
