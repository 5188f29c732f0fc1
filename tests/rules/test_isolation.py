"""A rule that fails, is slow or writes is set apart: the others are asked, and the worker goes on."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shop import Connection, add, declare, open_shop, refused, rows, run, value
from vsync_engine.foundation.host import HostError, OverrunError, PsycopgHost, Row, Statement
from vsync_engine.rules import evaluate
from vsync_engine.rules.evaluate import Answer, Case
from vsync_engine.rules.model import Match

Connect = Callable[..., Connection]

_DOCUMENT = "select id, title as content, price from shop.products"
_SLEEP = 60  # seconds that a slow rule would take


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model)
    db.execute("alter table shop.products add price int")
    declare(db, document=_DOCUMENT)
    work(db)
    run(
        db,
        "create table shop.trace (x int); "
        "create function shop.write() returns boolean volatile language plpgsql as "
        "$$ begin insert into shop.trace values (1); return true; end $$; "
        "create function shop.writes(int) returns boolean immutable language plpgsql as "
        "$$ begin return shop.write(); end $$; "
        "create function shop.sleeps(int) returns boolean immutable language plpgsql as "
        f"$$ begin if $1 = 3 then perform pg_sleep({_SLEEP}); end if; return true; end $$; "
        "create function shop.loops(int) returns boolean immutable language plpgsql as "
        "$$ begin loop end loop; end $$",
    )
    return db


def work(db: Connection) -> None:
    db.execute("call vsync.work()")


def create(db: Connection, name: str, condition: str, action: str = "skip", params: str = "{}", **more: Any) -> None:
    named = "".join(f", {option} => %s" for option in more)
    call = f"select vsync.create_rule(%s, 'catalog', %s, %s, %s{named})"
    run(db, call, name, condition, action, params, *more.values())


class Counting(PsycopgHost):
    """A host that counts how often rules are asked."""

    attempts = 0

    def attempt(self, seconds: float, statement: Statement, *arguments: object) -> list[Row]:
        """Count, and run the statement."""
        self.attempts += 1
        return super().attempt(seconds, statement, *arguments)


def ask(connect: Connect, prices: list[int], seconds: float = 0.5) -> Answer:
    """Ask the rules of the change of rows that had 0 and have these prices."""
    return ask_through(Counting(connect(autocommit=False)), prices, seconds)


def ask_through(host: PsycopgHost, prices: list[int], seconds: float) -> Answer:
    """Ask through this host."""
    rules = [rule for rule in evaluate.load(host, 1) if rule.stage == "change"]
    images = [f'{{"old": {{"price": 0}}, "new": {{"id": {price}, "price": {price}}}}}' for price in prices]
    answer = evaluate.ask(host, 1, rules, [Case(image=image) for image in images], seconds)
    host.commit()
    return answer


def names(answer: Answer) -> list[list[str]]:
    return [sorted(match.rule.name for match in matches) for matches in answer.matches]


def test_a_row_that_fails_is_found_and_the_rule_holds_for_the_others(shop: Connection, connect: Connect) -> None:
    create(shop, "ratio", "100 / (new.price - 3) < 1000")
    create(shop, "dear", "new.price > 2")
    answer = ask(connect, [1, 2, 3, 4, 5])
    assert names(answer) == [["ratio"], ["ratio"], ["dear"], ["dear", "ratio"], ["dear", "ratio"]]
    tally = next(tally for tally in answer.tallies.values() if tally.failed)
    assert (tally.asked, tally.matched, tally.failed, tally.error) == (5, 4, 1, "division by zero")
    assert tally.broken is None


def test_what_cannot_be_asked_holds_where_the_rule_says_so(shop: Connection, connect: Connect) -> None:
    create(shop, "ratio", "100 / (new.price - 3) > 1000", "skip", '{"on_error": "hold"}')
    answer = ask(connect, [2, 3])
    assert answer.matches[0] == []
    assert [(match.failed, match.action) for match in answer.matches[1]] == [(True, "hold")]


def test_a_rule_that_writes_fails(shop: Connection, connect: Connect) -> None:
    create(shop, "writes", "shop.writes(new.price)")
    create(shop, "dear", "new.price > 2")
    answer = ask(connect, [1, 5])
    assert names(answer) == [[], ["dear"]]
    assert "read-only transaction" in str([tally.error for tally in answer.tallies.values()])
    assert value(shop, "select count(*) from shop.trace") == 0


def test_a_slow_row_is_cut_off_and_the_rest_is_answered(shop: Connection, connect: Connect) -> None:
    create(shop, "sleeps", "shop.sleeps(new.price)")
    create(shop, "dear", "new.price > 2")
    started = time.monotonic()
    answer = ask(connect, [1, 2, 3, 4])
    assert names(answer) == [["sleeps"], ["sleeps"], ["dear"], ["dear", "sleeps"]]
    assert time.monotonic() - started < _SLEEP


def test_a_rule_that_is_slow_for_every_row_costs_no_more_than_its_patience(shop: Connection, connect: Connect) -> None:
    create(shop, "loops", "shop.loops(new.price)")
    host = Counting(connect(autocommit=False))
    answer = ask_through(host, list(range(1, 201)), seconds=0.1)
    assert host.attempts < 100  # of 399 that the search for each row would take
    tally = next(iter(answer.tallies.values()))
    assert (tally.failed, tally.matched) == (200, 0)


def test_a_broken_rule_is_told_from_one_that_fails(shop: Connection, connect: Connect) -> None:
    create(shop, "column", "new.hidden = 'x' or new.price > 0")
    create(shop, "dear", "new.price > 2")
    shop.execute("alter table shop.products drop column hidden")
    answer = ask(connect, [1, 5])
    assert names(answer) == [[], ["dear"]]
    assert [tally.broken for tally in answer.tallies.values() if tally.broken] == ["column new.hidden does not exist"]


def test_the_worker_reports_a_broken_rule_and_goes_on_with_the_others(shop: Connection) -> None:
    create(shop, "column", "new.hidden = 'x' or new.price > 0")
    create(shop, "dear", "new.price > 2")
    work(shop)
    shop.execute("alter table shop.products drop column hidden")
    shop.execute("update shop.products set title = 'x', price = id + 1")
    work(shop)
    assert rows(shop, "select id from shop.catalog where content = 'x'") == [(1,)]
    assert rows(shop, "select name, in_force, broken from vsync.rules order by 1") == [
        ("column", False, "column new.hidden does not exist"),
        ("dear", True, None),
    ]
    found = "select level, detail from vsync.doctor() where name = 'rules'"
    level, detail = rows(shop, found)[0]
    assert level == "error"
    assert "hidden" in detail
    refused(lambda: run(shop, "select vsync.enable_rule('column')"), "VS602")
    run(shop, "select vsync.alter_rule('column', condition => 'new.price > 100')")
    assert rows(shop, f"{found} and level <> 'ok'") == []


@pytest.mark.parametrize("condition", ["shop.sleeps(new.price)", "shop.loops(new.price)", "shop.writes(new.price)"])
@pytest.mark.parametrize("document", [False, True], ids=["change", "document"])
def test_a_worker_in_the_server_is_not_stopped_by_a_rule(shop: Connection, condition: str, document: bool) -> None:
    shop.execute("select vsync.configure('rule_timeout_ms', '100')")
    create(shop, "bad", condition.replace("new", "doc") if document else condition)
    create(shop, "cheap", "doc.price < 2" if document else "new.price < 2")
    started = time.monotonic()
    shop.execute("update shop.products set title = 'x', price = id + 1 where id <> 3")
    shop.execute("update shop.products set title = 'x', price = 1 where id = 3")
    work(shop)
    assert time.monotonic() - started < _SLEEP
    assert value(shop, "show statement_timeout") != "100ms"
    bad = "select failed > 0, last_error is not null from vsync.stat_rules where name = 'bad'"
    assert rows(shop, bad) == [(True, True)]
    assert value(shop, "select verdict from vsync_internal.marks where key = '3'") == "skip"
    assert value(shop, "select level from vsync.doctor() where name = 'rules'") == "warning"
    # the session goes on: no cancel is left over
    for _ in range(20):
        assert value(shop, "select 1") == 1


def test_a_user_who_cancels_stops_the_worker_and_not_the_rule(shop: Connection, connect: Connect) -> None:
    shop.execute("select vsync.configure('rule_timeout_ms', '60000')")
    create(shop, "sleeps", "shop.sleeps(doc.price)")
    work(shop)
    shop.execute("update shop.products set title = 'x', price = 3 where id = 1")
    worker = connect()
    pid = worker.info.backend_pid
    other = connect()

    def cancel() -> None:
        asleep = "select count(*) from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
        for _ in range(1200):
            if value(other, asleep, pid):
                other.execute("select pg_cancel_backend(%s)", (pid,))
                return
            time.sleep(0.05)

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        work(worker)
    thread.join()
    assert value(shop, "select failed from vsync.stat_rules where name = 'sleeps'") == 0
    assert value(shop, "select count(*) from vsync_internal.leases") == 0


_ALARM = """
import time
from vsync_engine.foundation.host import HostError, OverrunError, PlpyHost, Statement
host = PlpyHost()
answers = []
for seconds in (0.001, 0.002, 0.005, 0.01, 0.02):
    for lasts in (0.0, seconds * 0.98, seconds, seconds * 1.02, seconds * 5):
        for _ in range(4):
            try:
                host.attempt(seconds, Statement("select pg_catalog.pg_sleep($1)", ("float8",)), lasts)
                answers.append("done")
            except OverrunError:
                answers.append("late")
            plpy.execute("select 1")
            time.sleep(0.001)
            plpy.execute("select 1")
