create function vsync_internal.reanalyse(version_id int)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions := (select v from vsync_internal.versions as v where v.id = reanalyse.version_id);
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(v_version.embedding);
    v_analysis jsonb;
    v_relation regclass;
    v_statement text;
    v_before vsync_internal.dependencies[] := array(
        select d from vsync_internal.dependencies as d where d.version_id = reanalyse.version_id order by d.number);
begin
    if vsync_internal.is_down(version_id) then
        return vsync_internal.follow_key(v_version);
    end if;
    v_analysis := vsync_internal.own_analysis(format('vsync_data.%I', v_version.data || '_document')::regclass, v_embedding.options);
    if (v_analysis ->> 'root_oid')::oid <> v_embedding.root or jsonb_array_length(v_analysis -> 'keys') <> jsonb_array_length(v_version.keys) then
        raise exception using
            errcode = 'VS203',
            message = 'the document has another key now',
            detail = format('Its root is %s.', (v_analysis ->> 'root_oid')::oid::regclass),
            hint = format('select vsync.repair_embedding(%L)', v_version.embedding);
    end if;
    -- a view that was replaced may read other tables; what is captured already stays so
    if v_embedding.capture <> 'manual' then
        perform vsync_internal.check_trigger_rights(v_embedding.owner, array(
            select (d ->> 'relation_oid')::oid::regclass from jsonb_array_elements(v_analysis -> 'dependencies') as d
            except select d.relation from unnest(v_before) as d order by 1));
    end if;
    update vsync_internal.versions as v set analysis_error = null where v.id = reanalyse.version_id and v.analysis_error is not null;
    update vsync_internal.versions as v set keys = v_analysis -> 'keys' where v.id = reanalyse.version_id and v.keys <> v_analysis -> 'keys';
    perform vsync_internal.store_document(version_id);
    if not vsync_internal.put_dependencies(version_id, v_analysis) then
        return false;
    end if;
    -- a path may lead elsewhere now, in a view that was replaced
    for v_statement in
        select format('drop function if exists vsync_data.%I(text[], text, int, text)', v_version.data || '_delta_' || d.number) from unnest(v_before) as d where d.number > 0
        union all select u.s from unnest(vsync_internal.delta_ddl(v_analysis, v_version.data)) as u (s)
        union all select format('alter function vsync_data.%I(text[], text, int, text) owner to %I', v_version.data || '_delta_' || (d ->> 'number'), v_embedding.owner)
            from jsonb_array_elements(v_analysis -> 'dependencies') as d
    loop
        execute v_statement;
    end loop;
    for v_relation in
        select distinct d.relation from unnest(v_before || array(select d from vsync_internal.dependencies as d where d.version_id = reanalyse.version_id)) as d order by 1
    loop
        perform vsync_internal.sync_capture(v_relation);
    end loop;
    return true;
end
$$;
comment on function vsync_internal.reanalyse(int) is
'reads a version''s stored document again and follows what it depends on now; returns whether anything is different';

create function vsync_internal.try_reanalyse(version_id int)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return vsync_internal.reanalyse(version_id);
exception when others then
    -- without its primary key, for instance: what was captured before is captured still
    raise notice 'vsync: %', sqlerrm;
    update vsync_internal.versions as v set analysis_error = sqlerrm
    where v.id = try_reanalyse.version_id and v.analysis_error is distinct from sqlerrm;
    return false;
end
$$;
comment on function vsync_internal.try_reanalyse(int) is
'as reanalyse(); an error is recorded with the version, where the doctor reads it, and never stops the statement that changed a table';

create function vsync_internal.follow_key(version vsync_internal.versions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_root regclass := (select e.root from vsync_internal.embeddings as e where e.name = version.embedding);
    v_now jsonb := (select jsonb_agg(k || jsonb_build_object('column', a.attname, 'type', format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null),
            'builtin', coalesce(b.typnamespace, t.typnamespace) = 'pg_catalog'::regnamespace) order by i)
        from jsonb_array_elements(version.keys) with ordinality as e (k, i)
        join pg_attribute as a on a.attrelid = v_root and a.attnum = (version.stored -> 'key_numbers' ->> (i - 1)::int)::int and not a.attisdropped
        join pg_type as t on t.oid = a.atttypid left join pg_type as b on b.oid = t.typbasetype);
begin
    if jsonb_array_length(v_now) is distinct from jsonb_array_length(version.keys) then
        return false;
    end if;
    -- the vector table has the old types still
    update vsync_internal.versions as v set keys = (
        select jsonb_agg(o.k || jsonb_build_object('column', n.k -> 'column') order by o.i)
        from jsonb_array_elements(v.keys) with ordinality as o (k, i) join jsonb_array_elements(v_now) with ordinality as n (k, i) using (i))
    where v.id = version.id returning v.* into version;
    update vsync_internal.dependencies as d set keys = v_now where d.version_id = version.id and d.number = 0 and d.keys <> v_now;
    perform vsync_internal.put_missing(version);
    if exists (select from pg_proc as p where p.pronamespace = 'vsync_data'::regnamespace and p.proname = version.data || '_visible') then
        perform vsync_internal.put_policy(version);
    end if;
    perform vsync_internal.sync_capture(v_root);
    return true;
end
$$;
comment on function vsync_internal.follow_key(vsync_internal.versions) is
'while a document cannot be read: follows new names and types of the root''s key, so that deletes are seen';

create function vsync_internal.readers_of(class oid, object oid)
returns setof int
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive reader as (
        select v.id, to_regclass(format('vsync_data.%I', v.data || '_document'))::oid as view from vsync_internal.versions as v where v.state <> 'dropped'
        union
        select r.id, d.refobjid from reader as r join pg_rewrite as w on w.ev_class = r.view
        join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
        join pg_class as c on c.oid = d.refobjid and c.relkind = 'v')
    select distinct r.id from reader as r
    where class = 'pg_class'::regclass and r.view = object
        or class in ('pg_proc'::regclass, 'pg_type'::regclass) and exists (
            select from pg_rewrite as w join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
            where w.ev_class = r.view and d.refclassid = class and d.refobjid = object)
        or class = 'pg_type'::regclass and exists (
            select from vsync_internal.dependencies as d join pg_attribute as a on a.attrelid = d.relation and a.attname = any (d.columns)
            where d.version_id = r.id and a.atttypid = object)
$$;
comment on function vsync_internal.readers_of(oid, oid) is 'versions whose document reads a view, a function or a type, itself or through views';

create function vsync_internal.follow_definition(version_id int)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.reanalyse(version_id);
    insert into vsync_internal.log (slot, version_id, op) values (vsync_internal.slot(), follow_definition.version_id, 'R');
    return true;
exception when sqlstate 'VS002' or sqlstate 'VS201' or sqlstate 'VS202' or sqlstate 'VS203' or sqlstate 'VS204' or sqlstate 'VS205' then
    perform vsync_internal.take_down(version_id, format('its document cannot be followed any more: %s', sqlerrm));
    return false;
end
$$;
comment on function vsync_internal.follow_definition(int) is
'a view, function or type that the document reads was replaced: every document may read differently. Marks the version broken where it cannot be followed';
