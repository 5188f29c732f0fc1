"""What a rule may say: hundreds of hostile texts, each refused or harmless, none of them more than its owner may do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rules import hostile
from shop import Connection, declare, open_shop, rows, run, value
from spies import plant_spy, spied

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

STOLEN = Path("/tmp/vsync-stolen")
_CANARIES = """
select (select array_agg(c.what order by c.what) from shop.canary as c)::text,
    (select c.last_value || ' ' || c.is_called from shop.canary_seq as c),
    (select count(*) from pg_largeobject_metadata where lomowner = 10),
    (select count(*) from pg_roles where rolname like 'stolen%'),
    (select count(*) from pg_class where relnamespace = 'shop'::regnamespace),
    (select array_agg(r.name::text || r.revision || r.condition) from vsync.rules as r where r.name = 'watchman')::text,
    (select array_agg(n.nspacl::text) from pg_namespace as n)::text,
    (select relacl::text from pg_class where oid = 'forbidden.secrets'::regclass),
    (select count(*) from pg_replication_slots),
    (select count(*) from vsync.embeddings),
    (select count(*) from vsync.models),
    (select count(*) from vsync_data.catalog_v1)
"""
_SESSION = """
select session_user, current_user, current_setting('search_path'), current_setting('role'),
    current_setting('row_security'), current_setting('session_replication_role'),
    current_setting('default_transaction_read_only'), current_setting('statement_timeout'),
    (select count(*) from pg_listening_channels()),
    (select count(*) from pg_locks where pid = pg_backend_pid() and mode = 'AccessExclusiveLock')
"""
_UP_TO_DATE = """
select count(*) from vsync_data.catalog_v1 as v join shop.products as p using (id) where v.content = p.title
"""


@pytest.fixture
def owner(db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path) -> Connection:
    """A session of the owner of embedding "catalog", who is no superuser and may not read forbidden.secrets."""
    role = make_role("vsync_admin")
    open_shop(db, tiny_model, owner=role)
    db.execute(
        "create schema forbidden create table secrets (id int, secret text); create type forbidden.kind as (x int)"
    )
    db.execute("insert into forbidden.secrets values (1, 'x')")
    STOLEN.unlink(missing_ok=True)
    session = connect(user=role)
    run(session, "create table shop.canary (what text); create sequence shop.canary_seq")
    run(session, "insert into shop.canary values ('alive')")
    run(
        session,
        "create function shop.volatile_write() returns boolean volatile language plpgsql as $$ begin "
        "insert into shop.canary values ('volatile'); return true; end $$",
    )
    declare(session, document="select id, title as content, tenant from shop.products")
    session.execute("select vsync.create_rule('watchman', 'catalog', 'new.id < 0', 'skip')")
    db.execute("call vsync.work()")
    return session


def states(db: Connection) -> tuple[list[Any], list[Any]]:
    return rows(db, _CANARIES), rows(db, _SESSION)


def attempt(owner: Connection, condition: str, action: str = "skip", params: str = "{}", name: str = "hostile") -> bool:
    """Whether the rule was taken."""
    try:
        owner.execute("select vsync.create_rule(%s, 'catalog', %s, %s, %s)", (name, condition, action, params))
    except psycopg.Error as error:
        return error.sqlstate == "XX000"  # the server fell over: no refusal
    return True


def work(db: Connection) -> None:
    """Change documents and work them off: every rule in force is asked."""
    db.execute("update shop.products set title = title || '.', tenant = 'b'")
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from vsync.failures") == 0


def drop(owner: Connection, name: str = "hostile") -> None:
    owner.execute("select vsync.drop_rule(%s)", (name,))


def test_the_battery_is_large() -> None:
    lists = (hostile.TEXTS, hostile.CALLED, hostile.HARMLESS, hostile.NAMES, hostile.PARAMS, hostile.SUBQUERIES)
    assert sum(len({*cases}) for cases in lists) + 2 * len(hostile.LIARS) >= 300


@pytest.mark.parametrize("texts", [hostile.TEXTS, hostile.CALLED], ids=["texts", "calls"])
def test_refused(db: Connection, owner: Connection, texts: tuple[str, ...]) -> None:
    before = states(db)
    taken = [text[:120] for text in texts if attempt(owner, text)]
    assert taken == []
    work(db)
    assert states(db) == before
    assert not STOLEN.exists()


def test_harmless(db: Connection, owner: Connection) -> None:
    before = states(db)
    for text in hostile.HARMLESS:
        assert attempt(owner, text), text
        work(db)
        assert states(db) == before, text
        drop(owner)
    assert value(db, "select count(*) from vsync_data.catalog_v1 where content like '%..%'") == 3


def test_liars_are_isolated(db: Connection, owner: Connection) -> None:
    """Functions that are declared immutable and are not: asked with their owner's rights, read only, for a second."""
    db.execute("select vsync.configure('rule_timeout_ms', '200')")
    run(owner, "create function shop.liar_stack() returns boolean language sql immutable as 'select true'")
    before: tuple[list[Any], list[Any]] | None = None
    for name, body in hostile.LIARS.items():
        run(
            owner,
            "create or replace function shop.liar(int) returns boolean immutable language plpgsql as "
            f"$liar$ begin {body}; return true; end $liar$",
        )
        run(
            owner,
            "create or replace function shop.liar_stack() returns boolean language plpgsql immutable as "
            "$$ begin return shop.liar_stack(); end $$",
        )
        before = before or states(db)
        for condition in ("shop.liar(new.id)", "shop.liar(doc.id)"):
            assert attempt(owner, condition), name
            work(db)
            assert states(db) == before, name
            drop(owner)
    assert not STOLEN.exists()
    assert value(db, _UP_TO_DATE) == 3


