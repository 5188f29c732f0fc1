create view vsync.activations as
select a.embedding, a.version, a.previous, a.action, a.forced, a.figures, a.at, a.by, v.label, w.label as previous_label
from vsync_internal.activations as a
left join vsync_internal.versions as v on v.embedding = a.embedding and v.version = a.version
left join vsync_internal.versions as w on w.embedding = a.embedding and w.version = a.previous;
comment on view vsync.activations is 'Which version was served from when: created, activated or rolled back, by whom, whether forced past the gate, with the gate''s figures.
Example: select at, version, action, by from vsync.activations where embedding = ''product_search'' order by at';

create function vsync_internal.coverage(version vsync_internal.versions, counted boolean)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_failed bigint := (select count(*) from vsync_internal.marks as m where m.version_id = version.id and m.attempts > 0);
    v_waiting bigint := (select count(*) from vsync_internal.marks as m where m.version_id = version.id
        and (m.attempts > 0 or m.lane > 0 and (m.verdict is null or m.due_at is distinct from m.held_until)));
    v_vectors bigint;
    v_documents bigint;
    v_missing bigint;
begin
    -- counting a million documents takes longer than a switch may: the cursor tells when nothing is left
    if v_waiting = 0 and (select p.phase = 'done' from vsync_internal.progress as p where p.version_id = version.id)
        and not exists (select from vsync_internal.pages as p where p.version_id = version.id) then
        return '{"coverage": 1, "missing": 0, "failed": 0}';
    end if;
    v_documents := case when counted then vsync_internal.call_count(version.data, vsync_internal.ticket(version.data))
        else coalesce(vsync_internal.expected_documents(version), 0) end;
    -- what rules hold back lacks nothing
    execute format('select count(*) + (select count(*) from vsync_internal.marks as m cross join lateral (select %1$s) as k '
        'where m.version_id = $1 and m.verdict is not null and m.due_at = m.held_until and m.attempts = 0 '
        'and not exists (select from vsync_data.%2$I as v where %3$s and v.chunk = 0)) from vsync_data.%2$I as v where v.chunk = 0',
        vsync_internal.key_values(version.keys, 'm.key'), version.data, vsync_internal.key_list(version.keys, 'v.%1$I = k.%1$I', ' and '))
    into v_vectors using version.id;
    v_missing := greatest(v_documents - v_vectors, v_waiting);
    return jsonb_build_object('coverage', trunc(greatest(0, 1 - v_missing / greatest(v_documents, 1)::numeric), 4), 'missing', v_missing, 'failed', v_failed);
end
$$;
comment on function vsync_internal.coverage(vsync_internal.versions, boolean) is
'the figures of the gate: coverage (share of the documents whose vectors are as far as is known those of their text), missing, failed. counted: by
the document query, which may take long; an estimate otherwise';

create function vsync_internal.check_gate(embedding vsync_internal.embeddings, version vsync_internal.versions, counted boolean)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_gate jsonb := '{"coverage": 1}'::jsonb || coalesce(embedding.options -> 'gate', '{}');
    v_figures jsonb := vsync_internal.coverage(version, counted);
    v_broken text := (select p.broken from vsync_internal.progress as p where p.version_id = version.id);
    v_overlap numeric;
    v_ndcg numeric;