return answers
"""


def test_a_limit_strikes_inside_its_statement_or_not_at_all(db: Connection) -> None:
    db.execute(f"create function alarm() returns text[] language plpython3u as $py${_ALARM}$py$".encode())
    for _ in range(3):
        answers = value(db, "select alarm()")
        assert set(answers) == {"done", "late"}
        assert value(db, "select 1") == 1


def test_the_limit_outside_the_server_leaves_the_transaction_as_it_was(db: Connection, connect: Connect) -> None:
    del db
    session = connect(autocommit=False)
    host = PsycopgHost(session)
    session.execute("create temporary table kept as select 1 as x")
    with pytest.raises(OverrunError):
        host.attempt(0.1, Statement("select pg_catalog.pg_sleep(10)"))
    with pytest.raises(HostError):
        host.attempt(0.1, Statement("select 1 / 0"))
    assert host.attempt(0.1, Statement("select x from kept")) == [{"x": 1}]
    assert value(session, "show statement_timeout") == "2min"


def test_rules_are_matched_by_place(shop: Connection, connect: Connect) -> None:
    add(shop, 10, 12)
    create(shop, "p", "new.price > 2", "prioritize", '{"expression": "new.price * 1.5"}')
    create(shop, "q", "new.price > 0", "prioritize", '{"expression": "nullif(new.price, 3)"}')
    answer = ask(connect, [2, 3, 4])
    numbers = [{match.rule.name: match.number for match in matches} for matches in answer.matches]
    assert numbers == [{"q": 2.0}, {"p": 4.5}, {"p": 6.0, "q": 4.0}]
    assert isinstance(answer.matches[0][0], Match)
