-- The caller's search_path resolves the document and the caller's role owns it: no SET and no SECURITY DEFINER here.
create function vsync.create_embedding(
    name name, document text, model name,
    capture text default 'trigger',
    chunk jsonb default null,
    index jsonb default '{"type": "hnsw", "distance": "cosine"}',
    options jsonb default '{}',
    if_not_exists boolean default false)
returns name
language plpgsql
as $$
declare
    v_model vsync_internal.models;
    v_analysis pg_catalog.jsonb;
    v_stage pg_catalog.name;
begin
    if not vsync_internal.check_new_embedding(name, document, capture, index, options, if_not_exists) then
        perform vsync_internal.notice_difference(name, document, model, capture, chunk, index, options);
        return name;
    end if;
    v_model := vsync_internal.current_model(model);
    if chunk is not null then
        perform vsync_internal.check_object(chunk, 'chunk');
        perform vsync_internal.raise_if_error(vsync_internal.check_chunk(chunk, v_model.spec));
    end if;
    v_stage := vsync_internal.open_stage(current_user);
    v_analysis := vsync_internal.declare_document(vsync_internal.data_name(name, 1), v_stage, document, options);
    if capture operator(pg_catalog.=) 'wal' then
        perform vsync_internal.check_wal((v_analysis operator(pg_catalog.->>) 'root_oid')::pg_catalog.oid::pg_catalog.regclass,
            v_analysis operator(pg_catalog.->) 'dependencies', options);
    end if;
    return vsync_internal.create_embedding(name, document, v_model.id, capture, chunk, index, options, v_stage);
