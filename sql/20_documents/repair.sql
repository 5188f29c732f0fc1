create function vsync_internal.resume(forced boolean default false)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version_id int;
    v_message text;
    v_detail text;
    v_count int := 0;
begin
    if vsync_internal.is_restored() then
        return 0;
    end if;
    for v_version_id in
        select p.version_id from vsync_internal.progress as p
        join vsync_internal.versions as v on v.id = p.version_id and v.state <> 'dropped' and v.following
        left join vsync_internal.releases as r on r.version_id = p.version_id
        where p.broken is not null and (forced or p.resume_at is null or vsync_internal.is_due(p.resume_at))
            -- who released may be at it: what looks as it did is left alone for longer
            and (r.version_id is null or r.at < clock_timestamp() - interval '5 minutes'
                or (forced or r.at < clock_timestamp() - interval '1 minute') and r.shape is distinct from vsync_internal.shape(p.version_id))
        order by p.version_id
    loop
        begin
            v_count := v_count + vsync_internal.put_up(v_version_id)::int;
        exception when others then
            get stacked diagnostics v_message = message_text, v_detail = pg_exception_detail;
            v_message := concat_ws(': ', v_message, nullif(v_detail, ''));
            update vsync_internal.progress as p
            set resume_failures = p.resume_failures + 1, last_error = v_message, last_error_at = clock_timestamp(),
                resume_at = clock_timestamp() + least(60, 2 ^ least(p.resume_failures, 6)) * interval '1 second'
            where p.version_id = v_version_id;
        end;
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.resume(boolean) is
'tries to follow what is broken, and what was released a while ago, again: the more often in vain, the more seldom, up to once a minute. forced: whenever it was
tried last. Returns how many versions are followed again';

create function vsync_internal.down_versions(embedding name)
returns table (id int, data name, document text, options jsonb, owner name, plain boolean)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(down_versions.embedding);
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('repair embedding "%s"', v_embedding.name));
    return query
    select v.id, v.data, vsync_internal.definition(v), v_embedding.options, v_embedding.owner,
        vsync_internal.is_plain(vsync_internal.definition(v), v_embedding.options)
    from vsync_internal.versions as v where v.embedding = v_embedding.name and v.state <> 'dropped' and vsync_internal.is_down(v.id) order by v.version;
end
$$;
comment on function vsync_internal.down_versions(name) is 'the versions of an embedding that are broken or released';

create function vsync_internal.repair_version(version_id int, stage name)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(
        (select v.embedding from vsync_internal.versions as v where v.id = repair_version.version_id));
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('repair embedding "%s"', v_embedding.name));
    if stage is not null and vsync_internal.stage_owner(stage) is distinct from v_embedding.owner then
        raise exception using
            errcode = 'VS002',
            message = format('permission denied to repair embedding "%s"', v_embedding.name),
            detail = 'The schema belongs to another role.',
            hint = format('set role %I', v_embedding.owner);
    end if;
    return vsync_internal.put_up(version_id, stage);
end
$$;
comment on function vsync_internal.repair_version(int, name) is 'puts a version up again for its owner';

create function vsync.repair_embedding(name name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version record;
    v_stage name;
    v_count int := 0;
begin
    perform vsync_internal.require_owner(e.owner, format('repair embedding "%s"', e.name)) from vsync.embeddings as e where e.name = repair_embedding.name;
    perform vsync_internal.bind_again(name);
    for v_version in select * from vsync_internal.down_versions(name) loop
        v_stage := null;
        if not v_version.plain and current_user = v_version.owner then
            v_stage := vsync_internal.open_stage(current_user);
            perform vsync_internal.declare_document(v_version.data, v_stage, v_version.document, v_version.options);
        end if;
        v_count := v_count + vsync_internal.repair_version(v_version.id, v_stage)::int;
    end loop;
    return v_count;
end
$$;
comment on function vsync.repair_embedding(name) is
'Follows an embedding again that is broken or released, once what its document reads is there, or whose names mean another table now: analyses
the stored document, captures its tables, and has every document looked at. Vectors stay, and unchanged text is not embedded again. A worker tries the same by itself. Returns the number of versions repaired.
Example: select vsync.repair_embedding(''product_search'')';