begin
    if v_gate ? 'overlap' then
        select (c.figures ->> 'overlap')::numeric into v_overlap from vsync_internal.comparisons as c
        where c.embedding = embedding.name and c.versions @> array[version.version, (vsync_internal.serving_version(embedding.name)).version]
        order by c.at desc limit 1;
        v_figures := v_figures || jsonb_build_object('overlap', v_overlap);
    end if;
    if v_gate ? 'ndcg' then
        select (c.figures #>> array['ndcg', version.version::text])::numeric into v_ndcg from vsync_internal.comparisons as c
        where c.embedding = embedding.name and c.figures -> 'ndcg' ? version.version::text order by c.at desc limit 1;
        v_figures := v_figures || jsonb_build_object('ndcg', v_ndcg);
    end if;
    return v_figures || jsonb_build_object('refused', coalesce((select string_agg(r.reason, '; ') from (values
        (format('it is broken: %s', v_broken), v_broken is not null),
        ('it stopped following changes', not version.following),
        ('it is paused', version.paused),
        ('it is still catching up', version.retired_at is not null and version.state = 'building'),
        (format('coverage is %s of %s (%s documents lack vectors)', v_figures ->> 'coverage', v_gate ->> 'coverage', v_figures ->> 'missing'),
            (v_figures ->> 'coverage')::numeric < (v_gate ->> 'coverage')::numeric),
        (format('%s documents failed', v_figures ->> 'failed'), (v_figures ->> 'failed')::bigint > 0),
        ('its index is not built yet', version.index ->> 'type' <> 'none' and not vsync_internal.has_index(version)),
        (case when v_overlap is null then format('it was not compared with the active version, and an overlap of %s is asked for', v_gate ->> 'overlap')
            else format('overlap at k is %s of %s', v_overlap, v_gate ->> 'overlap') end,
            v_gate ? 'overlap' and coalesce(v_overlap < (v_gate ->> 'overlap')::numeric, true)),
        (case when v_ndcg is null then format('it was not compared by judged queries, and an nDCG of %s is asked for', v_gate ->> 'ndcg')
            else format('nDCG at k is %s of %s', v_ndcg, v_gate ->> 'ndcg') end,
            v_gate ? 'ndcg' and coalesce(v_ndcg < (v_gate ->> 'ndcg')::numeric, true))) as r (reason, applies)
        where r.applies), ''));
end
$$;
comment on function vsync_internal.check_gate(vsync_internal.embeddings, vsync_internal.versions, boolean) is
'whether a version may be served: the figures, and in "refused" what speaks against it, empty where nothing does';

create function vsync_internal.serve(embedding vsync_internal.embeddings, version vsync_internal.versions, action text, forced boolean, figures jsonb)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_previous vsync_internal.versions := vsync_internal.serving_version(embedding.name);
begin
    perform vsync_internal.end_experiment(embedding.name);
    -- one row: readers wait for nothing, and each statement sees one version under its own snapshot
    update vsync_internal.serving as s set version = version.version where s.embedding = embedding.name;
    update vsync_internal.versions as v set state = 'retired', retired_at = clock_timestamp(), retired_xid = pg_current_xact_id() where v.id = v_previous.id;
    if vsync_internal.follow_again(version) then
        raise notice 'version % of "%" follows changes again, and is behind until a worker has caught up', version.version, embedding.name;
    end if;
    update vsync_internal.versions as v set state = 'active', retired_at = null, retired_xid = null where v.id = version.id;
    insert into vsync_internal.activations (embedding, version, previous, action, forced, figures)
    values (embedding.name, version.version, v_previous.version, serve.action, serve.forced, serve.figures);
    return version.version;
end
$$;
comment on function vsync_internal.serve(vsync_internal.embeddings, vsync_internal.versions, text, boolean, jsonb) is
'switches to a version, which follows changes again where it did not, and writes it down; returns its number';

create function vsync.activate_version(embedding name, version int, force boolean default false)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_owner(e.owner, format('activate a version of "%s"', e.name)) from vsync.embeddings as e where e.name = activate_version.embedding;
    return vsync_internal.activate_version(embedding, version, force);
end
$$;
comment on function vsync.activate_version(name, int, boolean) is
'Serves a version from the next statement on: one row changes, and no reader waits or sees two versions. Refused while documents lack vectors or
failed, or where options.gate asks for more, unless forced; both are kept in vsync.activations. Returns the version.
Example: select vsync.activate_version(''product_search'', 2)';

create function vsync_internal.activate_version(embedding name, version int, force boolean)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_version vsync_internal.versions;
    v_figures jsonb;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('activate a version of "%s"', embedding));
    perform vsync_internal.lock_row('embedding', embedding);
    v_version := vsync_internal.find_version(embedding, version);
    if v_version.id = (vsync_internal.serving_version(embedding)).id then
        raise notice 'version % of "%" is active already', version, embedding;
        return version;
    end if;
    -- forced it must work in an emergency: nothing that could take long, and no code of the owner's
    v_figures := vsync_internal.check_gate(v_embedding, v_version, not coalesce(force, false));
    if v_figures ->> 'refused' <> '' and not coalesce(force, false) then
        raise exception using
            errcode = 'VS402',
            message = format('version %s of "%s" is not fit to be served', version, embedding),
            detail = v_figures ->> 'refused',
            hint = case when v_version.following and not v_version.paused then format('call vsync.work(); select vsync.retry(%L); or select vsync.activate_version(%L, %s, force => true)',
                embedding, embedding, version) else format('select vsync.resume_version(%L, %s)', embedding, version) end;
    end if;
    return vsync_internal.serve(v_embedding, v_version, 'activate', v_figures ->> 'refused' <> '', v_figures);
