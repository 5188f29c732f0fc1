create function vsync.retry(embedding name, key jsonb default null)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return vsync_internal.retry(embedding, key);
end
$$;
comment on function vsync.retry(name, jsonb) is
'Makes failed documents due again, parked ones included: one by its key, or all. Returns how many.
Example: select vsync.retry(''product_search'')';

create function vsync_internal.retry(embedding name, key jsonb)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_version vsync_internal.versions;
    v_marks tid[];
    v_count bigint := 0;
    v_found bigint;
begin
    perform vsync_internal.require_primary();
    for v_version in select * from vsync_internal.versions as v where v.embedding = v_embedding.name order by v.id loop
        v_marks := array(select w.ctid from vsync_internal.marks as w
            where w.version_id = v_version.id and w.attempts > 0
                and (retry.key is null or w.key = vsync_internal.key_of(v_version.keys, retry.key)) order by w.key for update);
        update vsync_internal.marks as m set due_at = null, attempts = 0 where m.ctid = any (v_marks);
        get diagnostics v_found = row_count;
        v_count := v_count + v_found;
        update vsync_internal.progress as p set retry_at = null where p.version_id = v_version.id and p.retry_at is not null;
    end loop;
    if key is null then
        perform vsync_internal.try_again(v_embedding.name);
    end if;
    return v_count;
end
$$;
comment on function vsync_internal.retry(name, jsonb) is 'makes failures due again';
