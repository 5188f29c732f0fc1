create function vsync_internal.guard_names()
returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name name;
begin
    -- who restores a dump makes the vector tables
    if (select r.rolsuper from pg_roles as r where r.rolname = session_user) then
        return;
    end if;
    select c.relname into v_name from pg_event_trigger_ddl_commands() as d join pg_class as c on c.oid = d.objid
    where d.classid = 'pg_class'::regclass and c.relnamespace = to_regnamespace('vsync_data') and c.relname !~ '_(document|probe)$'
        and c.relowner <> (select n.nspowner from pg_namespace as n where n.nspname = 'vsync_internal') limit 1;
    if found then
        raise exception using
            errcode = 'VS002',
            message = format('permission denied to make vsync_data.%I', v_name),
            detail = 'What is called like a vector table would be read with the rights of the installer under a snapshot in which that still stood.',
            hint = 'Make it in a schema of your own.';
    end if;
end
$$;
comment on function vsync_internal.guard_names() is
'admins make the views of their documents in vsync_data, and nothing that could pass for a vector table that was dropped';

-- A superuser's, as those that follow DDL; a view is renamed by ALTER TABLE too, and moved by ALTER … SET SCHEMA.
do $$
begin
    if (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user) then
        create event trigger vsync_guard_names on ddl_command_end
            when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE VIEW', 'CREATE MATERIALIZED VIEW', 'CREATE FOREIGN TABLE', 'CREATE SEQUENCE',
                'CREATE INDEX', 'ALTER TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'ALTER SEQUENCE', 'ALTER INDEX')
            execute function vsync_internal.guard_names();
    end if;
end
$$;
