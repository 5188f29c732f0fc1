create function vsync.explain_row(embedding name, key jsonb)
returns table (version int, state text, reason text, change_seen_at timestamptz, embedded_at timestamptz, chunks int, content_hash text,
    token bigint, attempts int, model name, model_sha256 text,
    label text, document_sha256 text, captured_at timestamptz, worker int, provenance text, excluded boolean, rules jsonb)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select * from vsync_internal.explain_row(embedding, key);
end
$$;
comment on function vsync.explain_row(name, jsonb) is
'Why a document''s vectors are as they are, one row a live version: state (fresh, stale, working, held, retrying, parked, absent) with the reason,
when its last change was seen, when and by which claim and model it was embedded; provenance says in words what made the vectors. excluded: rules hide it
now; rules: what they said of it last, with revision and condition, and which were overruled. Example: select * from vsync.explain_row(''product_search'', ''42'')';

create function vsync_internal.explain_row(embedding name, key jsonb)
returns table (version int, state text, reason text, change_seen_at timestamptz, embedded_at timestamptz, chunks int, content_hash text,
    token bigint, attempts int, model name, model_sha256 text,
    label text, document_sha256 text, captured_at timestamptz, worker int, provenance text, excluded boolean, rules jsonb)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
#variable_conflict use_column
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(explain_row.embedding);
    v_version vsync_internal.versions;
    v_mark vsync_internal.marks;
    v_progress vsync_internal.progress;
    v_revision int;
    v_key text;
    v_unfolded boolean;
    v_held boolean;
begin
    for v_version in select * from vsync_internal.versions as v where v.embedding = v_embedding.name and v.state <> 'dropped' order by v.version loop
        v_key := vsync_internal.key_of(v_version.keys, explain_row.key);
        select * into v_progress from vsync_internal.progress as p where p.version_id = v_version.id;
        select * into v_mark from vsync_internal.marks as m where m.version_id = v_version.id and m.key = v_key;
        v_unfolded := v_mark.key is null and v_key = any (vsync_internal.stale_keys(v_version.id, array[v_key]));
        version := v_version.version;
        label := v_version.label;
        document_sha256 := vsync_internal.fingerprint(v_version);
        select m.name, m.sha256, m.revision into model, model_sha256, v_revision from vsync_internal.models as m where m.id = v_version.model_id;
        execute format('select max(v.embedded_at), coalesce(count(*), 0)::int, max(encode(v.document_hash, ''hex'')) filter (where v.chunk = 0), max(v.token), max(v.captured_at), max(v.worker) '
            'from vsync_data.%I as v, (select %s) as k where %s', v_version.data, vsync_internal.key_values(v_version.keys, '$1'),
            vsync_internal.key_list(v_version.keys, 'v.%1$I = k.%1$I', ' and '))
        into embedded_at, chunks, content_hash, token, captured_at, worker using v_key;
        provenance := case when chunks > 0 then format('%s of version %s (%s) by model %s, revision %s, sha256 %s; text with sha256 %s, from the document query '
            'with sha256 %s; changed at %s, embedded at %s by worker %s under claim %s', case chunks when 1 then '1 chunk' else chunks || ' chunks' end,
            version, label, model, v_revision, model_sha256, content_hash, document_sha256, captured_at, embedded_at, worker, token) end;
        change_seen_at := coalesce(v_mark.captured_at, captured_at);
        attempts := coalesce(v_mark.attempts, 0);
        token := coalesce(v_mark.token, token);
        excluded := v_key = any (vsync_internal.excluded_keys(v_version.id, array[v_key]));
        rules := vsync_internal.last_decisions(v_version.id, v_key);
        v_held := coalesce(v_mark.attempts = 0 and v_mark.due_at is not null and v_mark.verdict is not null, false);
        state := case when v_progress.broken is not null then 'broken' when v_held then 'held' when v_mark.due_at = 'infinity' then 'parked'
            when v_mark.attempts > 0 then 'retrying' when v_mark.token is not null then 'working' when v_mark.key is not null or v_unfolded then 'stale'
            when chunks > 0 then 'fresh' else 'absent' end;
        reason := case state
            when 'broken' then v_progress.broken
            when 'held' then vsync_internal.held_because(v_mark)
            when 'parked' then format('failed %s times and is parked until its row changes or select vsync.retry(%L, %L): %s',
                v_mark.attempts, v_embedding.name, explain_row.key, v_mark.error ->> 'message')
            when 'retrying' then format('failed %s times, next attempt at %s: %s', v_mark.attempts, v_mark.due_at, v_mark.error ->> 'message')
            when 'working' then format('a worker claimed it with token %s', v_mark.token)
            when 'stale' then case when v_unfolded then 'a committed change is in the log and not folded yet'
                else 'a change is marked and waits for a worker' end
            when 'fresh' then 'no change since its text was embedded'
            else case when v_progress.phase = 'root' then 'the backfill has not finished'
                else 'the document query returns no text for this key' end end
            || case when state in ('stale', 'retrying') and v_progress.retry_at > clock_timestamp() and v_progress.last_error is not null
                then ' (left alone for a while: ' || v_progress.last_error || ')' else '' end;
        return next;
    end loop;
end
$$;
comment on function vsync_internal.explain_row(name, jsonb) is 'the rows of vsync.explain_row()';
