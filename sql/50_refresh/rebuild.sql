-- create index concurrently runs in no function: what it takes is a list of statements for a client, which psql's \gexec is too.
create function vsync.index_statements(embedding name, version int default null, index jsonb default null)
returns table (statement text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_owner(vsync_internal.installer(), 'build an index beside the old one');
    return query select * from vsync_internal.index_statements(embedding, version, index);
end
$$;
comment on function vsync.index_statements(name, int, jsonb) is
'The statements that build a version''s vector index, anew where there is one, while searches and workers go on: the new one beside the old one, then
their names change places. index: what shall differ from now on, as in create_embedding. Run one by one outside a transaction, as vsync index
rebuild does; for members of the role that installed vsync. version null: the active one.
Example: select statement from vsync.index_statements(''product_search'', index => ''{"m": 32}'') \gexec';

create function vsync_internal.index_statements(embedding name, version int, index jsonb)
returns table (statement text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions := vsync_internal.find_version(embedding, coalesce(version, (vsync_internal.serving_version(embedding)).version));
    v_next text := v_version.data || '_ann_next';
    v_old text := v_version.data || '_ann_old';
begin
    perform vsync_internal.require_owner(vsync_internal.installer(), 'build an index beside the old one');
    v_version.index := vsync_internal.merge_index(v_version.index, index, v_version.model_id);
    return query
    select s.statement from (values
        (format('select vsync_internal.hold_index(%s)', v_version.id), true),
        -- what a build that broke off has left
        (format('drop index concurrently if exists vsync_data.%I', v_next), to_regclass(format('vsync_data.%I', v_next)) is not null),
        (format('drop index concurrently if exists vsync_data.%I', v_old), to_regclass(format('vsync_data.%I', v_old)) is not null),
        (vsync_internal.index_ddl(v_version, v_next, true), v_version.index ->> 'type' <> 'none'),
        (format('select vsync_internal.swap_index(%s, %L)', v_version.id, v_version.index), true),
        (format('drop index concurrently if exists vsync_data.%I', v_old), to_regclass(format('vsync_data.%I', v_version.data || '_ann')) is not null),
        (format('select vsync_internal.release_index(%s)', v_version.id), true)) as s (statement, is_due)
    where s.is_due;
end
$$;
comment on function vsync_internal.index_statements(name, int, jsonb) is 'the rows of vsync.index_statements()';

create function vsync_internal.hold_index(version_id int)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- waiting would hold a snapshot that the other build waits for
    if not vsync_internal.try_lock_row('index', version_id::text) or vsync_internal.is_being_indexed(version_id) then
        raise exception using
            errcode = 'VS405',
            message = 'the index is being built already',
            detail = format('Session %s is at it.', coalesce((
                select string_agg(distinct h.pid::text, ', ') from vsync_internal.lock_holders as h
                where h.kind = 'index' and h.name = version_id::text and h.pid <> pg_backend_pid()), 'of a worker')),
            hint = 'select * from pg_stat_progress_create_index';
    end if;
    insert into vsync_internal.index_builds
    select hold_index.version_id, a.pid, a.backend_start, a.usesysid from pg_stat_activity as a where a.pid = pg_backend_pid()
    on conflict on constraint index_builds_pkey do update
    set pid = excluded.pid, backend_start = excluded.backend_start, role = excluded.role;
    return true;
end
$$;
comment on function vsync_internal.hold_index(int) is 'keeps workers and other sessions from building a version''s index until this session lets go of it';

create function vsync_internal.release_index(version_id int)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from vsync_internal.index_builds as b where b.version_id = release_index.version_id and b.pid = pg_backend_pid();
    return found;
end
$$;
comment on function vsync_internal.release_index(int) is 'lets go of what hold_index() took; a session that ends does so too';

create function vsync_internal.swap_index(version_id int, index jsonb)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_version vsync_internal.versions := (select v from vsync_internal.versions as v where v.id = version_id);
    v_next name := v_version.data || '_ann_next';
begin
    perform vsync_internal.begin_own_ddl();
    if index ->> 'type' <> 'none'
        and not exists (select from pg_index as i where i.indexrelid = to_regclass(format('vsync_data.%I', v_next)) and i.indisvalid) then
        raise exception using
            errcode = 'VS405',
            message = format('the new index of version %s of "%s" is not whole', v_version.version, v_version.embedding),
            detail = 'Its build broke off.',
            hint = format('vsync index rebuild %s %s', v_version.embedding, v_version.version);
    end if;
    -- renaming locks out no reader and no writer; queries say what the index holds from this row on
    if to_regclass(format('vsync_data.%I', v_version.data || '_ann')) is not null then
        execute format('alter index vsync_data.%I rename to %I', v_version.data || '_ann', v_version.data || '_ann_old');
    end if;
    if index ->> 'type' <> 'none' then
        execute format('alter index vsync_data.%I rename to %I', v_next, v_version.data || '_ann');
    end if;
    update vsync_internal.versions as v set index = swap_index.index where v.id = version_id;
    update vsync_internal.progress as p set recall = null, recall_at = null where p.version_id = swap_index.version_id;
    return true;
end
$$;
comment on function vsync_internal.swap_index(int, jsonb) is 'puts the index that was built beside the old one in its place, and the options it was built with in force';
