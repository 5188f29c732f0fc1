"""Objects that somebody made before the installation, in a schema on the installer's path, become no part of it.

An exact match of types beats PostgreSQL's own function in whatever schema it is; views and bodies that are bound when
they are made keep it, and run it as whoever reads them.
"""

from collections.abc import Callable

import psycopg
import pytest

from shop import Connection, rows, run
from vsync_admin.extension import install_into

_OURS = "('vsync'::regnamespace, 'vsync_internal'::regnamespace, 'vsync_data'::regnamespace)"
_RELATIONS = f"(select oid from pg_class where relnamespace in {_OURS})"

# The names of PostgreSQL's functions and operators in what was bound at installation.
_USED = f"""
    with bound as (
        select ev_action::text as tree from pg_rewrite where ev_class in {_RELATIONS}
        union all select prosqlbody::text from pg_proc where pronamespace in {_OURS} and prosqlbody is not null
        union all select adbin::text from pg_attrdef where adrelid in {_RELATIONS}
        union all select conbin::text from pg_constraint where connamespace in {_OURS}
        union all select concat(indexprs, indpred) from pg_index where indrelid in {_RELATIONS}
        union all select concat(polqual, polwithcheck) from pg_policy where polrelid in {_RELATIONS}
        union all select tgqual::text from pg_trigger where tgrelid in {_RELATIONS}),
    calls as (select (regexp_matches(tree, ':(?:funcid|aggfnoid|winfnoid) (\\d+)', 'g'))[1]::oid as oid from bound),
    operations as (select (regexp_matches(tree, ':opno (\\d+)', 'g'))[1]::oid as oid from bound)
    select array(select distinct proname::text from calls join pg_proc using (oid)
            where pronamespace = 'pg_catalog'::regnamespace),
        array(select distinct oprname::text from operations join pg_operator using (oid))
"""

# Each of them for every list of one or two of the types that a catalog's columns have, with the result of PostgreSQL's.
_CAPTURE = """
    create domain public.vector as text;
    create temporary table types on commit drop as select unnest(array['name', 'text', 'oid', 'regclass', 'int2',
        'int', 'bigint', '"char"', 'bool', 'jsonb', 'timestamptz', 'interval', 'name[]', 'text[]', 'oid[]',
        'int2vector']) as type;
    do $do$
    declare
        v_body text := $$language plpgsql as 'begin raise exception ''taken in''; end'$$;
        v_statement text;
    begin
        for v_statement in
            with used as (
                select p.proname as name, case when bool_or(t.typtype = 'p' or t.typname = 'text') then 'text'
                    else min(t.oid::regtype::text) end as result
                from pg_proc as p join pg_type as t on t.oid = p.prorettype
                where p.proname = any (%s::text[]) group by 1
                union all select 'said', 'text'
                union all select 'compared', 'bool')
            select format('create function public.%%I(%%s) returns %%s %%s', u.name, a.type, u.result, v_body)
            from used as u, types as a
            union all select format('create function public.%%I(%%s, %%s) returns %%s %%s',
                u.name, a.type, b.type, u.result, v_body)
            from used as u, types as a, types as b
            union all select format('create operator public.%%s (function = public.%%s, leftarg = %%s, rightarg = %%s)',
                o.name, case when o.name ~ '^[|+*-]' then 'said' else 'compared' end, a.type, b.type)
            from unnest(%s::text[]) as o (name), types as a, types as b loop
            execute v_statement;
        end loop;
    end
    $do$;
"""

# What depends on an object of neither PostgreSQL (whose own objects pg_depend leaves out), nor vsync, nor pgvector.
_TAKEN_IN = """
    select distinct pg_describe_object(d.classid, d.objid, 0), pg_describe_object(d.refclassid, d.refobjid, 0)
    from pg_depend as d left join pg_type as t on t.typarray = d.refobjid and d.refclassid = 'pg_type'::regclass,
        pg_identify_object(d.classid, d.objid, 0) as dependent,
        pg_identify_object(d.refclassid, d.refobjid, 0) as needed
    where needed.schema not in ('pg_catalog', 'information_schema', 'vsync', 'vsync_internal', 'vsync_data')
    and dependent.schema is distinct from needed.schema
    and not exists (
        select from pg_depend as e
        where (e.classid, e.objid) = (d.refclassid, coalesce(t.oid, d.refobjid)) and e.deptype = 'e')
"""
_VIEWS = f"select oid::regclass::text from pg_class where relkind = 'v' and relnamespace in {_OURS} order by 1"
_RESULTS = f"""
    select distinct format_type(prorettype, null) from pg_proc
    where pronamespace in {_OURS} and format_type(prorettype, null) like '%vector%' order by 1
"""


def _by_extension(db: Connection) -> None:
    db.execute("create extension vsync cascade")


def _by_command(db: Connection) -> None:
    assert install_into(db) == []


@pytest.mark.parametrize("install", [_by_extension, _by_command])
def test_no_function_operator_or_type_of_others_is_taken_in(
    db: Connection, empty_dsn: str, install: Callable[[Connection], None]
) -> None:
    functions, operators = rows(db, _USED)[0]
    assert {"format", "count"} <= set(functions)
    assert "||" in operators
    with psycopg.connect(empty_dsn, autocommit=True) as fresh:
        run(fresh, "create schema extensions; create extension vector schema extensions")
        psycopg.ClientCursor(fresh).execute(_CAPTURE.encode(), (functions, operators))
        install(fresh)
        run(fresh, "set search_path = pg_catalog")  # for the test's own queries
        assert rows(fresh, _TAKEN_IN) == []
        assert rows(fresh, _RESULTS) == [("extensions.vector",), ("extensions.vector[]",)]
        for (view,) in rows(fresh, _VIEWS):
            run(fresh, f"select * from {view}")
