create function vsync_internal.stored_keys(version vsync_internal.versions, after_key text, max_keys int)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_keys text[];
begin
    execute format('select array(select %1$s from (select %2$s from vsync_data.%3$I as v where v.chunk = 0 and %4$s order by %2$s limit $2) as s)',
        vsync_internal.key_text(version.keys, 's'), vsync_internal.key_list(version.keys, 'v.%1$I'), version.data,
        case when after_key is null then 'true' else format('(%s) > (select %s)',
            vsync_internal.key_list(version.keys, 'v.%1$I'), vsync_internal.key_values(version.keys, '$1')) end)
    into v_keys using after_key, max_keys;
    return v_keys;
end
$$;
comment on function vsync_internal.stored_keys(vsync_internal.versions, text, int) is
'a page of the keys that have vectors, in key order after after_key';

create function vsync_internal.backfill(version_id int, max_keys int default 10000)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
    v_progress vsync_internal.progress;
    v_keys text[];
begin
    select * into v_version from vsync_internal.versions as v where v.id = backfill.version_id;
    if not found then
        return 0;
    end if;
    -- tables before progress, as in publish: who drops or alters them holds their locks when it comes to progress
    begin
        execute format('lock table %s, vsync_data.%I in access share mode',
            (select e.root from vsync_internal.embeddings as e where e.name = v_version.embedding), v_version.data);
    exception when undefined_table or syntax_error then
        return 0;
    end;
    -- marks are locked before progress everywhere, so the cursor is read without a lock and moved only if nobody set it back meanwhile
    if not vsync_internal.try_lock_row('backfill', version_id::text) then
        return 0;
    end if;
    select * into v_progress from vsync_internal.progress as p where p.version_id = backfill.version_id and p.phase <> 'done';
    if not found then
        return 0;
    end if;
    -- a page at a time, and the next when this one is nearly worked off
    if exists (select from vsync_internal.marks as m
        where m.version_id = backfill.version_id and m.lane = 2 and m.due_at is null offset max_keys / 2) then
        return 0;
    end if;
    if v_progress.phase = 'root' then
        v_keys := vsync_internal.call_keys(v_version.data, v_progress.after_key, max_keys, vsync_internal.ticket(v_version.data));
    else
        v_keys := vsync_internal.stored_keys(v_version, v_progress.after_key, max_keys);
    end if;
    perform vsync_internal.mark(backfill.version_id,
        case v_progress.phase when 'root' then v_keys
            else vsync_internal.call_missing(v_version.data, v_keys, vsync_internal.ticket(v_version.data)) end,
        nextval('vsync_internal.generation'), clock_timestamp(), 2);
    update vsync_internal.progress as p
    set retry_at = null,
        backfilled = case v_progress.phase when 'root' then cardinality(v_keys) + case when v_progress.after_key is null then 0 else p.backfilled end
            else p.backfilled end,
        backfill_started_at = case when v_progress.phase = 'root' and v_progress.after_key is null then clock_timestamp() else p.backfill_started_at end,
        missed = p.missed and (p.phase = 'root' or cardinality(v_keys) = max_keys),
        after_key = case when cardinality(v_keys) = max_keys then v_keys[max_keys] end,
        phase = case when cardinality(v_keys) = max_keys then p.phase when p.phase = 'root' then 'vectors' else 'done' end
    where p.version_id = backfill.version_id and p.restarts = v_progress.restarts;
    return cardinality(v_keys) + 1;
end
$$;
comment on function vsync_internal.backfill(int, int) is
'marks the next page of a version''s backfill: first the documents, then stored keys that are documents no more. Returns 0 if none is due';
