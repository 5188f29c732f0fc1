create function vsync_internal.create_embedding(
    name name, document text, model_id int, capture text, chunk jsonb, index jsonb, options jsonb, stage name)
returns name
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owner name := vsync_internal.stage_owner(stage);
    v_analysis jsonb;
    v_root regclass;
    v_schema name;
begin
    perform vsync_internal.require_owner(v_owner, 'create this embedding');
    perform vsync_internal.check_new_embedding(name, document, capture, index, options, false);
    perform vsync_internal.notice_long_name(name);
    v_analysis := vsync_internal.own_analysis(
        vsync_internal.take_from_stage(stage, vsync_internal.data_name(name, 1)), coalesce(options, '{}'));
    if chunk is not null then
        perform vsync_internal.check_object(chunk, 'chunk');
        perform vsync_internal.raise_if_error(vsync_internal.check_chunk(chunk, vsync_internal.model_spec(model_id)));
    end if;
    v_root := (v_analysis ->> 'root_oid')::oid::regclass;
    perform vsync_internal.check_rights(v_root, v_owner, vsync_internal.relations_of(v_analysis));
    select n.nspname into v_schema from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.oid = v_root;
    if to_regclass(format('%I.%I', v_schema, name)) is not null then
        raise exception using
            errcode = 'VS301',
            message = format('relation "%s.%s" already exists', v_schema, name),
            detail = 'The serving view of an embedding has its name and stands beside the root table.',
            hint = 'Choose another name for the embedding.';
    end if;
    if not exists (select from vsync_internal.models as m where m.id = model_id) then
        raise exception using
            errcode = 'VS101',
            message = 'the model does not exist',
            detail = format('No model has the number %s.', model_id),
            hint = 'select * from vsync.models';
    end if;
    perform vsync_internal.sign();
    insert into vsync_internal.embeddings (name, root, owner, capture, options)
    values (name, v_root, v_owner, capture, coalesce(options, '{}'));
    perform vsync_internal.create_version(name, 1, model_id, document, chunk, index, 'active', v_analysis, v_owner);
    insert into vsync_internal.serving values (name, 1);
    insert into vsync_internal.activations (embedding, version, action) values (name, 1, 'create');
    perform vsync_internal.replace_view(name);
    -- in one order, whoever else captures the same tables
    perform vsync_internal.sync_capture(d.relation) from (
        select distinct d.relation from vsync_internal.dependencies as d join vsync_internal.versions as v on v.id = d.version_id
        where v.embedding = create_embedding.name order by 1) as d;
    perform vsync_internal.let_readers_run(v_owner);
    perform vsync_internal.notice_missing_worker(name);
    return name;
end
$$;
comment on function vsync_internal.create_embedding(name, text, int, text, jsonb, jsonb, jsonb, name) is
'makes what the creator''s rights are not needed for: configuration, vector table, serving view, capture';

create function vsync_internal.own_analysis(document regclass, options jsonb)
returns jsonb
language sql
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.raise_if_error(vsync_internal.analyse_document(vsync_internal.document_catalog(document, options))) -> 'document' $$;
comment on function vsync_internal.own_analysis(regclass, jsonb) is
'the analysis of a stored document, made here: it becomes SQL that runs with our rights, so a caller''s is not believed';