def test_names(db: Connection, owner: Connection) -> None:
    before = states(db)
    for name in hostile.NAMES:
        if attempt(owner, "new.id = 1", name=name):
            assert value(db, "select count(*) from vsync.rules where name = %s", name) == 1
            work(db)
            drop(owner, name)
    assert states(db) == before


def test_params(db: Connection, owner: Connection) -> None:
    before = states(db)
    taken = [case for case in hostile.PARAMS if attempt(owner, "new.id = 1", *case)]
    assert taken == []
    work(db)
    assert states(db) == before


def test_subqueries(db: Connection, owner: Connection) -> None:
    before = states(db)
    taken = [text for text in hostile.SUBQUERIES if attempt(owner, text, params='{"subqueries": true}')]
    assert taken == []
    assert attempt(
        owner, "exists (select from shop.canary as c where c.what = new.title)", params='{"subqueries": true}'
    )
    work(db)
    assert states(db) == before


def test_what_stands_in_the_way_of_names(db: Connection, owner: Connection) -> None:
    """Functions, operators, tables and types in public and pg_temp, named like those that a rule means."""
    role = value(owner, "select current_user::text")
    db.execute("grant create on schema public to public")
    run(db, "create table public.trace (who text); grant all on public.trace to public")
    spy = "insert into public.trace values (current_user)"
    for session in (owner, db):
        for schema in ("public", "pg_temp"):
            for signature in ("lower(text) returns text", "abs(int) returns int", "now() returns timestamptz"):
                run(session, f"drop function if exists {schema}.{signature.partition(' returns')[0]}")
                answer = "null" if "lower" not in signature else "'x'"
                run(
                    session,
                    f"create function {schema}.{signature} language plpgsql as $$ begin {spy}; return {answer}; end $$",
                )
    run(owner, "create function public.same(text, text) returns boolean language sql as 'select true'")
    run(owner, "create operator public.= (leftarg = text, rightarg = text, function = public.same)")
    for session in (owner, db):
        for relation in ("new", "old", "doc", "last", "change", "pg_class"):
            run(session, f"create temp table {relation} (id int, title text, content text)")
    db.execute("set search_path = public, pg_temp, pg_catalog")
    owner.execute("set search_path = public, pg_temp, pg_catalog")
    assert attempt(owner, "lower(new.title) = 'no such' or abs(new.id) < 0 or now() is null")
    assert not attempt(owner, "same(new.title, 'x')", name="same")
    db.execute("update shop.products set title = 'plain' where id = 1")
    db.execute("call vsync.work()")
    assert rows(db, "select content from vsync_data.catalog_v1 where id = 1") == [("plain",)]
    assert value(db, "select count(*) from public.trace") == 0
    assert role


