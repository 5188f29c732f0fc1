"""Both ways of installing make the same objects, and every body is one that PostgreSQL accepts."""

from pathlib import Path

import psycopg

from fix_cluster import Connection
from vsync_admin.extension import install_into

_SCHEMA = Path(__file__).with_name("normalised_schema.sql").read_bytes()
_BODIES = """
    select p.oid::regprocedure::text, pg_get_functiondef(p.oid)
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang
    where p.pronamespace::regnamespace::text like 'vsync%' and l.lanname in ('sql', 'plpgsql')
"""


def test_the_extension_and_vsync_install_make_the_same_schema(db: Connection, empty_dsn: str) -> None:
    extension = dict(db.execute(_SCHEMA).fetchall())
    with psycopg.connect(empty_dsn, autocommit=True) as session:
        install_into(session)
        installed = dict(session.execute(_SCHEMA).fetchall())
    assert len(extension) > 500
    assert installed.keys() == extension.keys()
    assert {name for name in installed if installed[name] != extension[name]} == set()


def test_postgresql_accepts_every_body(db: Connection) -> None:
    # neither way of installing checks them: they name what comes later
    bodies = db.execute(_BODIES).fetchall()
    assert len(bodies) > 300
    db.execute("set check_function_bodies = on")
    for name, definition in bodies:
        try:
            with db.transaction(force_rollback=True):
                db.execute(definition.encode())
        except psycopg.Error as error:
            raise AssertionError(name) from error
