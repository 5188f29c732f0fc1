-- As create_embedding: the document is its author's, with the author's search_path.
create function vsync.add_version(
    embedding name, model name default null, document text default null, chunk jsonb default null, options jsonb default '{}')
returns int
language plpgsql
as $$
declare
    v_author pg_catalog.name := vsync_internal.require_author(embedding, current_user);
    v_plan pg_catalog.jsonb := vsync_internal.plan_version(embedding, model, document, chunk, options);
    v_version pg_catalog.int4 := (v_plan operator(pg_catalog.->>) 'version')::pg_catalog.int4;
    v_stage pg_catalog.name := vsync_internal.open_stage(current_user);
    v_analysis pg_catalog.jsonb := vsync_internal.declare_document(
        vsync_internal.data_name(embedding, v_version), v_stage, v_plan operator(pg_catalog.->>) 'document', v_plan operator(pg_catalog.->) 'options');
begin
    perform vsync_internal.check_wal(f.root, v_analysis operator(pg_catalog.->) 'dependencies', f.options)
    from vsync_internal.capture_facts(embedding) as f where f.capture operator(pg_catalog.=) 'wal';
    return vsync_internal.add_version(embedding, model, document, chunk, options, v_stage);
end
$$;
comment on function vsync.add_version(name, name, text, jsonb, jsonb) is
'Adds a version beside the active one: its own table, index and backfill; every change reaches both. What is null is as in the active
version; chunk => ''null'' (JSON) is one chunk a document; options: {"index": {…}} as in create_embedding. Returns its number; serve it with activate_version.
Example: select vsync.add_version(''product_search'', model => ''bge-small'')';

create function vsync_internal.require_author(embedding name, caller name)
returns name
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('add a version to "%s"', embedding));
    if caller <> v_embedding.owner then
        raise exception using
            errcode = 'VS002',
            message = format('only "%s" itself may add a version to "%s"', v_embedding.owner, embedding),
            detail = format('The document is tried when it is declared, and what its owner wrote would run with the rights of "%s".', caller),
            hint = format('Connect as "%s".', v_embedding.owner);
    end if;
    return caller;
end
$$;
comment on function vsync_internal.require_author(name, name) is
'refuses to declare a document in the session of anybody but the owner, whose code runs there';

create function vsync_internal.plan_version(embedding name, model name, document text, chunk jsonb, options jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_base vsync_internal.versions := vsync_internal.serving_version(embedding);
    v_model vsync_internal.models;
    v_index jsonb;
    v_chunk jsonb := case when chunk is null then v_base.chunk when chunk = 'null' then null else chunk end;
begin
    perform vsync_internal.require_primary();
    perform vsync_internal.require_owner(v_embedding.owner, format('add a version to "%s"', embedding));
    perform vsync_internal.check_options(options, '{index}', 'options');
    -- one at a time: the next number
    perform vsync_internal.lock_row('embedding', embedding);
    if model is null then
        select * into v_model from vsync_internal.models as m where m.id = v_base.model_id;
    else
        v_model := vsync_internal.current_model(model);
    end if;
    v_index := vsync_internal.merge_index(v_base.index, options -> 'index', v_model.id);
    if v_chunk is not null then
        perform vsync_internal.check_object(v_chunk, 'chunk');
        perform vsync_internal.raise_if_error(vsync_internal.check_chunk(v_chunk, v_model.spec));
    end if;
    return jsonb_build_object(
        'version', (select max(v.version) + 1 from vsync_internal.versions as v where v.embedding = v_embedding.name),
        'model_id', v_model.id, 'chunk', v_chunk, 'index', v_index, 'options', v_embedding.options,
        -- as stored, qualified and with the names of today
        'document', coalesce(plan_version.document, v_base.stored ->> 'text'));
end
$$;
comment on function vsync_internal.plan_version(name, name, text, jsonb, jsonb) is 'what a new version will be: number, model, document, chunking, index';

create function vsync_internal.add_version(embedding name, model name, document text, chunk jsonb, options jsonb, stage name)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_base vsync_internal.versions := vsync_internal.serving_version(embedding);
    -- planned again: what the caller brings along is not believed
    v_plan jsonb := vsync_internal.plan_version(embedding, model, document, chunk, options);
    v_version int := (v_plan ->> 'version')::int;
    v_data name := vsync_internal.data_name(embedding, v_version);
    v_owner name := vsync_internal.stage_owner(stage);
    v_analysis jsonb;
    v_id int;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('add a version to "%s"', embedding));
    if v_owner <> v_embedding.owner then
        raise exception using
            errcode = 'VS002',
            message = format('a version of "%s" must be added by its owner', embedding),
            detail = format('The current role is "%s".', v_owner),
            hint = format('set role %I', v_embedding.owner);
    end if;
    v_analysis := vsync_internal.own_analysis(vsync_internal.take_from_stage(stage, v_data), v_embedding.options);
    if (v_analysis ->> 'root_oid')::oid <> v_embedding.root
        or (select jsonb_agg(jsonb_build_array(k -> 'output', k -> 'type') order by i) from jsonb_array_elements(v_analysis -> 'keys') with ordinality as e (k, i))
        <> (select jsonb_agg(jsonb_build_array(k -> 'output', k -> 'type') order by i) from jsonb_array_elements(v_base.keys) with ordinality as e (k, i)) then
        raise exception using
            errcode = 'VS203',
            message = 'the document of a version has another key',
            detail = format('The embedding''s root is %s, its key %s.',
                v_embedding.root, vsync_internal.key_list(v_base.keys, '%1$I')),
            hint = 'Create another embedding for it.';
    end if;
    perform vsync_internal.check_rights(v_embedding.root, v_owner, vsync_internal.relations_of(v_analysis));
    v_id := vsync_internal.create_version(embedding, v_version, (v_plan ->> 'model_id')::int, v_plan ->> 'document',
        nullif(v_plan -> 'chunk', 'null'), v_plan -> 'index', 'building', v_analysis, v_owner);
    perform vsync_internal.admit_rules(v_id);
    perform vsync_internal.replace_view(embedding);
    perform vsync_internal.sync_capture(d.relation) from (
        select distinct d.relation from vsync_internal.dependencies as d where d.version_id = v_id order by 1) as d;
    perform vsync_internal.let_readers_run(v_owner);
    perform vsync_internal.notice_missing_worker(embedding);
    return v_version;
end
$$;
comment on function vsync_internal.add_version(name, name, text, jsonb, jsonb, name) is 'makes what the author''s rights are not needed for: vector table, branch of the view, capture';

create function vsync_internal.label(embedding name, model_id int)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- another model is another vector space
    select case when s.same is null then coalesce(s.major, 0) + 1 || '.0' else s.same || '.' || (
            select max(split_part(v.label, '.', 2)::int) + 1 from vsync_internal.versions as v
            where v.embedding = label.embedding and split_part(v.label, '.', 1)::int = s.same) end
    from (
        select max(split_part(v.label, '.', 1)::int) as major,
            max(split_part(v.label, '.', 1)::int) filter (where m.sha256 = (select n.sha256 from vsync_internal.models as n where n.id = label.model_id)) as same
        from vsync_internal.versions as v join vsync_internal.models as m on m.id = v.model_id
        where v.embedding = label.embedding) as s
$$;
comment on function vsync_internal.label(name, int) is 'the label of a new version: major with another model, minor with another document or chunking';
