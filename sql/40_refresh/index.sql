create function vsync_internal.index_ddl(version vsync_internal.versions)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format('create index %I on vsync_data.%I using %s (embedding %I.%I)%s',
        version.data || '_ann', version.data, version.index ->> 'type', vsync_internal.vector_schema(),
        'vector_' || case version.index ->> 'distance' when 'l2' then 'l2' when 'inner_product' then 'ip' else 'cosine' end || '_ops',
        coalesce((select ' with (' || string_agg(format('%I = %s', o.key, o.value), ', ') || ')'
            from jsonb_each_text(version.index) as o where o.key in ('m', 'ef_construction', 'lists')), ''))
    where version.index ->> 'type' <> 'none'
$$;
comment on function vsync_internal.index_ddl(vsync_internal.versions) is 'the create index of a version, null where none is wanted';

create function vsync_internal.wants_index(version vsync_internal.versions)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select version.index ->> 'type' <> 'none'
        and to_regclass(format('vsync_data.%I', version.data || '_ann')) is null
        and exists (select from vsync_internal.progress as p where p.version_id = version.id and p.phase = 'done' and p.broken is null)
        and not exists (select from vsync_internal.marks as m where m.version_id = version.id and m.lane = 2 and m.attempts = 0)
$$;
comment on function vsync_internal.wants_index(vsync_internal.versions) is
'true once the first backlog is worked off: later changes do not put it off';

create function vsync_internal.build_index(version_id int)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
begin
    if not pg_try_advisory_xact_lock(hashtext('vsync index'), version_id) then
        return false;
    end if;
    select * into v_version from vsync_internal.versions as v where v.id = version_id;
    if not found or not vsync_internal.wants_index(v_version) then
        return false;
    end if;
    execute vsync_internal.index_ddl(v_version);
    return true;
end
$$;
comment on function vsync_internal.build_index(int) is
'builds a version''s vector index if it is due; searches go on, publishing waits. Returns whether it was built';