def test_another_role_may_not(db: Connection, owner: Connection, connect: Connect, make_role: MakeRole) -> None:
    other = connect(user=make_role("vsync_admin"))
    before = states(db)
    for call in (
        "select vsync.create_rule('mine', 'catalog', 'true', 'skip')",
        "select vsync.alter_rule('watchman', 'true')",
        "select vsync.drop_rule('watchman')",
        "select vsync.enable_rule('watchman')",
        "select vsync.disable_rule('watchman')",
        "select * from vsync.preview_rule('catalog', 'true', 'skip')",
        "update vsync_internal.rules set condition = 'true'",
        "select * from vsync_data.catalog_v1_judge('select 1', '[]', 'x')",
    ):
        with pytest.raises(psycopg.Error) as caught:
            run(other, call)
        assert caught.value.sqlstate in ("VS002", "42501"), call
    assert states(db) == before


def test_facts_about_nobody(db: Connection) -> None:
    """The analysis itself takes what it is given without falling over."""
    for text in (*hostile.TEXTS, *hostile.HARMLESS):
        facts = {
            "condition": text,
            "action": "skip",
            "params": {},
            "root": {"schema": "s", "name": "t", "columns": []},
            "relation": None,
            "document": {"columns": []},
        }
        answer = value(db, "select vsync_internal.analyse_rule(%s)", json.dumps(facts))
        assert set(answer) in ({"rule"}, {"error"})


def test_literals_that_run_code_when_they_are_read(db: Connection, owner: Connection) -> None:
    """The input of a domain checks its constraint, where a statement is merely parsed."""
    role = value(owner, "select current_user::text")
    plant_spy(owner, role, "vsync_sandbox", "postgres")
    run(owner, "alter function shop.spy(text) immutable")
    run(owner, "create domain shop.spied as text check (shop.spy(value)); create type shop.pair as (a shop.spied)")
    for number, condition in enumerate(
        (
            "'{x}'::shop.spied[] is null",
            "'(x)'::shop.pair is null",
            "new.title = any ('{x}'::shop.spied[])",
            "'x'::shop.spied = doc.content",
        )
    ):
        assert attempt(owner, condition, name=f"spy_{number}")
    db.execute("select vsync.alter_rule('spy_0', priority => 3)")
    db.execute("select vsync.disable_rule('spy_1')")
    db.execute("select vsync.enable_rule('spy_1')")
    db.execute("select * from vsync.preview_rule('catalog', %s, 'skip')", ("'{x}'::shop.spied[] is null",))
    owner.execute("select vsync.add_version('catalog')")
    work(db)
    db.execute("select * from vsync.explain_row('catalog', '1')")
    db.execute("select * from vsync.doctor()")
    assert spied(db) == {role}


def test_strings_are_standard_whatever_the_session_says(db: Connection, owner: Connection) -> None:
    """A backslash that ends no string where the text was cut must not end one where it is run."""
    for session in (db, owner):
        session.execute("set standard_conforming_strings = off")
        session.execute("set escape_string_warning = off")
    backslash = chr(92)
    assert attempt(owner, f"new.title = '{backslash}' or new.title = ' or true --'")
    assert attempt(owner, f"doc.content = '{backslash}' or doc.content = ' or true --'", "exclude", name="hides")
    db.execute("update shop.products set title = title || '!'")
    db.execute("call vsync.work()")
    assert value(db, _UP_TO_DATE) == 3
    assert value(db, "select count(*) from shop.catalog") == 3
