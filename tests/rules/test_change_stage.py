"""Rules about changes: asked after the fold, of the rows as they were and are."""

from pathlib import Path

import pytest

from fix_cluster import Connection
from rules.shelf import marks, open_shelf, rule, sent, stored, text, work
from rules.stepwise import decide
from shop import run, value


@pytest.fixture
def shelf(db: Connection, tiny_model: Path) -> Connection:
    open_shelf(db, tiny_model)
    return db


def test_skip_leaves_the_old_vectors(shelf: Connection) -> None:
    rule(shelf, "notes", "new.title like old.title || '%'", "skip")
    before = sent(shelf)
    run(shelf, "update shelf.articles set title = title || '!' where id = 1")
    run(shelf, "update shelf.articles set title = 'changed' where id = 2")
    work(shelf)
    assert stored(shelf)[1] == "article 1 in two"
    assert stored(shelf)[2] == "changed in one"
    assert sent(shelf) == before + 1
    assert marks(shelf) == [("1", "skip", "notes", True)]
    run(shelf, "update shelf.articles set title = 'article 1' where id = 1")
    work(shelf)
    assert marks(shelf) == []


def test_defer_waits_and_is_worked_off_when_due(shelf: Connection) -> None:
    rule(shelf, "later", "new.price = old.price", "defer", '{"for": "2 hours"}')
    run(shelf, "update shelf.articles set title = 'later' where id = 1")
    work(shelf)
    assert marks(shelf) == [("1", "defer", "later", False)]
    assert text(shelf, 1) == "article 1 in two"
    run(shelf, "update shelf.articles set title = 'later still' where id = 1")
    work(shelf)
    assert marks(shelf) == [("1", "defer", "later", False)]
    run(shelf, "update vsync_internal.marks set due_at = now(), held_until = now()")
    work(shelf)
    assert text(shelf, 1) == "later still in two"
    assert marks(shelf) == []


def test_what_is_held_back_is_erased_where_it_is_gone(shelf: Connection) -> None:
    rule(shelf, "skipping", "new.price = 10", "skip")
    rule(shelf, "waiting", "new.price = 20", "hold")
    rule(shelf, "deferring", "new.price = 30", "defer", '{"for": "1 day"}')
    run(shelf, "update shelf.articles set title = 'changed', price = 10 * id")
    work(shelf)
    assert [verdict for _, verdict, _, _ in marks(shelf)] == ["skip", "hold", "defer"]
    run(shelf, "delete from shelf.articles where id in (1, 2)")
    run(shelf, "update shelf.articles set published = false where id = 3")
    work(shelf)
    assert set(stored(shelf)) == {4}
    assert marks(shelf) == []


def test_a_dependency_passes_its_verdict_on(shelf: Connection) -> None:
    rule(shelf, "frozen", "new.frozen", "skip", '{"relation": "shelf.sections"}')
    run(shelf, "update shelf.sections set name = 'uno', frozen = true where id = 1")
    run(shelf, "update shelf.sections set name = 'dos' where id = 2")
    work(shelf)
    assert [content for _, content in sorted(stored(shelf).items())] == [
        "article 1 in dos",
        "article 2 in one",
        "article 3 in dos",
        "article 4 in one",
    ]
    assert marks(shelf) == [("2", "skip", "frozen", True), ("4", "skip", "frozen", True)]


def test_the_first_by_priority_then_name_decides(shelf: Connection) -> None:
    rule(shelf, "b", "true = (new.price = old.price)", "skip")
    rule(shelf, "a", "new.vip", "refresh", priority=1)
    rule(shelf, "aa", "new.note = 'wait'", "hold")
    run(shelf, "update shelf.articles set title = 'changed', vip = id = 1, note = case when id = 2 then 'wait' end")
    work(shelf)
    assert text(shelf, 1) == "changed in two"
    assert marks(shelf) == [("2", "hold", "aa", True), ("3", "skip", "b", True), ("4", "skip", "b", True)]


def test_priority_orders_what_is_claimed(shelf: Connection) -> None:
    rule(shelf, "dear", "new.price > 0", "prioritize", '{"expression": "new.price"}')
    run(shelf, "update shelf.articles set title = 'x', price = id where id <> 2")
    run(shelf, "update shelf.articles set title = 'x', price = 100 where id = 2")
    run(shelf, "select vsync_internal.fold()")
    decide(shelf)
    assert value(shelf, "select keys from vsync_internal.claim(1, 2)") == ["2", "4"]
