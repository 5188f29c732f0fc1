"""Keys that are equal and not written alike, and keys of types that live in any schema: no document vanishes."""

from pathlib import Path

import psycopg
import pytest

from fix_cluster import Connection
from promise.oracle import Declared, assert_fresh, register

EQUAL = (
    ("numeric", "1.0", "1.00"),
    ("numeric(6, 3)", "1", "1.000"),
    ("float8", "-0", "0"),
    ("float4", "-0", "0"),
    ("interval", "24:00", "1 day"),
    ("timetz", "10:00+00", "10:00:00+00"),
    ("char(4)", "a", "a "),
    ("jsonb", '{"n": 1.0}', '{"n": 1.00}'),
    ("amount", "1.0", "1.00"),
    ("text collate folding", "Mixed", "mIXED"),
    ("numeric[]", "{1.0}", "{1.00}"),
    ("numrange", "[1.0,2)", "[1.00,2.0)"),
    ("varchar collate folding", "Mixed", "mIXED"),
    ("inet", "10.0.0.1", "10.0.0.1/32"),
)
OTHERS = (
    ("elsewhere.ltree", "a.b", "a.c"),
    ("elsewhere.hstore", "a=>1", "a=>2"),
    ("elsewhere.isbn13", "978-0-306-40615-7", "978-3-16-148410-0"),
    ("elsewhere.isbn", "0-306-40615-2", "3-16-148410-0"),
    ("elsewhere.cube", "(1)", "(1, 2)"),
    ("elsewhere.seg", "1 .. 2", "1.0 .. 3"),
    ("elsewhere.semver", "1", "2"),
    ("public.citext", "Mixed", "other"),
    ("public.citext[]", "{Mixed}", "{other}"),
)
SETUP = """
create schema elsewhere;
create extension ltree schema elsewhere; create extension hstore schema elsewhere;
create extension isn schema elsewhere; create extension cube schema elsewhere; create extension seg schema elsewhere;
create extension citext schema {};
create collation folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create domain amount as numeric; create domain elsewhere.semver as elsewhere.ltree
"""


def prepared(db: Connection, schema: str, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.prepare_threshold = None  # one text of a statement is run over many types
    db.execute(SETUP.format(schema).encode())


def declared(db: Connection, kind: str, *, wide: bool, capture: str = "trigger") -> Declared:
    key = "id, part" if wide else "id"
    db.execute(f"create table keyed (id {kind}, part int default 1, name text, primary key ({key}))".encode())
    document = f"select {key}, name as content from keyed"
    db.execute(
        "select vsync.create_embedding('keyed_e', %s, 'tiny', capture => %s, index => '{\"type\": \"none\"}')",
        [document, capture],
    )
    return Declared("keyed_e", "public", ("id", "part") if wide else ("id",), document)


@pytest.mark.parametrize("capture", ["trigger", "wal"])
@pytest.mark.parametrize("wide", [False, True], ids=["one", "two"])
def test_a_key_that_is_written_otherwise_is_the_same_key(
    db: Connection, tiny_model: Path, capture: str, wide: bool
) -> None:
    prepared(db, "elsewhere", tiny_model)
    failed: list[str] = []
    for kind, one, other in EQUAL:
        try:
            embedding = declared(db, kind, wide=wide, capture=capture)
            db.execute("insert into keyed (id, name) values (%s, 'first')", [one])
            assert_fresh(db, embedding)
            for key, name in ((other, "first"), (one, "second"), (other, "third"), (other, "third")):
                db.execute("update keyed set id = %s, name = %s", [key, name])
                assert_fresh(db, embedding)
            db.execute("delete from keyed")
            db.execute("insert into keyed (id, name) values (%s, 'fourth')", [one])
            assert_fresh(db, embedding)
        except (AssertionError, psycopg.Error, KeyError) as error:
            failed.append(f"{kind}: {type(error).__name__} {str(error)[:300]}")
        db.execute("select vsync.drop_embedding('keyed_e', if_exists => true)")
        db.execute("drop table if exists keyed")
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("wide", [False, True], ids=["one", "two"])
def test_a_type_of_any_schema_is_a_key_or_is_refused(db: Connection, tiny_model: Path, wide: bool) -> None:
    prepared(db, "public", tiny_model)
    failed: list[str] = []
    for kind, one, other in OTHERS:
        try:
            embedding = declared(db, kind, wide=wide)
            db.execute("insert into keyed (id, name) values (%s, 'one'), (%s, 'two')", [one, other])
            assert_fresh(db, embedding)
            db.execute("update keyed set name = 'other' where id = %s", [one])
            assert_fresh(db, embedding)
            db.execute("select * from vsync.search('keyed_e', 'one')")
            db.execute("select vsync.audit('keyed_e', true)")
            db.execute("delete from keyed where id = %s", [other])
            assert_fresh(db, embedding)
        except (AssertionError, psycopg.Error, KeyError) as error:
            if not (isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith("VS2")):
                failed.append(f"{kind}: {type(error).__name__} {str(error)[:300]}")
            else:
                print(kind, str(error)[:200])
        db.execute("select vsync.drop_embedding('keyed_e', if_exists => true)")
        db.execute("drop table if exists keyed")
    assert not failed, "\n".join(failed)
