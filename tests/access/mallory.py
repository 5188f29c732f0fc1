"""What an embedding's owner puts into code that others run: each trick is one statement or more."""

from collections.abc import Iterable

from shop import Connection, run

TRICKS = {
    "setting": "select set_config('search_path', 'shop, pg_temp', false)",
    "setting of the transaction": "select set_config('datestyle', 'SQL, DMY', true)",
    "read only": "select set_config('default_transaction_read_only', 'on', false)",
    "row security": "select set_config('row_security', 'off', false)",
    "replication role": "select set_config('session_replication_role', 'replica', false)",
    "timeout": "select set_config('statement_timeout', '1', false)",
    "constraints": "set constraints all immediate",
    "deferred constraints": "set constraints all deferred",
    "custom setting": "select set_config('app.own', 'theirs', false)",
    "own ddl": "select set_config('vsync.own_ddl', 'on', false)",
    "known": "select set_config('vsync.known', '', false)",
    "reset": "reset all",
    "held cursor": "declare planted cursor with hold for select shop.spy('held cursor')",
    "cursor": "declare planted_too cursor for select shop.spy('cursor')",
    "deferred trigger": "insert into shop.later values (1)",
    "prepared": "prepare planted as select shop.spy('prepared')",
    "prepared like ours": "prepare own as select shop.spy('prepared')",
    "lock": "select pg_advisory_lock(7, 7)",
    "locks": "select pg_advisory_lock_shared(8), pg_advisory_lock(8), pg_advisory_lock(8)",
    "lock of the transaction": "select pg_advisory_xact_lock(9)",
    "lock of vsync": "select pg_advisory_lock(hashtext('vsync'), hashtext('fold'))",
    "unlock": "select pg_advisory_unlock_all()",
    "listen": "listen planted",
    "unlisten": "unlisten *",
    "notify": "notify own, 'theirs'",
    "temporary table": "create temp table pg_class as select * from pg_catalog.pg_class",
    "temporary marks": "create temp table marks (key text); create temp table lock_fold ()",
    "temporary function": "create function pg_temp.planted() returns int language sql as 'select 1'",
    "temporary view": "create temp view settings as select shop.spy('view') as name",
    "no temporary objects": "discard temp",
    "superuser": "select set_config('role', 'postgres', false)",
    "no role": "reset role",
    "authorization": "select set_config('session_authorization', 'postgres', false)",
    "no authorization": "reset session authorization",
    "promotion": "do $do$ begin execute format('alter role %I superuser', session_user); end $do$",
    "promotion of the owner": "alter role mallory superuser",
    "canary": "insert into canary.rows values (current_user)",
    "commit": "commit",
    "rollback": "rollback",
    "isolation": "set transaction isolation level serializable",
    "writable": "set transaction read write",
    "function of vsync": "alter function vsync_internal.lasting() set work_mem = '1MB'",
    "new function": "create function vsync_internal.lasting(text) returns text language sql as 'select null'",
    "marks": "delete from vsync_internal.marks",
    "vectors": "delete from vsync_data.safe_v1",
    "large object": "select lo_create(4711)",
    "terminate": "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()",
    "terminate this": "select pg_cancel_backend(pid) from pg_stat_activity where backend_type <> 'client backend'",
    "spy": "select shop.spy('called')",
}

CONDITIONS = {
    "division": "22012",
    "our own": "VS900",
    "of vsync": "VS101",
    "serialization": "40001",
    "deadlock": "40P01",
    "cancel": "57014",
    "shutdown": "57P01",
    "assert": "P0004",
    "memory": "53200",
    "corruption": "XX001",
    "internal": "XX000",
    "transaction": "25P02",
    "unknown": "ZZ123",
    "no data": "02000",
    "read only": "25006",
    "privilege": "42501",
    "lock": "55P03",
    "duplicate": "23505",
}

_SETTING = """
    create table shop.later (x int);
    create function shop.again() returns trigger language plpgsql as $$
    begin
        perform shop.spy('deferred');
        if new.x < 3 then
            insert into shop.later values (new.x + 1);
        end if;
        return null;
    end $$;
    create constraint trigger later after insert on shop.later deferrable initially deferred
        for each row execute function shop.again();
"""


def prepare(owner: Connection) -> None:
    """Make what the tricks need, after plant_spy()."""
    run(owner, _SETTING)


def block(tricks: Iterable[str], *, raising: str | None = None, when: str = "true", nested: bool = False) -> str:
    """A PL/pgSQL block that tries each trick, whatever becomes of the others, and may end with an SQLSTATE.

    nested: each trick is tried once more where its first result was rolled back, in a handler of an exception.
    """
    tried = "".join(_try(TRICKS[trick], nested=nested) for trick in tricks)
    failure = f"if {when} then raise exception using errcode = '{raising}'; end if;" if raising else ""
    return f"begin\n{tried}{failure}\nend;"


def _try(trick: str, *, nested: bool) -> str:
    run_it = f"execute $trick${trick}$trick$;"
    if nested:
        run_it = f"begin {run_it} raise sqlstate 'ZZ999'; exception when sqlstate 'ZZ999' then {run_it} end;"
    return f"begin {run_it} exception when others then null; end;\n"


def plant(owner: Connection, name: str, body: str) -> None:
    """Make shop.name(text), which says that it is immutable, gives back its argument, and runs the block before."""
    inner = f"create or replace function shop.{name}_inner() returns void language plpgsql volatile"
    outer = f"create or replace function shop.{name}(input text) returns text language plpgsql immutable"
    call = f"begin perform shop.{name}_inner(); return input; end"
    run(owner, f"{inner} as $plant${body}$plant$; {outer} as $plant${call}$plant$")
