create function vsync.refresh(embedding name, key jsonb default null)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return vsync_internal.refresh(embedding, key);
end
$$;
comment on function vsync.refresh(name, jsonb) is
'Marks one document, or all, to be looked at again; text that did not change is still not embedded. Appends to the log, so it waits
for nobody. Returns the number of documents.
Examples: select vsync.refresh(''product_search'', ''42''); select vsync.refresh(''product_search'')';

create function vsync_internal.refresh(embedding name, key jsonb)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_version vsync_internal.versions;
    v_data name;
begin
    perform vsync_internal.require_primary();
    for v_version in select * from vsync_internal.versions as v where v.embedding = refresh.embedding and v.state <> 'dropped' and v.following loop
        insert into vsync_internal.log (slot, version_id, op, keys)
        values (vsync_internal.slot(), v_version.id, 'R', case when key is not null then array[vsync_internal.key_of(v_version.keys, key)] end);
    end loop;
    if key is not null then
        return 1;
    end if;
    v_data := (vsync_internal.serving_version(embedding)).data;
    begin
        return vsync_internal.call_count(v_data, vsync_internal.ticket(v_data));
    exception when others then
        -- the log has the refresh; what keeps the documents from being read is the worker's to report
        return coalesce((vsync_internal.stat_vectors(v_data)).documents, 0);
    end;
end
$$;
comment on function vsync_internal.refresh(name, jsonb) is 'appends the refresh to the log';
