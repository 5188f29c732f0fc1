"""What waits for a yes."""

from pathlib import Path

import pytest

from fix_cluster import Connect, Connection
from races.steps import blocked, in_background, wait_until
from rules.shelf import audited, marks, open_shelf, rule, stored, text, work
from rules.stepwise import decide
from shop import refused, rows, run, value


@pytest.fixture
def shelf(db: Connection, tiny_model: Path) -> Connection:
    open_shelf(db, tiny_model)
    return db


def holds(db: Connection) -> list[tuple[int, str]]:
    return rows(db, "select documents, state from vsync.holds order by id")


def test_one_hold_for_all_of_a_transactions_change(shelf: Connection) -> None:
    rule(shelf, "waiting", "new.price > 0", "hold")
    with shelf.transaction():
        run(shelf, "update shelf.articles set title = 'changed' where id < 3")
        run(shelf, "update shelf.articles set title = 'changed too' where id = 3")
    work(shelf)
    assert holds(shelf) == [(3, "waiting")]
    assert rows(shelf, "select rule, relation::text, sample[1] from vsync.holds") == [
        ("waiting", "shelf.articles", {"id": 1})
    ]
    assert audited(shelf) == {"held": 3}
    run(shelf, "select vsync.approve(1)")
    work(shelf)
    assert text(shelf, 1) == "changed in two"
    assert holds(shelf) == [(3, "approved")]
    assert marks(shelf) == []


def test_a_rejected_hold_stays_stale_until_the_document_changes(shelf: Connection) -> None:
    rule(shelf, "waiting", "new.title = 'bad'", "hold")
    run(shelf, "update shelf.articles set title = 'bad' where id = 1")
    work(shelf)
    run(shelf, "select vsync.reject(1)")
    work(shelf)
    stale = "select stale from vsync.search('found', 'article') where key = '{\"id\": 1}'"
    assert value(shelf, stale) is True
    assert holds(shelf) == [(1, "rejected")]
    assert audited(shelf) == {"held": 1}
    run(shelf, "update shelf.articles set title = 'good' where id = 1")
    work(shelf)
    assert text(shelf, 1) == "good in two"


def test_a_plain_change_joins_what_waits(shelf: Connection) -> None:
    rule(shelf, "waiting", "new.title = 'bad'", "hold")
    run(shelf, "update shelf.articles set title = 'bad' where id = 1")
    work(shelf)
    run(shelf, "update shelf.articles set title = 'good' where id = 1")
    work(shelf)
    assert text(shelf, 1) == "article 1 in two"
    run(shelf, "select vsync.approve(1)")
    work(shelf)
    assert text(shelf, 1) == "good in two"


def test_a_hold_is_gone_when_nothing_waits_under_it(shelf: Connection) -> None:
    rule(shelf, "waiting", "new.title = 'bad'", "hold")
    run(shelf, "update shelf.articles set title = 'bad' where id = 1")
    work(shelf)
    run(shelf, "delete from shelf.articles where id = 1")
    work(shelf)
    assert 1 not in stored(shelf)
    assert holds(shelf) == []
    run(shelf, "select vsync_internal.forget_holds()")
    assert rows(shelf, "select * from vsync_internal.holds") == []


def test_a_hold_is_decided_once(shelf: Connection) -> None:
    rule(shelf, "waiting", "new.price > 0", "hold")
    run(shelf, "update shelf.articles set title = 'bad' where id = 1")
    work(shelf)
    run(shelf, "select vsync.approve(1)")
    refused(lambda: run(shelf, "select vsync.reject(1)"), "VS604")
    refused(lambda: run(shelf, "select vsync.approve(7)"), "VS604")


def test_what_is_marked_while_somebody_approves_is_approved(shelf: Connection, connect: Connect) -> None:
    rule(shelf, "waiting", "new.name <> old.name", "hold", '{"relation": "shelf.sections"}')
    run(shelf, "update shelf.sections set name = 'uno' where id = 1")
    run(shelf, "select vsync_internal.fold()")
    decide(shelf)
    marking, approving = connect(autocommit=False), connect()
    run(marking, "select vsync_internal.expand()")
    said = in_background(lambda: run(approving, "select vsync.approve(1)"))
    wait_until(lambda: blocked(shelf, approving), "approve behind the worker that marks")
    marking.commit()
    said.result(20)
    work(shelf)
    assert text(shelf, 2) == "article 2 in uno"
    assert holds(shelf) == [(2, "approved")]
