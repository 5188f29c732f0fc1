"""Code of one embedding's owner that says stop, or never ends: the worker's other embeddings go on."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shop import Connection, open_shop, rows, run, value

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

STATES = ("57014", "57P01", "57P03", "25006", "25P03", "53300")
ENDLESS = "loop perform pg_sleep(0.01); end loop"
CATCHING = f"loop begin {ENDLESS}; exception when query_canceled then null; end; end loop"


@pytest.fixture
def noisy(db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path) -> Connection:
    """A session of the owner of shop.noise; `calm` belongs to somebody else and waits for the same worker."""
    owner = make_role("vsync_admin")
    open_shop(db, tiny_model, owner=owner)
    run(db, "create table quiet (id int primary key, body text)")
    run(db, "select vsync.create_embedding('calm', 'select id, body as content from quiet', 'tiny')")
    run(db, "select vsync.configure('retry_seconds', '0')")
    session = connect(user=owner)
    run(session, "create table shop.moods (id int primary key, mood text)")
    run(session, "create table shop.noise (id int primary key, body text, mood int default 1)")
    run(session, "insert into shop.moods values (1, 'glad')")
    run(session, "insert into shop.noise select i, 'text ' || i from generate_series(1, 5) i")
    speak(session, "null")
    return session


def speak(noisy: Connection, what: str) -> None:
    """Have shop.heard(text) do something for a text with `loud` in it."""
    run(
        noisy,
        "create or replace function shop.heard(t text) returns text language plpgsql immutable as "
        f"$f$ begin if t like '%loud%' then {what}; end if; return t; end $f$",
    )


def declare(noisy: Connection, document: str) -> None:
    run(noisy, f"select vsync.create_embedding('noisy', $q${document}$q$, 'tiny')")


def work(connect: Connect) -> str:
    """Be a worker once, in a session of its own, and return the SQLSTATE it ended with."""
    with connect() as session:
        try:
            run(session, "call vsync.work()")
        except psycopg.Error as error:
            return error.sqlstate or "gone"
    return ""


def calm(db: Connection) -> list[tuple[str]]:
    return rows(db, "select content from calm order by id")


@pytest.mark.parametrize("state", STATES)
def test_a_document_that_raises_what_stops_a_session_fails_alone(
    db: Connection, connect: Connect, noisy: Connection, state: str
) -> None:
    declare(noisy, "select id, shop.heard(body) as content from shop.noise")
    assert work(connect) == ""
    speak(noisy, f"raise exception using errcode = '{state}', message = 'stop'")
    run(noisy, "update shop.noise set body = case id when 3 then 'loud' else body || '!' end")
    run(db, "insert into quiet values (1, 'x')")
    assert work(connect) == ""
    assert calm(db) == [("x",)]
    assert value(db, "select count(*) from shop.noisy where content like '%!'") == 4
    assert rows(db, "select key, sqlstate, message, detail from vsync.failures") == [
        ({"id": 3}, "38000", "stop", f"Code of the embedding's owner raised it as {state}.")
    ]


@pytest.mark.parametrize("state", STATES)
def test_a_rule_that_raises_what_stops_a_session_is_one_that_fails(
    db: Connection, connect: Connect, noisy: Connection, state: str
) -> None:
    declare(noisy, "select id, body as content from shop.noise")
    run(noisy, "select vsync.create_rule('loud', 'noisy', 'shop.heard(new.body) is null', 'skip')")
    run(noisy, "select vsync.create_rule('hidden', 'noisy', 'shop.heard(new.body) is null', 'exclude')")
    assert work(connect) == ""
    speak(noisy, f"raise exception using errcode = '{state}', message = 'stop'")
    run(noisy, "update shop.noise set body = case id when 3 then 'loud' else body || '!' end")
    run(db, "insert into quiet values (1, 'x')")
    assert work(connect) == ""
    assert calm(db) == [("x",)]
    if state == "57014":  # who reads what its owner makes fail so is told whose doing it is
        with pytest.raises(psycopg.errors.ExternalRoutineException):
            run(db, "select count(*) from shop.noisy")
    else:
        assert value(db, "select count(*) from shop.noisy") == 5


RENDER = "select id, shop.heard(body) as content from shop.noise"
KEYS = "select id, body as content from shop.noise where shop.heard(body) is not null"
DEPENDENCY = (
    "select n.id, n.body || m.mood as content from shop.noise n join shop.moods m on m.id = n.mood "
    "where shop.heard(m.mood) is not null"
)


@pytest.mark.parametrize(
    ("document", "endless"),
    [(RENDER, ENDLESS), (RENDER, CATCHING), (KEYS, ENDLESS), (DEPENDENCY, ENDLESS)],
    ids=["render", "render_catching_the_cancel", "keys", "dependency"],
)
def test_reading_documents_takes_no_longer_than_it_may(
    db: Connection, connect: Connect, noisy: Connection, document: str, endless: str
) -> None:
    declare(noisy, document)
    assert work(connect) == ""
    run(db, "select vsync.configure('document_timeout_ms', '300')")
    run(db, "select vsync.configure('max_attempts', '2')")
    run(noisy, "update shop.noise set body = case id when 3 then 'loud' else body || '!' end")
    run(noisy, "update shop.moods set mood = 'loud'")
    run(noisy, "select vsync.refresh('noisy')")
    speak(noisy, endless)
    for i in range(1, 4):  # a session that does not stop at the cancel is ended
        run(db, f"insert into quiet values ({i}, 'x')")
        while (ended := work(connect)) != "":
            assert (ended, "catching" if endless == CATCHING else "") == ("57P01", "catching")
        assert len(calm(db)) == i
    assert value(db, "select last_error from vsync.stat_embeddings where embedding = 'noisy'")
    assert value(db, "select count(*) from shop.noisy") == 5
    speak(noisy, "null")
    run(db, "select vsync.retry('noisy')")
    assert work(connect) == ""
    assert value(db, "select sum(missing + extra + stale) from vsync.audit('noisy')") == 0
