"""A session's own state: what a caller has set up, and whether it is as it was after somebody else's code ran."""

from typing import Any

from shop import Connection, rows, run, value

_STATE = {
    "settings": "select name, setting, source from pg_catalog.pg_settings order by name",
    "custom settings": "select name, nullif(pg_catalog.current_setting(name, true), '') "
    "from (values ('app.own'), ('vsync.own_ddl')) as n (name)",
    "roles": "select current_user, session_user",
    "cursors": "select name, statement, is_holdable from pg_catalog.pg_cursors where name <> '' order by name",
    "statements": "select name, statement, prepare_time::text from pg_catalog.pg_prepared_statements order by name",
    "locks": "select classid, objid, objsubid, mode from pg_catalog.pg_locks "
    "where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid() order by 1, 2, 3, 4",
    "channels": "select pg_catalog.pg_listening_channels() order by 1",
    "temporary relations": "select oid, relname, reltuples from pg_catalog.pg_class "
    "where relnamespace = pg_catalog.pg_my_temp_schema() order by 1",
    "temporary functions": "select oid from pg_catalog.pg_proc where pronamespace = pg_catalog.pg_my_temp_schema()",
    "temporary types": "select oid, typname from pg_catalog.pg_type "
    "where typnamespace = pg_catalog.pg_my_temp_schema() order by 1",
    "large objects": "select oid from pg_catalog.pg_largeobject_metadata",
}

_APPLICATION = """
    create schema app;
    create table app.orders (id int);
    create table app.fired (name text);
    create function app.fire() returns trigger language plpgsql security definer as
        $$ begin insert into app.fired values (tg_name); return null; end $$;
    create constraint trigger later after insert on app.orders deferrable initially deferred
        for each row execute function app.fire();
    create constraint trigger put_off after insert on app.orders deferrable initially immediate
        for each row execute function app.fire();
    grant usage on schema app to public;
    grant all on app.orders to public;
    grant select on app.fired to public;
"""
_SESSION = """
    set application_name = 'own'; set work_mem = '5MB'; set datestyle = 'German'; set app.own = 'mine';
    set search_path = app, public; set row_security = on; set synchronous_commit = 'remote_write';
    prepare own as select 1;
    select pg_advisory_lock(1, pg_backend_pid()), pg_advisory_lock_shared(3);
    listen own;
    create temp table own as select 1 as x;
    declare own_held cursor with hold for select * from generate_series(1, 3);
"""
_TRANSACTION = """
    set local timezone = 'Asia/Tokyo'; set local jit = off; set local lock_timeout = '77s';
    set local row_security = off;
    select pg_advisory_xact_lock(5, pg_backend_pid());
    declare own_cursor cursor for select * from generate_series(1, 3);
    set constraints app.put_off deferred;
    insert into app.orders values (1);
"""


def open_application(db: Connection) -> None:
    """Make the tables of the application that calls vsync."""
    run(db, _APPLICATION)


def equip(caller: Connection) -> None:
    """Give a session in a transaction settings, a prepared statement, locks, a channel, temporary objects."""
    run(caller, _SESSION)


def begin(caller: Connection) -> None:
    """Give a transaction settings, a lock, a cursor and pending triggers of its own."""
    run(caller, _TRANSACTION)


def state(caller: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """What the session has and a caller may rely on."""
    return {name: rows(caller, query) for name, query in _STATE.items()}


def fired(caller: Connection) -> list[str]:
    """Which of the application's triggers fired."""
    return [name for (name,) in rows(caller, "select name from app.fired order by 1")]


def assert_kept(caller: Connection, before: dict[str, list[tuple[Any, ...]]], after: str) -> None:
    """Everything is as before, and no pending trigger of the application has fired."""
    now = state(caller)
    changed = {name: (set(before[name]) ^ set(now[name])) for name in before if before[name] != now[name]}
    assert changed == {}, f"after {after}: {changed}"


def assert_pending(caller: Connection, after: str) -> None:
    """The transaction's triggers wait for its end, also those that fire at once by default, and its cursor is open."""
    run(caller, "insert into app.orders values (2)")
    assert fired(caller) == [], f"after {after}"
    assert value(caller, "fetch own_cursor") in (1, 2, 3)
