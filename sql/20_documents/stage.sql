-- Nobody but the installer creates in vsync_data. What a document's author creates, with the author's own rights and search_path, is created in a
-- schema of the author's that lives as long as the statement, and is moved from there.
create function vsync_internal.open_stage(owner name)
returns name
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_stage name;
begin
    perform vsync_internal.require_owner(owner, 'create the objects of an embedding');
    -- the same name again after a rollback: the command line is asked the same question then
    select format('vsync_stage_%s_%s', pg_backend_pid(), n) into v_stage from generate_series(1, 1000) as n
    where not exists (select from pg_namespace as s where s.nspname = format('vsync_stage_%s_%s', pg_backend_pid(), n)) order by n limit 1;
    execute format('create schema %I authorization %I', v_stage, owner);
    return v_stage;
end
$$;
comment on function vsync_internal.open_stage(name) is 'makes a schema in which a role creates a document and what reads it; returns its name';

create function vsync_internal.stage_owner(stage name)
returns name
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owner name := (select r.rolname from pg_namespace as n join pg_roles as r on r.oid = n.nspowner
        where n.nspname = stage and starts_with(stage, 'vsync_stage_'));
begin
    if v_owner is null then
        raise exception using
            errcode = 'VS001',
            message = format('"%s" holds no document', coalesce(stage, 'null')),
            detail = 'vsync makes such a schema for the length of a statement.',
            hint = 'Call vsync.create_embedding() or vsync.add_version().';
    end if;
    return v_owner;
end
$$;
comment on function vsync_internal.stage_owner(name) is 'the role for which open_stage() made a schema';

create function vsync_internal.take_from_stage(stage name, data name)
returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_owner oid := (select r.oid from pg_roles as r where r.rolname = vsync_internal.stage_owner(stage));
    v_move text;
begin
    perform vsync_internal.begin_own_ddl();
    if not exists (select from pg_class as c where c.relnamespace = to_regnamespace(quote_ident(stage)) and c.relkind = 'v'
        and c.relname = data || '_document' and c.relowner = v_owner) then
        raise exception using
            errcode = 'VS002',
            message = format('permission denied to take a document from "%s"', stage),
            detail = format('It has no view %s of role "%s".', data || '_document', vsync_internal.stage_owner(stage)),
            hint = 'Call vsync.create_embedding() or vsync.add_version().';
    end if;
    for v_move in
        select format('alter view %s set schema vsync_data', c.oid::regclass) from pg_class as c
        where c.relnamespace = to_regnamespace(quote_ident(stage)) and c.relkind = 'v' and c.relowner = v_owner and c.relname = data || '_document'
        union all
        select format('alter function %s set schema vsync_data', p.oid::regprocedure) from pg_proc as p
        where p.pronamespace = to_regnamespace(quote_ident(stage)) and p.proowner = v_owner and p.proname ~ '_delta_[0-9]+$' and starts_with(p.proname, data || '_delta_')
    loop
        execute v_move;
    end loop;
    execute format('drop schema %I', stage);
    return format('vsync_data.%I', data || '_document')::regclass;
end
$$;
comment on function vsync_internal.take_from_stage(name, name) is
'moves a document''s view, and the functions that follow its dependencies, to vsync_data, and drops their schema; returns the view';
