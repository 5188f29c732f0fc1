"""A key may be given as jsonb, bigint, text or uuid, and as a literal without a type."""

from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shop import Connection, rows

FIRST = UUID("6b1f4a3e-3a6b-4d2e-9d5b-0a4c8f7e1d20")
QUOTED = 'it\'s "quoted", {odd}'


@pytest.fixture
def declared(db: Connection, tiny_model: Path) -> Connection:
    """Four embeddings: keys of type int, text, uuid, and of two columns."""
    db.execute("select vsync.register_model('tiny', %s)", [f"file://{tiny_model}"])
    db.execute("create table numbered (id int primary key, body text); insert into numbered values (7, 'seven')")
    db.execute("create table named (id text primary key, body text)")
    db.execute("insert into named values ('a b', 'one'), ('42', 'x')")
    db.execute("insert into named values (%s, 'odd'), ('null', 'n'), ('007', 'agent'), ('1e3', 'k')", [QUOTED])
    db.execute("create table unique_ids (id uuid primary key, body text)")
    db.execute("insert into unique_ids values (%s, 'one')", [FIRST])
    db.execute("create table pairs (a int, b text, body text, primary key (a, b))")
    db.execute("insert into pairs values (1, 'x', 'p')")
    for table, key in (("numbered", "id"), ("named", "id"), ("unique_ids", "id"), ("pairs", "a, b")):
        db.execute(
            "select vsync.create_embedding(%s, %s, 'tiny')",
            [f"{table}_search", f"select {key}, body as content from {table}"],
        )
    db.execute("call vsync.work()")
    return db


CASES = [
    ("numbered", "7"),
    ("numbered", "7::smallint"),
    ("numbered", "7::bigint"),
    ("numbered", "'7'"),
    ("numbered", "'7'::text"),
    ("numbered", "'7'::jsonb"),
    ("numbered", """'{"id": 7}'"""),
    ("numbered", """'{"id": 7}'::jsonb"""),
    ("named", "'a b'"),
    ("named", "'a b'::varchar"),
    ("named", "'a b'::name"),
    ("named", "'\"a b\"'"),
    ("named", "to_jsonb('a b'::text)"),
    ("named", "42"),
    ("named", "'42'"),
    ("named", "'null'"),
    ("named", "'007'"),
    ("named", "'1e3'"),
    ("unique_ids", f"'{FIRST}'"),
    ("unique_ids", f"'{FIRST}'::uuid"),
    ("unique_ids", f"'\"{FIRST}\"'"),
    ("pairs", """'{"a": 1, "b": "x"}'"""),
    ("pairs", """'{"b": "x", "a": 1}'::jsonb"""),
]


@pytest.mark.parametrize(("table", "key"), CASES)
def test_a_key_of_any_form_names_its_document(declared: Connection, table: str, key: str):
    name = f"{table}_search"
    assert rows(declared, f"select state from vsync.explain_row('{name}', {key})") == [("fresh",)]
    assert rows(declared, f"select vsync.refresh('{name}', {key})")[0] == (1,)
    assert rows(declared, f"select documents from vsync.explain_impact('{table}', {key})") == [(1,)]
    assert rows(declared, f"select vsync.retry('{name}', {key})")[0] == (0,)
    assert rows(declared, f"select vsync.judge('{name}', 'q', {key}, 2)")[0] == (2,)


@pytest.mark.parametrize("value", [7, "7", '{"id": 7}'])
def test_a_parameter_of_a_driver_is_a_key(declared: Connection, value: Any):
    row = declared.execute("select state from vsync.explain_row('numbered_search', %s)", [value]).fetchone()
    assert row == ("fresh",)


def test_a_text_that_is_no_json_is_the_key_itself(declared: Connection):
    for key in (QUOTED, '{"not json'):
        declared.execute("insert into named values (%s, 'x') on conflict do nothing", [key])
        declared.execute("call vsync.work()")
        row = declared.execute("select state from vsync.explain_row('named_search', %s)", [key]).fetchone()
        assert row == ("fresh",)


def test_without_a_key_all_are_meant(declared: Connection):
    assert declared.execute("select vsync.refresh('named_search')").fetchone() == (6,)
    assert declared.execute("select vsync.refresh('named_search', null)").fetchone() == (6,)
    assert declared.execute("select vsync.retry('named_search')").fetchone() == (0,)


@pytest.mark.parametrize("key", ["'seven'", "'[7]'", "'{\"no\": 7}'", f"'{FIRST}'::uuid", "99999999999"])
def test_what_cannot_be_a_key_is_refused_with_what_can(declared: Connection, key: str):
    with pytest.raises(psycopg.Error) as refused:
        rows(declared, f"select * from vsync.explain_row('numbered_search', {key})")
    assert refused.value.sqlstate == "VS304"
    assert refused.value.diag.message_hint == 'Pass {"id": "<integer>"}'


def test_every_function_with_a_key_takes_all_forms(db: Connection):
    forms = db.execute("""
        select p.proname, array_agg(t.typname::text order by t.typname)
        from pg_proc as p, unnest(p.proargnames[1 : p.pronargs], p.proargtypes::oid[]) as a (name, type)
        join pg_type as t on t.oid = a.type
        where p.pronamespace = 'vsync'::regnamespace and a.name = 'key' group by 1
    """).fetchall()
    assert {name for name, _ in forms} >= {"refresh", "retry", "explain_row", "explain_impact", "judge"}
    assert [name for name, types in forms if types != ["int8", "jsonb", "text", "uuid"]] == []
