"""Rules that begin, end and change: what they held back is decided again, and nothing else is looked at."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fix_cluster import Connect, Connection
from races.steps import in_background, wait_until
from rules.shelf import audited, marks, open_shelf, rule, sent, stored, text, work
from shop import rows, run, value


@pytest.fixture
def shelf(db: Connection, tiny_model: Path) -> Connection:
    open_shelf(db, tiny_model)
    return db


_CHANGE = {
    "drop": "select vsync.drop_rule('skipping')",
    "disable": "select vsync.disable_rule('skipping')",
    "end": "select vsync.alter_rule('skipping', valid_until => now())",
    "alter": "select vsync.alter_rule('skipping', 'new.vip and new.price > 0')",
}


@pytest.mark.parametrize("change", _CHANGE)
def test_what_a_rule_held_back_is_decided_again_when_it_ends(shelf: Connection, change: str) -> None:
    rule(shelf, "skipping", "new.price > 0", "skip")
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    work(shelf)
    assert text(shelf, 1) == "article 1 in two"
    before = sent(shelf)
    run(shelf, _CHANGE[change])
    work(shelf)
    assert text(shelf, 1) == "changed in two"
    assert sent(shelf) == before + 1
    assert marks(shelf) == []


def test_a_lower_rule_takes_over_what_a_rule_held_back(shelf: Connection) -> None:
    rule(shelf, "a", "new.price > 0", "skip", priority=1)
    rule(shelf, "b", "new.vip", "hold")
    run(shelf, "update shelf.articles set title = 'changed', vip = id = 1 where id < 3")
    work(shelf)
    assert marks(shelf) == [("1", "skip", "a", True), ("2", "skip", "a", True)]
    run(shelf, "select vsync.drop_rule('a')")
    work(shelf)
    assert marks(shelf) == [("1", "hold", "b", True)]
    assert text(shelf, 2) == "changed in one"


def test_a_new_rule_of_higher_priority_lets_go_what_a_lower_one_holds(shelf: Connection) -> None:
    rule(shelf, "z", "new.price > 0", "skip")
    run(shelf, "update shelf.articles set title = 'changed' where id < 3")
    work(shelf)
    rule(shelf, "y", "new.id = 2", "hold", priority=5)
    work(shelf)
    assert marks(shelf) == [("1", "skip", "z", True), ("2", "hold", "y", True)]


def test_a_dependencys_change_is_decided_again_with_its_row(shelf: Connection) -> None:
    rule(shelf, "a", "new.frozen", "skip", '{"relation": "shelf.sections"}', priority=1)
    rule(shelf, "b", "new.name = 'uno'", "hold", '{"relation": "shelf.sections"}')
    run(shelf, "update shelf.sections set frozen = true, name = case id when 1 then 'uno' else 'dos' end")
    work(shelf)
    assert [verdict for _, verdict, _, _ in marks(shelf)] == ["skip"] * 4
    run(shelf, "select vsync.drop_rule('a')")
    work(shelf)
    assert marks(shelf) == [("2", "hold", "b", True), ("4", "hold", "b", True)]
    assert text(shelf, 1) == "article 1 in dos"


def test_two_rules_that_held_one_document_back_both_count(shelf: Connection) -> None:
    rule(shelf, "a", "new.title <> old.title", "skip")
    rule(shelf, "b", "new.price <> old.price", "skip")
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    work(shelf)
    run(shelf, "update shelf.articles set price = 11 where id = 1")
    work(shelf)
    run(shelf, "select vsync.drop_rule('a')")
    work(shelf)
    assert marks(shelf) == [("1", "skip", "b", True)]
    run(shelf, "select vsync.drop_rule('b')")
    work(shelf)
    assert text(shelf, 1) == "changed in two"


def test_changes_of_two_tables_that_two_rules_held_back_both_count(shelf: Connection) -> None:
    run(shelf, "update shelf.articles set section_id = 1 where id = 3")
    rule(shelf, "a", "new.name = 'dos'", "skip", '{"relation": "shelf.sections"}')
    rule(shelf, "b", "new.price <> old.price", "skip")
    run(shelf, "update shelf.sections set name = 'dos' where id = 2")
    work(shelf)
    run(shelf, "update shelf.articles set price = 11 where id = 1")
    work(shelf)
    run(shelf, "select vsync.drop_rule('a')")
    work(shelf)
    assert text(shelf, 1) == "article 1 in dos"
    assert marks(shelf) == []


def test_validity_that_passes_acts_without_a_change(shelf: Connection, connect: Connect) -> None:
    worker = connect()
    working = in_background(lambda: run(worker, "call vsync.work('15 seconds')"))
    create = "select vsync.create_rule('brief', 'found', 'new.price > 0', 'skip', valid_until => %s)"
    run(shelf, create, datetime.now(UTC) + timedelta(seconds=5))
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    wait_until(lambda: marks(shelf) == [("1", "skip", "brief", True)], "the skip", 10)
    until = value(shelf, "select valid_until from vsync.rules")
    wait_until(lambda: text(shelf, 1) == "changed in two", "the end of the rule", 10)
    late = "select extract(epoch from embedded_at - %s)::float8 from vsync_data.found_v1 where id = 1"
    assert 0 <= value(shelf, late, until) < 2
    working.result(30)


def test_what_is_held_back_is_held_in_the_audit_and_not_repaired(shelf: Connection) -> None:
    rule(shelf, "skipping", "new.price > 0", "skip")
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    work(shelf)
    assert audited(shelf) == {"held": 1}
    run(shelf, "select vsync.audit('found', true)")
    work(shelf)
    assert stored(shelf)[1] == "article 1 in two"
    figures = "select pending, held from vsync.stat_embeddings"
    assert rows(shelf, figures) == [(0, 1)]


def test_refresh_overrules_what_rules_of_changes_hold_back(shelf: Connection) -> None:
    rule(shelf, "skipping", "new.price > 0", "skip")
    run(shelf, "update shelf.articles set title = 'changed' where id = 1")
    work(shelf)
    run(shelf, "select vsync.refresh('found', '1')")
    work(shelf)
    assert text(shelf, 1) == "changed in two"
