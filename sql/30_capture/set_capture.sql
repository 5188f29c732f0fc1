create function vsync_internal.check_capture(capture text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if capture is null or capture not in ('trigger', 'wal', 'manual') then
        raise exception using
            errcode = 'VS001',
            message = 'unknown capture mode',
            detail = format('Given: %s', coalesce(capture, 'null')),
            hint = 'Use capture => ''trigger'', ''wal'' to read changes from a logical slot, or ''manual'' where only vsync.refresh() marks.';
    end if;
    return capture;
end
$$;
comment on function vsync_internal.check_capture(text) is 'refuses what is no capture mode';

create function vsync.set_capture(embedding name, capture text)
returns name
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_facts record;
begin
    perform vsync_internal.require_primary();
    perform vsync_internal.check_capture(capture);
    select * into v_facts from vsync_internal.capture_facts(embedding);
    perform vsync_internal.require_owner(v_facts.owner, format('change the capture of "%s"', embedding));
    if capture <> 'manual' then
        perform vsync_internal.check_trigger_rights(v_facts.owner, array(
            select (d ->> 'relation_oid')::oid::regclass from jsonb_array_elements(v_facts.dependencies) as d));
    end if;
    if capture = 'wal' then
        perform vsync_internal.check_wal(v_facts.root, v_facts.dependencies, v_facts.options);
    end if;
    return vsync_internal.set_capture(embedding, capture);
end
$$;
comment on function vsync.set_capture(name, text) is
'Changes how an embedding learns of changes: trigger, wal (a worker makes the slot), or manual. Nothing is lost on the way: every document is compared
afterwards, and unchanged text is not embedded again. Waits for writers of its tables. Returns the name.
Example: select vsync.set_capture(''product_search'', ''wal'')';

create function vsync_internal.capture_facts(embedding name, out owner name, out capture text, out root regclass, out dependencies jsonb, out options jsonb)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
begin
    owner := v_embedding.owner;
    capture := v_embedding.capture;
    root := v_embedding.root;
    options := v_embedding.options;
    dependencies := (select jsonb_agg(jsonb_build_object('relation_oid', d.relation::oid, 'keys', d.keys) order by d.version_id, d.number)
        from vsync_internal.dependencies as d join vsync_internal.versions as v on v.id = d.version_id
        where v.embedding = capture_facts.embedding and v.state <> 'dropped');
end
$$;
comment on function vsync_internal.capture_facts(name) is 'what has to be checked before an embedding''s capture changes';

create function vsync_internal.set_capture(embedding name, capture text)
returns name
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_embedding vsync_internal.embeddings;
    v_ids int[];
    v_relations regclass[];
    v_relation regclass;
begin
    perform vsync_internal.begin_own_ddl();
    perform vsync_internal.require_owner((vsync_internal.find_embedding(embedding)).owner, format('change the capture of "%s"', embedding));
    perform vsync_internal.lock_row('embedding', embedding);
    v_embedding := vsync_internal.find_embedding(embedding);
    perform vsync_internal.require_owner(v_embedding.owner, format('change the capture of "%s"', embedding));
    if v_embedding.capture = capture then
        return embedding;
    end if;
    v_ids := array(select v.id from vsync_internal.versions as v where v.embedding = set_capture.embedding and v.state <> 'dropped');
    v_relations := array(select distinct d.relation from vsync_internal.dependencies as d where d.version_id = any (v_ids) order by 1);
    -- a writer's transaction is captured as a whole by the old or by the new mode
    foreach v_relation in array v_relations loop
        execute format('lock table %s in access exclusive mode', v_relation);
    end loop;
    update vsync_internal.embeddings as e set capture = set_capture.capture where e.name = embedding;
    update vsync_internal.dependencies as d set feed_id = null where d.version_id = any (v_ids);
    perform vsync_internal.sync_capture(r) from unnest(v_relations) as r;
    -- what the old mode had captured and nobody has folded yet
    update vsync_internal.progress as p set phase = 'root', after_key = null, restarts = p.restarts + 1 where p.version_id = any (v_ids);
    return embedding;
end
$$;
comment on function vsync_internal.set_capture(name, text) is 'changes the feeds that an embedding listens to, and has every document compared';
