"""A document is rendered once when it is declared: what a worker would not find is told then, and what it reads."""

from pathlib import Path

import psycopg
import pytest
from psycopg.errors import Diagnostic

from fix_cluster import Connection

TABLES = """
create schema util; create extension unaccent schema util;
create table a (id int primary key, t text); insert into a values (1, 'Ete');
create function slug(t text) returns text language plpgsql immutable as $$ begin return lower(unaccent(t)); end $$;
create function slug_sql(t text) returns text language sql immutable as $$ select lower(unaccent('unaccent', t)) $$;
create table film (id int primary key, title text);
create table fa (film_id int, name text, primary key (film_id, name));
create table few (id int primary key, film_id int, name text);
create table many (id int primary key, film_id int, name text);
insert into few select i, i, 'x' from generate_series(1, 3) i;
insert into film select i, 'F' || i from generate_series(1, 3000) i;
insert into fa select i, 'n' || k from generate_series(1, 3000) i, generate_series(1, 4) k;
insert into many select i, i, repeat('x', 50) from generate_series(1, 5000) i;
analyze
"""


@pytest.fixture
def told(db: Connection, tiny_model: Path) -> list[str]:
    """The notices of creations, with the tables there."""
    db.execute("select vsync.register_model('tiny', %s)", [f"file://{tiny_model}"])
    db.execute("set search_path = public, util; set check_function_bodies = off")
    db.execute(TABLES)
    messages: list[str] = []

    def hear(report: Diagnostic) -> None:
        messages.append(f"{report.severity}: {report.message_primary}")

    db.add_notice_handler(hear)
    return messages


def create(db: Connection, name: str, document: str) -> None:
    db.execute("select vsync.create_embedding(%s, %s, 'tiny', index => '{\"type\": \"none\"}')", [name, document])


@pytest.mark.parametrize("called", [False, True], ids=["new", "called_before"])
@pytest.mark.parametrize("function", ["slug", "slug_sql"])
def test_a_function_that_relies_on_search_path_is_found_at_creation(
    db: Connection, told: list[str], function: str, called: bool
) -> None:
    if called:  # PL/pgSQL then names it as it was when it was compiled
        db.execute(f"select {function}(t) from a".encode())
    document = f"select id, {function}(t) as content from a"
    with pytest.raises(psycopg.Error) as caught:
        create(db, "pathless", document)
    assert caught.value.sqlstate == "VS201"
    assert "unaccent" in (caught.value.diag.message_detail or "")
    hint = caught.value.diag.message_hint or ""
    assert hint == f"alter function public.{function}(text) set search_path = public, util"
    db.execute(hint.encode())
    create(db, "pathless", document)
    db.execute("call vsync.work()")
    assert db.execute("select content from pathless").fetchall() == [("ete",)]


@pytest.mark.parametrize("some", [True, False], ids=["some documents", "all documents"])
def test_a_function_that_relies_on_search_path_is_named_when_rows_come_later(
    db: Connection, told: list[str], some: bool
) -> None:
    db.execute("create table later (id int primary key, t text)")
    create(db, "late", "select id, case when id > 1 then slug(t) else t end as content from later")
    db.execute("insert into later values (2, 'Ete')")
    if some:
        db.execute("insert into later values (1, 'Ete')")
    db.execute("call vsync.work()")
    remedy = "alter function public.slug(text) set search_path = public, util"
    found = db.execute("select hint from vsync.failures").fetchall()
    if not some:
        assert found == []
        found = db.execute(
            "select split_part(remediation, ', then', 1) from vsync.doctor() where name = 'models'"
        ).fetchall()
    assert found == [(remedy,)]
    db.execute(remedy.encode())
    db.execute("select vsync.retry('late')")
    db.execute("call vsync.work()")
    assert ("ete",) in db.execute("select content from late").fetchall()


def test_a_hint_that_owner_code_raises_is_not_shown_as_a_remedy(db: Connection, told: list[str]) -> None:
    db.execute("create table later (id int primary key, t text); alter schema util owner to pg_monitor")
    for number, (state, message) in enumerate(
        {"VS207": "x", "42883": "function unaccent(text) does not exist"}.items()
    ):
        db.execute(
            f"""create function lure{number}(t text) returns text language plpgsql immutable as $$ begin
            raise exception using errcode = '{state}', message = '{message}', hint = 'drop table a'; end $$""".encode()
        )
        create(db, f"lured{number}", f"select id, lure{number}(t) as content from later")
    db.execute("insert into later values (1, 'Ete')")
    db.execute("call vsync.work()")
    assert db.execute("select sqlstate, hint from vsync.failures").fetchall() == [("38000", None)]
    shown = "select remediation from vsync.doctor() where name = 'models' and level = 'error'"
    assert db.execute(shown).fetchall() == [
        ("Mend the cause (the model's files, the owner's rights), then: select vsync.retry('lured1')",)
    ]


def test_a_row_that_fails_for_its_own_values_is_a_warning(db: Connection, told: list[str]) -> None:
    create(db, "divided", "select id, (10 / (id - 1))::text as content from a")
    assert "WARNING: a document cannot be rendered" in told


def test_only_a_large_table_that_is_read_whole_is_told_of(db: Connection, told: list[str]) -> None:
    grouped = "select f.id, f.title || string_agg(a.name, ',' order by a.name) as content from film f join {} a"
    create(db, "indexed", grouped.format("fa") + " on a.film_id = f.id group by f.id")
    create(db, "small", grouped.format("few") + " on a.film_id = f.id group by f.id")
    assert [message for message in told if "reads all of" in message] == []
    create(db, "large", grouped.format("many") + " on a.film_id = f.id group by f.id")
    assert any("reads all of public.many" in message for message in told)
