-- PostgreSQL knows how a view follows renames, and no text does: where names changed while there was no view, the view is created under
-- the names of then, and follows them back to those of today.
create function vsync_internal.renames(stored jsonb)
returns table (place int, there text, back text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with relation as (
        select c.oid, c.relname, n.nspname, t.value ->> 'schema' as old_schema, t.value ->> 'name' as old_name, t.value -> 'columns' as columns
        from jsonb_each(coalesce(stored -> 'relations', '{}')) as t
        join pg_class as c on c.oid = t.key::oid join pg_namespace as n on n.oid = c.relnamespace),
    renamed as (
        select r.*, a.attnum, a.attname, r.columns ->> a.attnum::text as old
        from relation as r join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
        where a.attname <> coalesce(r.columns ->> a.attnum::text, '')
            -- what has the name of then today makes room
            and (r.columns ? a.attnum::text or exists (
                select from jsonb_each_text(r.columns) as o join pg_attribute as x on x.attrelid = r.oid and x.attnum = o.key::int and not x.attisdropped
                where o.value = a.attname)))
    select 1, format('alter table %I.%I rename column %I to %I', nspname, relname, attname, 'vsync_' || attnum),
        format('alter table %I.%I rename column %I to %I', nspname, relname, 'vsync_' || attnum, attname) from renamed
    union all
    select 2, format('alter table %I.%I rename column %I to %I', nspname, relname, 'vsync_' || attnum, old),
        format('alter table %I.%I rename column %I to %I', nspname, relname, old, 'vsync_' || attnum) from renamed where old is not null
    union all
    select 3, format('alter table %I.%I rename to %I', nspname, relname, old_name), format('alter table %I.%I rename to %I', nspname, old_name, relname)
    from relation as r where relname <> old_name and not exists (
        select from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.relname = r.old_name and n.nspname in (r.nspname, r.old_schema))
    union all
    select 4, format('alter table %I.%I set schema %I', nspname, old_name, old_schema), format('alter table %I.%I set schema %I', old_schema, old_name, nspname)
    from relation as r where nspname <> old_schema and to_regnamespace(quote_ident(old_schema)) is not null and not exists (
        select from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.relname = r.old_name and n.nspname = r.old_schema)
$$;
comment on function vsync_internal.renames(jsonb) is
'statements that give what a stored document names the names of then, and those that give it today''s back';

create function vsync_internal.create_document(version vsync_internal.versions)
returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_there text[];
    v_back text[];
    v_statement text;
    v_view text := format('vsync_data.%I', version.data || '_document');
begin
    perform vsync_internal.begin_own_ddl();
    select coalesce(array_agg(r.there order by r.place, r.there), '{}'), coalesce(array_agg(r.back order by r.place desc, r.back), '{}')
    into v_there, v_back from vsync_internal.renames(version.stored) as r;
    foreach v_statement in array v_there loop
        execute v_statement;
    end loop;
    begin
        execute format('create view %s as %s', v_view, version.stored ->> 'text');
    exception when syntax_error_or_access_rule_violation then
        raise exception using
            errcode = 'VS201',
            message = format('the document of "%s" cannot be read', version.embedding),
            detail = sqlerrm,
            hint = format('Bring back what it reads, or build another version: select vsync.add_version(%L, document => …)', version.embedding);
    end;
    foreach v_statement in array v_back loop
        execute v_statement;
    end loop;
    return v_view::regclass;
end
$$;
comment on function vsync_internal.create_document(vsync_internal.versions) is 'creates the view of a stored document, which follows what was renamed meanwhile';
