"""Changes of one document meet in its mark, in any order, beside a claim and while rules change."""

import itertools
from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connect, Connection
from races.steps import Claimed, Rendered, claim, fold, lose_lease, publish, release, render
from rules.shelf import marks, open_shelf, rule, text, work
from rules.stepwise import decide
from shop import run, value
from vsync_engine.foundation.host import PsycopgHost
from vsync_engine.rules import change_stage

_STRENGTH = {"hold": 4, None: 3, "defer": 2, "skip": 1}


@pytest.fixture
def shelf(db: Connection, tiny_model: Path) -> Connection:
    """A shelf whose notes say what rules decide."""
    open_shelf(db, tiny_model, index='{"type": "none"}')
    for action, params in (("skip", "{}"), ("hold", "{}"), ("defer", '{"for": "1 hour"}')):
        rule(db, f"by_{action}", f"new.note = '{action}'", action, params)
    work(db)
    return db


def change(db: Connection, note: str | None, title: str) -> None:
    run(db, "update shelf.articles set title = %s, note = %s where id = 1", title, note)


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(_STRENGTH, 2)))
def test_the_stronger_verdict_stands_whatever_comes_first(
    shelf: Connection, first: str | None, second: str | None
) -> None:
    change(shelf, first, "changed")
    fold(shelf)
    decide(shelf)
    change(shelf, second, "changed again")
    fold(shelf)
    decide(shelf)
    stronger = max(first, second, key=lambda verdict: _STRENGTH[verdict])
    assert value(shelf, "select verdict from vsync_internal.marks") == stronger
    work(shelf)
    assert (text(shelf, 1) == "changed again in two") == (stronger is None)


def claimed_plain(db: Connection, title: str) -> tuple[Claimed, list[Rendered]]:
    change(db, None, title)
    fold(db)
    decide(db)
    taken = claim(db)
    return taken, render(db, taken)


def test_a_skip_that_comes_during_a_claim_stands_alone(shelf: Connection, connect: Connect) -> None:
    slow = connect()
    taken, documents = claimed_plain(slow, "first")
    change(shelf, "skip", "second")
    fold(shelf)
    decide(shelf)
    publish(slow, taken, documents)
    release(slow, taken)
    work(shelf)
    assert text(shelf, 1) == "first in two"
    assert marks(shelf) == [("1", "skip", "by_skip", True)]


def test_a_skip_that_came_during_a_claim_that_was_lost_skips_nothing(shelf: Connection, connect: Connect) -> None:
    slow = connect()
    taken, _ = claimed_plain(slow, "first")
    change(shelf, "skip", "second")
    fold(shelf)
    decide(shelf)
    lose_lease(shelf, taken)
    work(shelf)
    assert text(shelf, 1) == "second in two"


def test_a_look_at_what_is_held_does_not_let_a_newer_change_of_it_through(shelf: Connection, connect: Connect) -> None:
    looker = connect()
    change(shelf, "hold", "first")
    fold(shelf)
    decide(shelf)
    taken = claim(looker)
    change(shelf, None, "second")
    fold(shelf)
    decide(shelf)
    assert render(looker, taken) == []
    release(looker, taken)
    work(shelf)
    assert text(shelf, 1) == "article 1 in two"
    assert marks(shelf) == [("1", "hold", "by_hold", True)]


def test_a_rule_waits_for_those_who_asked_it_as_it_was(shelf: Connection, connect: Connect) -> None:
    change(shelf, "skip", "changed")
    fold(shelf)
    with psycopg.connect(shelf.info.dsn) as decider:
        assert change_stage.decide(PsycopgHost(decider), 1, 1000, []) == 1
        run(shelf, "select vsync.drop_rule('by_skip')")
        for _ in range(4):
            run(shelf, "select vsync_internal.attend_rules()")
        assert value(shelf, "select count(*) from vsync_internal.rule_turns") > 0
        decider.commit()
    work(shelf)
    assert text(shelf, 1) == "changed in two"
    assert marks(shelf) == []


@pytest.mark.parametrize("first", ["hold", None])
def test_a_plain_change_below_a_hold_comes_to_light_when_that_ends(shelf: Connection, first: str | None) -> None:
    for note in (first, None if first else "hold"):
        change(shelf, note, f"changed {note}")
        fold(shelf)
        decide(shelf)
    rule(shelf, "none_else", "new.note = 'hold'", "skip", priority=1)
    run(shelf, "select vsync.drop_rule('by_hold')")
    work(shelf)
    assert text(shelf, 1) == f"changed {None if first else 'hold'} in two"
    assert marks(shelf) == []


def test_a_change_of_a_dependency_is_decided_again_before_it_is_followed(shelf: Connection) -> None:
    rule(shelf, "sections", "new.name = 'uno'", "hold", '{"relation": "shelf.sections"}')
    work(shelf)
    run(shelf, "update shelf.sections set name = 'uno' where id = 1")
    fold(shelf)
    assert decide(shelf) == 1
    run(shelf, "select vsync.drop_rule('sections')")
    while value(shelf, "select vsync_internal.attend_rules()"):
        pass
    assert value(shelf, "select count(*) from vsync_internal.rule_turns") == 0
    work(shelf)
    assert text(shelf, 2) == "article 2 in uno"
    assert marks(shelf) == []


def test_two_refreshes_at_once_are_both_remembered(shelf: Connection) -> None:
    tokens = "select array_agg(token order by id) from vsync_data.found_v1"
    for number in (1, 2):
        rule(shelf, f"refresh_{number}", f"doc.id = {number}", "refresh", '{"force": true}')
    before = value(shelf, tokens)
    work(shelf)
    assert [a != b for a, b in zip(before, value(shelf, tokens), strict=True)] == [True, True, False, False]


def test_two_workers_decide_on_different_pages(shelf: Connection, connect: Connect) -> None:
    first = connect(autocommit=False)
    change(shelf, "skip", "changed")
    fold(shelf)
    assert value(first, "select keys from vsync_internal.undecided(1000)") == ["1"]
    assert decide(shelf) == 0
    run(shelf, "update shelf.articles set note = 'hold', title = 'x' where id = 2")
    fold(shelf)
    assert decide(shelf) == 1
    first.rollback()
    assert decide(shelf) == 1
    assert [verdict for _, verdict, _, _ in marks(shelf)] == ["skip", "hold"]
