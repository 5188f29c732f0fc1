create function vsync_internal.index_term(version vsync_internal.versions, operand text)
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select case version.index ->> 'quantize'
        when 'halfvec' then format('(%s::%I.halfvec(%s))', operand, vsync_internal.vector_schema(), m.dimensions)
        when 'binary' then format('(%2$I.binary_quantize(%1$s)::bit(%3$s))', operand, vsync_internal.vector_schema(), m.dimensions)
        else operand end
    from vsync_internal.models as m where m.id = version.model_id
$$;
comment on function vsync_internal.index_term(vsync_internal.versions, text) is
'a vector as the version''s index holds it: itself, of half precision, or a bit a dimension. Index and query must spell it alike';

create function vsync_internal.index_ddl(version vsync_internal.versions, name text, beside boolean default false)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format('create index %s%I on vsync_data.%I using %s (%s %I.%I)%s', case when beside then 'concurrently ' else '' end,
        name, version.data, version.index ->> 'type', vsync_internal.index_term(version, 'embedding'), vsync_internal.vector_schema(),
        case when version.index ->> 'quantize' = 'binary' then 'bit_hamming_ops' else format('%s_%s_ops', case version.index ->> 'quantize' when 'halfvec' then 'halfvec' else 'vector' end,
            case version.index ->> 'distance' when 'l2' then 'l2' when 'inner_product' then 'ip' else 'cosine' end) end,
        coalesce((select ' with (' || string_agg(format('%I = %s', o.key, o.value), ', ') || ')'
            from jsonb_each_text(version.index) as o where o.key in ('m', 'ef_construction', 'lists')), ''))
    where version.index ->> 'type' <> 'none'
$$;
comment on function vsync_internal.index_ddl(vsync_internal.versions, text, boolean) is 'the create index of a version, null where none is wanted; beside: without a lock on writers, for a client to run';

create function vsync_internal.has_index(version vsync_internal.versions)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return exists (select from pg_index as i where i.indexrelid = to_regclass(format('vsync_data.%I', version.data || '_ann')) and i.indisvalid);
end
$$;
comment on function vsync_internal.has_index(vsync_internal.versions) is 'whether a version''s vector index is there and whole';

create function vsync_internal.wants_index(version vsync_internal.versions)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return version.index ->> 'type' <> 'none' and not vsync_internal.has_index(version)
        and exists (select from vsync_internal.progress as p where p.version_id = version.id and p.phase = 'done' and p.broken is null)
        and not exists (select from vsync_internal.marks as m where m.version_id = version.id and m.lane = 2 and m.attempts = 0);
end
$$;
comment on function vsync_internal.wants_index(vsync_internal.versions) is
'true once the first backlog is worked off: later changes do not put it off';

create function vsync_internal.is_being_indexed(version_id int)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from vsync_internal.index_builds as b
        where b.version_id = is_being_indexed.version_id and b.pid <> pg_backend_pid()
            and vsync_internal.is_alive(b.pid, b.backend_start, b.role))
$$;
comment on function vsync_internal.is_being_indexed(int) is 'whether another session builds a version''s index beside the old one';

create function vsync_internal.build_index(version_id int)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
begin
    if not vsync_internal.try_lock_row('index', version_id::text) or vsync_internal.is_being_indexed(version_id) then
        return false;
    end if;
    select * into v_version from vsync_internal.versions as v where v.id = version_id;
    if not found or not vsync_internal.wants_index(v_version) then
        return false;
    end if;
    if to_regclass(format('vsync_data.%I', v_version.data || '_ann')) is not null then
        -- one that is not whole, left by somebody's build that broke off
        execute format('drop index vsync_data.%I', v_version.data || '_ann');
    end if;
    execute vsync_internal.index_ddl(v_version, v_version.data || '_ann');
    return true;
end
$$;
comment on function vsync_internal.build_index(int) is
'builds a version''s vector index if it is due; searches go on, publishing waits. Returns whether it was built';
