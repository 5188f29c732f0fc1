-- Event triggers follow what others do to captured tables and must not follow what vsync does. A setting alone would be anybody's to make:
-- its value is a stamp, which only functions of the installer can compute, and which holds in one session until its transaction ends.
create function vsync_internal.begin_own_ddl()
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return set_config('vsync.own_ddl', vsync_internal.stamp('own ddl'), true);
end
$$;
comment on function vsync_internal.begin_own_ddl() is
'says that DDL is vsync''s own until the calling function ends, which has the clause set "vsync.own_ddl" to give the setting back';

create function vsync_internal.is_own_ddl()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(current_setting('vsync.own_ddl', true), '') <> ''
        and to_regclass('vsync_internal.secret') is not null
        and current_setting('vsync.own_ddl') = vsync_internal.stamp('own ddl');
end
$$;
comment on function vsync_internal.is_own_ddl() is 'whether the DDL under way is vsync''s own';

create function vsync_internal.attempt(step text)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s' -- whoever alters a table of theirs waits for no table of others
as $$
declare
    v_result bigint;
begin
    execute step into v_result;
    return v_result;
exception when others then
    -- the DDL under way is somebody else's, and may have nothing to do with what fails: stat_capture and doctor() show what is missing
    raise log 'vsync: % failed: %', step, sqlerrm;
    return null;
end
$$;
comment on function vsync_internal.attempt(text) is
'runs one step of following somebody''s DDL, and lets that DDL succeed where the step fails; null then';