end
$$;
comment on function vsync_internal.activate_version(name, int, boolean) is 'the gate, then the switch';

create function vsync_internal.rollback_target(embedding name)
returns int
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select a.previous from vsync_internal.activations as a
    join vsync_internal.versions as v on v.embedding = a.embedding and v.version = a.previous and v.state = 'retired'
    where a.id = (select max(b.id) from vsync_internal.activations as b where b.embedding = rollback_target.embedding) and a.action = 'activate'
$$;
comment on function vsync_internal.rollback_target(name) is 'the version that was served before the last activation, null where there is none';

create function vsync.rollback_version(embedding name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_owner(e.owner, format('roll "%s" back', e.name)) from vsync.embeddings as e where e.name = rollback_version.embedding;
    return vsync_internal.rollback_version(embedding);
end
$$;
comment on function vsync.rollback_version(name) is
'Serves the version again that was served before the last activation. It has followed every change since, so nothing is embedded and nothing
is stale; after options.rollback_window (7 days) it is refused. Returns the version. Example: select vsync.rollback_version(''product_search'')';

create function vsync_internal.rollback_version(embedding name)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_version vsync_internal.versions;
    v_target int;
    v_broken text;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('roll "%s" back', embedding));
    perform vsync_internal.lock_row('embedding', embedding);
    v_target := vsync_internal.rollback_target(embedding);
    if v_target is null then
        raise exception using
            errcode = 'VS403',
            message = format('there is nothing to roll "%s" back to', embedding),
            detail = 'No version was served before this one, or it was rolled back to already, or it is dropped.',
            hint = format('select at, version, previous, action from vsync.activations where embedding = %L order by at', embedding);
    end if;
    v_version := vsync_internal.find_version(embedding, v_target);
    if not v_version.following then
        raise exception using
            errcode = 'VS403',
            message = format('version %s of "%s" follows changes no more', v_target, embedding),
            detail = format('It was retired at %s; its rollback window is over.', v_version.retired_at),
            hint = format('select vsync.resume_version(%L, %s), which brings it up to date; then activate it', embedding, v_target);
    end if;
    if v_version.paused then
        raise exception using
            errcode = 'VS403',
            message = format('version %s of "%s" is paused', v_target, embedding),
            detail = 'Changes wait for it.',
            hint = format('select vsync.resume_version(%L, %s)', embedding, v_target);
    end if;
    v_broken := (select p.broken from vsync_internal.progress as p where p.version_id = v_version.id);
    if v_broken is not null then
        raise exception using
            errcode = 'VS403',
            message = format('version %s of "%s" is broken', v_target, embedding),
            detail = v_broken,
            hint = format('select vsync.activate_version(%L, %s, force => true), which serves it as it was last', embedding, v_target);
    end if;
    -- counts nothing that could take long or fail: it must work in an emergency
    return vsync_internal.serve(v_embedding, v_version, 'rollback', false, jsonb_build_object('waiting',
        (select count(*) from vsync_internal.marks as m where m.version_id = v_version.id)));
end
$$;
comment on function vsync_internal.rollback_version(name) is 'switches back';

create function vsync_internal.version_at(embedding name, at timestamptz)
returns int
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select a.version from vsync_internal.find_embedding(version_at.embedding) as e
    join vsync_internal.activations as a on a.embedding = e.name and a.at <= version_at.at order by a.at desc, a.id desc limit 1
$$;
comment on function vsync_internal.version_at(name, timestamptz) is 'the version served at a time';

create function vsync.version_at(embedding name, at timestamptz)
returns int
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.version_at(embedding, at) $$;
comment on function vsync.version_at(name, timestamptz) is
'The version that was served at a time, null before the embedding was created. Example: select vsync.version_at(''product_search'', now() - interval ''1 day'')';