create function vsync_internal.relations_of(analysis jsonb)
returns regclass[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select array(select distinct (d ->> 'relation_oid')::oid::regclass from jsonb_array_elements(analysis -> 'dependencies') as d order by 1) $$;
comment on function vsync_internal.relations_of(jsonb) is 'the tables that an analysed document depends on, beside its root';

create function vsync_internal.create_version(
    embedding name, version int, model_id int, document text, chunk jsonb, index jsonb, state text, analysis jsonb, owner name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_data name := vsync_internal.data_name(embedding, version);
    v_keys jsonb := analysis -> 'keys';
    v_dimensions int := (select m.dimensions from vsync_internal.models as m where m.id = model_id);
    v_index jsonb := '{"type": "hnsw", "distance": "cosine"}'::jsonb || index;
    v_id int;
begin
    perform vsync_internal.check_dimensions(v_index, model_id);
    if vsync_internal.is_restored() then
        perform vsync_internal.raise_sequences();
    end if;
    perform vsync_internal.make_vectors(v_data, v_keys, v_dimensions);
    execute format('comment on table vsync_data.%I is %L', v_data, format('vectors of version %s of embedding %s', version, embedding));
    insert into vsync_internal.versions (embedding, version, label, model_id, document, keys, chunk, index, state, data)
    values (embedding, version, vsync_internal.label(embedding, model_id), model_id, document, v_keys, chunk, v_index, state, v_data)
    returning id into v_id;
    insert into vsync_internal.progress (version_id) values (v_id);
    perform vsync_internal.add_version_locks(v_id);
    perform vsync_internal.put_dependencies(v_id, analysis);
    perform vsync_internal.record_names(v_id);
    perform vsync_internal.store_document(v_id);
    perform vsync_internal.put_policy(v) from vsync_internal.versions as v where v.id = v_id;
    perform vsync_internal.give(vsync_internal.reader_ddl(v_keys, v_data), owner);
    return v_id;
end
$$;
comment on function vsync_internal.create_version(name, int, int, text, jsonb, jsonb, text, jsonb, name) is
'makes a version''s vector table with its policy, its readers, and its row; returns its id';

create function vsync_internal.make_vectors(data name, keys jsonb, dimensions int)
returns name
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('create table vsync_data.%1$I (%2$s, chunk int not null, chunks int not null, content text not null, content_hash bytea not null, '
        'document_hash bytea not null, embedding %3$I.vector(%4$s) not null, attributes jsonb, made_from bytea, truncated boolean not null, token bigint not null, '
        'captured_at timestamptz not null, embedded_at timestamptz not null, worker int not null, primary key (%5$s, chunk)) with (fillfactor = 90)',
        data, (select string_agg(format('%I %s%s not null', k ->> 'output', k ->> 'type',
            coalesce(' collate ' || nullif(k ->> 'collation', ''), '')), ', ' order by i)
            from jsonb_array_elements(keys) with ordinality as e (k, i)),
        vsync_internal.vector_schema(), dimensions, vsync_internal.key_list(keys, '%1$I'));
    execute format('create index on vsync_data.%I (content_hash)', data);
    -- beside its row while both fit a page
    execute format('alter table vsync_data.%I alter column embedding set storage %s', data,
        case when dimensions <= 1500 then 'plain' else 'external' end);
    execute format('alter table vsync_data.%I enable row level security', data);
    -- attributes are for rules, and made_from is of the root's policies: of who may read the root not everybody may read every column
    execute format('grant select (%s) on vsync_data.%I to public', (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute as a
        where a.attrelid = format('vsync_data.%I', data)::regclass and a.attnum > 0 and a.attname not in ('attributes', 'made_from')), data);
    return data;
end
$$;
comment on function vsync_internal.make_vectors(name, jsonb, int) is 'makes a vector table, whose rows nobody sees yet';

create function vsync_internal.has_view(embedding name)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from vsync_internal.embeddings as e
        join pg_class as r on r.oid = e.root
        join pg_class as w on w.relname = e.name and w.relnamespace = r.relnamespace and w.relkind = 'v'
        join pg_rewrite as q on q.ev_class = w.oid
        join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = q.oid and d.refobjid = 'vsync_internal.serving'::regclass
        where e.name = has_view.embedding)
$$;
comment on function vsync_internal.has_view(name) is 'whether an embedding has its serving view beside its root';

create function vsync_internal.replace_view(embedding name)
returns name
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s' -- behind us wait all who read the view from now on
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_schema name := (select n.nspname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.oid = v_embedding.root);
    v_branches text;
    v_hidden text := '';
begin
    if vsync_internal.excluding(embedding) <> '{}' then
        -- there is nothing to tell versions apart by but the number: a branch with a filter of its own loses its index
        select format(' and not case u.version %s end', string_agg(
            format('when %s then vsync_data.%I(%s)', v.version, v.data || '_hides', vsync_internal.key_list(v.keys, 'u.%1$I')), ' ' order by v.version))
        into v_hidden
        from vsync_internal.versions as v where v.embedding = replace_view.embedding and v.state <> 'dropped';
    end if;
    select string_agg(format('select %s, v.chunk, v.content, v.embedding::%I.vector as embedding, %s as version, v.embedded_at from vsync_data.%I as v',
        vsync_internal.key_list(v.keys, 'v.%1$I'), vsync_internal.vector_schema(), v.version, v.data), ' union all ' order by v.version)
    into v_branches
    from vsync_internal.versions as v where v.embedding = replace_view.embedding and v.state <> 'dropped';
    -- outside the union: the planner then merges the branches' indexes and runs one of them
    execute format('create or replace view %I.%I with (security_invoker = true) as select u.* from (%s) as u '
        'where u.version = (select s.version from vsync_internal.serving as s where s.embedding = %L)%s',
        v_schema, embedding, v_branches, embedding, v_hidden);
    execute format('alter view %I.%I owner to %I', v_schema, embedding, v_embedding.owner);
    execute format('grant select on %I.%I to vsync_reader', v_schema, embedding);
    execute format('comment on view %I.%I is %L', v_schema, embedding, format('vectors of embedding %s, kept fresh by vsync', embedding));
    return embedding;
end
$$;
comment on function vsync_internal.replace_view(name) is 'builds the serving view from the live versions';