end
$$;
comment on function vsync.create_embedding(name, text, name, text, jsonb, jsonb, jsonb, boolean) is
'Declares an embedding: the vectors of every row of a document query are kept fresh and served by a view of this name beside the
root table. The query selects the primary key of its first table, and a text called content; it may join, group and nest (see the reference of
documents): a change of any table it reads refreshes exactly the documents that read it. Returns the name.
capture: trigger, wal (a logical slot, near to no cost for writers), or manual (only vsync.refresh() marks). chunk: {"tokens": 200, "overlap": 20}, null for one chunk a document.
index: type (hnsw, ivfflat, none), distance (cosine, l2, inner_product), m, ef_construction, lists.
Example: select vsync.create_embedding(''product_search'',
    ''select id, title || ''''. '''' || body as content from shop.products where published'', ''minilm'')';

create function vsync_internal.data_name(embedding name, version int)
returns name
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    -- room for _v999999 and _document below 63 bytes, and no collision between names cut short
    select (case when octet_length(embedding::text) <= 45 then embedding::text
        else convert_from(substring(convert_to(regexp_replace(embedding::text, '[^ -~]', '_', 'g'), 'UTF8') from 1 for 36), 'UTF8')
            || '_' || left(md5(embedding::text), 8) end || '_v' || version)::name
$$;
comment on function vsync_internal.data_name(name, int) is 'name of a version''s vector table, and stem of its other objects';

create function vsync_internal.installer()
returns name
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select r.rolname from pg_namespace as n join pg_roles as r on r.oid = n.nspowner where n.nspname = 'vsync_internal' $$;
comment on function vsync_internal.installer() is 'the role that owns vsync''s objects';

create function vsync_internal.renderer()
returns name
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select r.rolname from pg_proc as p join pg_roles as r on r.oid = p.proowner where p.oid = 'vsync_internal.call_render(name,text[],text)'::regprocedure $$;
comment on function vsync_internal.renderer() is 'the role that render functions are called from';

create function vsync_internal.check_new_embedding(name name, document text, capture text, index jsonb, options jsonb, if_not_exists boolean)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_valid boolean;
begin
    perform vsync_internal.require_primary();
    if coalesce(name, '') = '' or document is null then
        raise exception using
            errcode = 'VS001',
            message = 'an embedding needs a name and a document query',
            detail = format('name is %s, document is %s', coalesce(quote_literal(name), 'null'), coalesce(quote_literal(left(document, 60)), 'null')),
            hint = 'See \df+ vsync.create_embedding for an example.';
    end if;
    capture := vsync_internal.check_capture(capture);
    v_valid := vsync_internal.check_embedding_options(options) and vsync_internal.check_index(index);
    begin
        -- serialises creations of one name; the loser then sees the winner's row, and keeps no lock on what is another's
        perform vsync_internal.lock_row('embedding', name) where not exists (
            select from vsync_internal.embeddings as e where e.name = check_new_embedding.name);
        if exists (select from vsync_internal.embeddings as e where e.name = check_new_embedding.name) then
            raise sqlstate 'VS900';
        end if;
    exception when sqlstate 'VS900' then
        null;
    end;
    if exists (select from vsync_internal.embeddings as e where e.name = check_new_embedding.name) then
        if if_not_exists then
            raise notice 'embedding "%" already exists, skipping', name;
            return false;
        end if;
        raise exception using
            errcode = 'VS301',
            message = format('embedding "%s" already exists', name),
            detail = format('It belongs to role "%s".', vsync_internal.owner_of(name)),
            hint = format('Choose another name, or build another version of it: select vsync.add_version(%L, document => …)', name);
    end if;
    perform vsync_internal.sweep(name);
    return true;
end
$$;
comment on function vsync_internal.check_new_embedding(name, text, text, jsonb, jsonb, boolean) is
'refuses bad arguments; false where the embedding exists and that is allowed';

create function vsync_internal.notice_difference(
    name name, document text, model name, capture text, chunk jsonb, index jsonb, options jsonb)
returns text[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(name);
    v_version vsync_internal.versions := vsync_internal.serving_version(name);
    v_model vsync_internal.models;
    v_differences text[];
begin
    select * into v_model from vsync_internal.models as m where m.id = v_version.model_id;
    v_differences := array(
        select format('%s is %s, not %s', d.what, coalesce(left(d.has, 200), 'null'), coalesce(left(d.asked, 200), 'null'))
        from (values
            ('document', regexp_replace(v_version.document, '(\s|;)+$', ''), regexp_replace(notice_difference.document, '(\s|;)+$', '')),
            ('model', v_model.name::text, notice_difference.model::text),
            ('capture', v_embedding.capture, notice_difference.capture),
            ('chunk', v_version.chunk::text, nullif(notice_difference.chunk, 'null')::text),
            ('index', v_version.index::text, ('{"type": "hnsw", "distance": "cosine"}'::jsonb || coalesce(notice_difference.index, '{}'))::text),
            ('options', v_embedding.options::text, coalesce(notice_difference.options, '{}')::text)) as d (what, has, asked)
        where d.has is distinct from d.asked);
    if v_differences <> '{}' then
        raise notice using
            message = format('embedding "%s" has another definition, which stays as it is', name),
            detail = array_to_string(v_differences, '; ') || '.',
            hint = format('Build another version beside it, which embeds only texts that are new: select vsync.add_version(%L, …)', name);
    end if;
    return v_differences;
end
$$;
comment on function vsync_internal.notice_difference(name, text, name, text, jsonb, jsonb, jsonb) is
'tells whoever creates an embedding that exists in what it differs from the definition that was given';

create function vsync_internal.check_readable(document jsonb, data name, stage name)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_message text;
    v_hidden regclass;
    v_warnings text[];
begin
    begin
        set local row_security = off;
        execute format('select from %I.%I limit 0', stage, data || '_document');
        set local row_security = on;
        -- a path leads through the tables behind a view, whose owner reads them for the document but not for it
        v_warnings := vsync_internal.plan_warnings(document, data, stage);
    exception when insufficient_privilege then
        get stacked diagnostics v_message = message_text;
        select r.relation into v_hidden from (
            select (document ->> 'root_oid')::oid::regclass union all
            select (d ->> 'relation_oid')::oid::regclass from jsonb_array_elements(document -> 'dependencies') as d) as r (relation)
        order by has_table_privilege(r.relation, 'select') limit 1;
        raise exception using
            errcode = 'VS002',
            message = 'the document cannot be read by its owner',
            detail = v_message,
            hint = format('grant select on %s to %I', v_hidden, current_user);
    end;
    return v_warnings;
end
$$;
comment on function vsync_internal.check_readable(jsonb, name, name) is 'the creator must be able to read all of the document, and what its paths lead through; returns warnings about the plans';

create function vsync_internal.check_trigger_rights(owner name, relations regclass[])
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_relation regclass;
begin
    foreach v_relation in array relations loop
        if not has_table_privilege(owner, v_relation, 'trigger') then
            raise exception using
                errcode = 'VS002',
                message = format('permission denied for table %s', v_relation),
                detail = 'Capturing its changes needs the privilege TRIGGER.',
                hint = format('grant trigger on %s to %I', v_relation, owner);
        end if;
    end loop;
    return true;
end
$$;
comment on function vsync_internal.check_trigger_rights(name, regclass[]) is 'an embedding''s owner must be allowed to put triggers on what is captured';

create function vsync_internal.check_rights(root regclass, owner name, dependencies regclass[])
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.check_trigger_rights(owner, root || dependencies);
    if not has_schema_privilege(owner, (select c.relnamespace from pg_class as c where c.oid = root), 'create') then
        raise exception using
            errcode = 'VS002',
            message = format('permission denied for the schema of %s', root),
            detail = 'The serving view is created there.',
            hint = format('grant create on schema %s to %I',
                (select c.relnamespace::regnamespace from pg_class as c where c.oid = root), owner);
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_rights(regclass, name, regclass[]) is
'an embedding''s owner must be allowed to capture what the document reads and to create the serving view';
