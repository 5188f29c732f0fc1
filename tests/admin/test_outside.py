"""A server without plpython3u, and an installer who is no superuser: the command line has the engine."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from admin.test_commands import answer, vsync
from shop import denied, refused, rows, run, value
from vsync_engine.foundation.host import PsycopgHost
from vsync_engine.refresh import worker

Connection = psycopg.Connection[tuple[Any, ...]]
SINGLE = "select id, body as content from notes.notes"
DOCUMENT = "select n.id, n.body || ' ' || k.name as content from notes.notes n join notes.kinds k on k.id = n.kind"


@pytest.fixture
def managed(empty_dsn: str, make_role: Callable[..., str]) -> str:
    """A database with pgvector, tables and vsync, of a role that may create roles and no more; connects as it."""
    owner = make_role()
    with psycopg.connect(empty_dsn, autocommit=True) as s:
        run(s, f"alter role {owner} createrole")
        run(s, "create extension vector")
        run(s, f"alter database {s.info.dbname} owner to {owner}")
    dsn = f"{empty_dsn} user={owner}"
    assert "no plpython3u for this role" in vsync(dsn, "install").stderr
    with psycopg.connect(dsn, autocommit=True) as s:
        run(s, "create schema notes")
        run(s, "create table notes.kinds (id int primary key, name text)")
        run(s, "create table notes.notes (id int primary key, kind int, body text)")
        run(s, "insert into notes.kinds values (1, 'letter')")
        run(s, "insert into notes.notes values (1, 1, 'one'), (2, 1, 'two'), (3, 1, 'three')")
    return dsn


@pytest.fixture
def owner(managed: str) -> Iterator[Connection]:
    with psycopg.connect(managed, autocommit=True) as s:
        yield s


def work(dsn: str) -> None:
    with psycopg.connect(dsn) as s:
        worker.work(PsycopgHost(s), None, None)


def test_the_main_job_is_done_from_the_command_line(
    managed: str, owner: Connection, tiny_model: Path, tiny_model_other: Path
) -> None:
    assert answer(managed, "model", "add", "tiny", str(tiny_model))[0]["dimensions"] == 8
    create = ("embedding", "create", "found", "--model", "tiny", "--document", DOCUMENT)
    assert answer(managed, *create, "--chunk", '{"tokens": 20}') == [{"name": "found"}]
    work(managed)
    assert rows(owner, "select id, content from notes.found order by id") == [
        (1, "one letter"),
        (2, "two letter"),
        (3, "three letter"),
    ]
    run(owner, "update notes.kinds set name = 'card'")
    work(managed)
    nearest = answer(managed, "search", "found", "two card", "-k", "1")
    assert [(row["key"], row["content"], row["distance"] < 1e-6) for row in nearest] == [({"id": 2}, "two card", True)]

    assert answer(managed, "model", "add", "other", str(tiny_model_other))
    assert answer(managed, "version", "add", "found", "--model", "other") == [{"version": 2}]
    work(managed)
    assert answer(managed, "version", "compare", "found", "1", "2", "--query", "two card", "-k", "3")
    assert answer(managed, "version", "activate", "found", "2") == [{"version": 2}]
    assert answer(managed, "search", "found", "two card", "-k", "1")[0]["version"] == 2
    audited = "select checked, missing + extra + stale + mixed from vsync.audit('found') order by version"
    assert rows(owner, audited) == [(3, 0), (3, 0)]
    assert value(owner, "select count(*) from vsync_internal.answers") == 0


def test_a_table_is_altered_from_the_command_line(managed: str, owner: Connection, tiny_model: Path) -> None:
    answer(managed, "model", "add", "tiny", str(tiny_model))
    answer(managed, "embedding", "create", "found", "--model", "tiny", "--document", DOCUMENT)
    work(managed)
    change = "alter table notes.kinds alter name type varchar(20); alter table notes.notes alter id type bigint"
    assert [row["state"] for row in answer(managed, "ddl", change)] == ["active"]
    run(owner, "update notes.kinds set name = 'card'")
    work(managed)
    assert rows(owner, "select id, content from notes.found order by id limit 1") == [(1, "one card")]


REFUSED = (
    ("embedding", "create", "found", "--document", "select body as content from notes.notes", "--model", "tiny"),
    ("embedding", "create", "found", "--document", "delete from notes.notes", "--model", "tiny"),
    ("embedding", "create", "found", "--document", SINGLE, "--model", "none"),
    ("embedding", "create", "found", "--document", SINGLE, "--model", "tiny", "--chunk", '{"tokens": -1}'),
)


def test_it_has_the_functions_of_a_server_with_python(owner: Connection, db: Connection) -> None:
    functions = (
        "select p.oid::regprocedure::text from pg_proc as p"
        " where p.pronamespace in ('vsync'::regnamespace, 'vsync_internal'::regnamespace)"
    )
    outside, inside = set(rows(owner, functions)), set(rows(db, functions))
    assert inside - outside == {
        ("vsync_internal.engine_version()",),
        ("vsync_internal.work(interval,name,jsonb)",),
    }
    assert outside - inside == {
        ("vsync_internal.ask(text,jsonb)",),
        ("vsync_internal.answer(text,jsonb)",),
        ("vsync_internal.forget_answers()",),
    }


def test_what_is_refused_is_refused_in_the_same_words(
    managed: str, dsn: str, db: Connection, owner: Connection, tiny_model: Path, models_directory: Path
) -> None:
    empty = models_directory / "empty"
    empty.mkdir()
    run(db, "create schema notes; create table notes.notes (id int primary key, kind int, body text)")
    for database in (managed, dsn):
        assert answer(database, "model", "add", "tiny", str(tiny_model))
    objects = "select count(*) from pg_class"
    before = value(owner, objects)
    for arguments in (("model", "add", "empty", str(empty)), *REFUSED):
        outside, inside = vsync(managed, *arguments), vsync(dsn, *arguments)
        assert (outside.returncode, inside.returncode) == (1, 1)
        assert outside.stderr == inside.stderr
    assert value(owner, objects) == before


def test_a_rename_without_event_triggers_is_followed_by_a_repair(
    managed: str, owner: Connection, tiny_model: Path
) -> None:
    assert answer(managed, "model", "add", "tiny", str(tiny_model))
    assert answer(managed, "embedding", "create", "found", "--model", "tiny", "--document", DOCUMENT)
    work(managed)
    run(owner, "alter table notes.notes rename body to words")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        run(owner, "update notes.notes set words = 'changed'")
    assert answer(managed, "embedding", "repair", "found") == [{"triggers": 0}]
    run(owner, "update notes.notes set words = 'changed'")
    work(managed)
    assert rows(owner, "select distinct content from notes.found") == [("changed letter",)]


def test_psql_is_told_where_the_engine_is(owner: Connection, tiny_model: Path) -> None:
    told = refused(lambda: run(owner, "select vsync.register_model('tiny', %s)", f"file://{tiny_model}"), "VS006")
    assert "vsync model add" in (told.message_hint or "")
    assert refused(lambda: run(owner, "call vsync.work()"), "VS006").message_hint == "vsync worker --local"
    assert rows(owner, "select name, remediation from vsync.doctor() where name = 'engine'") == [
        ("engine", "vsync worker --local")
    ]


def test_only_the_installer_answers_for_the_engine(
    managed: str, owner: Connection, tiny_model: Path, make_role: Callable[..., str]
) -> None:
    assert answer(managed, "model", "add", "tiny", str(tiny_model))
    author = make_role("vsync_admin")
    run(owner, f"grant create, usage on schema notes to {author}; grant select, trigger on notes.notes to {author}")
    dsn = managed.rpartition(" user=")[0] + f" user={author}"
    told = vsync(dsn, "embedding", "create", "found", "--model", "tiny", "--document", SINGLE)
    assert told.returncode == 1
    assert "VS002: permission denied to create the objects of an embedding" in told.stderr
    with psycopg.connect(dsn, autocommit=True) as s:
        denied(s, "insert into vsync_internal.answers values ('key', '{}')")
        asked = refused(lambda: run(s, "select vsync_internal.check_document('select 1')"), "VS006")
        forged = {json.loads(asked.constraint_name or "")["key"]: {}}
        run(s, "select set_config('vsync.answers', %s, false)", json.dumps(forged))
        refused(lambda: run(s, "select vsync_internal.check_document('select 1')"), "VS006")
