create function vsync_internal.doctor_engine()
returns table (name text, level text, detail text, remediation text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version text;
begin
    if to_regprocedure('vsync_internal.engine_version()') is null then
        return query select 'engine', 'info', 'installed without plpython3u: models run outside the server', 'vsync worker --local';
        return;
    end if;
    v_version := vsync_internal.engine_version();
    if v_version is distinct from vsync_internal.version() then
        return query select 'engine', 'error', format('the server imports engine %s, the SQL is %s', v_version, vsync_internal.version()),
            'make install, alter extension vsync update, and reconnect';
    end if;
exception when others then
    return query select 'engine', 'error', format('PL/Python cannot import the engine: %s', sqlerrm), 'make install PG_CONFIG=…';
end
$$;
comment on function vsync_internal.doctor_engine() is 'whether PL/Python finds the engine, and the one that fits';

create function vsync_internal.version()
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select '0.1.0' $$;
comment on function vsync_internal.version() is 'the version of the SQL';
