-- What owner code does to these functions does not survive the call it does it in, but a role that was made a member of vsync_sandbox could
-- change them in a session of its own. The trigger has the rights of whoever changes a function: inside vsync's definers that is the installer.
create function vsync_internal.guard_functions()
returns event_trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_function text;
begin
    if current_user = (select n.nspowner::regrole::text::name from pg_namespace as n where n.nspname = 'vsync_internal')
        or (select r.rolsuper from pg_roles as r where r.rolname = current_user) then
        return;
    end if;
    if tg_event = 'sql_drop' then
        select d.object_identity into v_function from pg_event_trigger_dropped_objects() as d
        where d.classid = 'pg_proc'::regclass and d.schema_name in ('vsync', 'vsync_internal') limit 1;
    else
        select d.object_identity into v_function from pg_event_trigger_ddl_commands() as d join pg_proc as p on p.oid = d.objid
        where d.classid = 'pg_proc'::regclass and (d.schema_name in ('vsync', 'vsync_internal') or pg_get_userbyid(p.proowner) = 'vsync_sandbox') limit 1;
    end if;
    if found then
        raise exception using
            errcode = 'VS002',
            message = format('permission denied to change %s', v_function),
            detail = 'It belongs to vsync, and only the role that installed vsync changes it.',
            hint = 'revoke vsync_sandbox from ' || quote_ident(session_user);
    end if;
end
$$;
comment on function vsync_internal.guard_functions() is 'lets nobody but the installer and superusers change the functions of vsync';
