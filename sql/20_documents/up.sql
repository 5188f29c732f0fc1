-- The way back: the stored document is made a view again, analysed, and captured; every key is looked at, and hashes decide what is embedded.
create function vsync_internal.stored_document(document regclass, root regclass, keys jsonb)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('text', rtrim(pg_get_viewdef(document), ';'),
        'key_numbers', (select jsonb_agg(a.attnum order by i) from jsonb_array_elements(keys) with ordinality as e (k, i)
            join pg_attribute as a on a.attrelid = root and a.attname = k ->> 'column'),
        'relations', (
            select jsonb_object_agg(c.oid, jsonb_build_object('schema', n.nspname, 'name', c.relname, 'columns', (
                select jsonb_object_agg(a.attnum, a.attname) from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)))
            from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where c.oid in (select d.refobjid from pg_depend as d join pg_rewrite as w on w.oid = d.objid
                where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and w.ev_class = document and d.refobjid <> document)))
$$;
comment on function vsync_internal.stored_document(regclass, regclass, jsonb) is 'what versions.stored keeps of a document''s view';

create function vsync_internal.store_document(version_id int)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update vsync_internal.versions as v set stored = s.stored
    from (select w.id, vsync_internal.stored_document(format('vsync_data.%I', w.data || '_document')::regclass, e.root, w.keys) as stored
        from vsync_internal.versions as w join vsync_internal.embeddings as e on e.name = w.embedding where w.id = store_document.version_id) as s
    where v.id = s.id and v.stored is distinct from s.stored;
    return found;
end
$$;
comment on function vsync_internal.store_document(int) is 'keeps a version''s document as its view is now; returns whether it is another';

create function vsync_internal.is_plain(document text, options jsonb)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select not options ? 'depends_on' and document !~ '''::("([^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)\.' $$;
comment on function vsync_internal.is_plain(text, jsonb) is
'whether a stored document may be parsed by somebody else than its owner: a literal of a type from outside pg_catalog may run its owner''s code';

create function vsync_internal.shape(version_id int)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select md5(string_agg(concat_ws(' ', c.oid, c.relnamespace, c.relname, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation), ',' order by c.oid, a.attnum))
    from (select distinct d.relation from vsync_internal.dependencies as d where d.version_id = shape.version_id) as d
    join pg_class as c on c.oid = d.relation
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
$$;
comment on function vsync_internal.shape(int) is 'what the tables of a document look like: another one says that they were altered';

create function vsync_internal.definition(version vsync_internal.versions)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select version.stored ->> 'text' $$;
comment on function vsync_internal.definition(vsync_internal.versions) is 'a version''s document query, with the names of today';

create function vsync_internal.put_up(version_id int, stage name default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
set client_min_messages = 'warning' -- of what is not there to be dropped nobody is told
set lock_timeout = '1s'
as $$
declare
    v_version vsync_internal.versions := (select v from vsync_internal.versions as v where v.id = put_up.version_id);
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(v_version.embedding);
    v_view text := format('vsync_data.%I', v_version.data || '_document');
    v_text text := vsync_internal.definition(v_version);
    v_analysis jsonb;
    v_root regclass;
    v_relation regclass;
    v_before oid[] := array(select distinct d.relation::oid from vsync_internal.dependencies as d where d.version_id = put_up.version_id);
begin
    perform vsync_internal.begin_own_ddl();
    -- tables before progress, as everywhere
    for v_relation in
        select c.oid from pg_class as c where c.oid = any (v_before) or c.oid = to_regclass(format('vsync_data.%I', v_version.data)) order by 1
    loop
        execute format('lock table %s in access share mode', v_relation);
    end loop;
    -- a worker and whoever repairs by hand meet here
    perform from vsync_internal.progress as p where p.version_id = put_up.version_id for update;
    if not vsync_internal.is_down(version_id) then
        return false;
    end if;
    execute format('drop view if exists %s', v_view);
    if stage is not null then
        perform vsync_internal.take_from_stage(stage, v_version.data);
    elsif vsync_internal.is_plain(v_text, v_embedding.options) then
        perform vsync_internal.give_view(vsync_internal.create_document(v_version), v_embedding.owner);
    else
        raise exception using
            errcode = 'VS303',
            message = format('the document of "%s" must be read by its owner', v_embedding.name),
            detail = 'It declares what it depends on, or has a literal of a type whose input may run code.',
            hint = format('set role %I; select vsync.repair_embedding(%L)', v_embedding.owner, v_embedding.name);
    end if;
    v_analysis := vsync_internal.own_analysis(v_view::regclass, v_embedding.options);
    v_root := (v_analysis ->> 'root_oid')::oid::regclass;
    if v_root <> v_embedding.root and exists (select from pg_class as c where c.oid = v_embedding.root)
        or (select array_agg(k ->> 'output' order by i) from jsonb_array_elements(v_analysis -> 'keys') with ordinality as e (k, i))
        is distinct from (select array_agg(k ->> 'output' order by i) from jsonb_array_elements(v_version.keys) with ordinality as e (k, i)) then
        raise exception using
            errcode = 'VS203',
            message = format('the document of "%s" has another key now', v_embedding.name),
            detail = format('Its root is %s, its key %s.', v_root, vsync_internal.key_list(v_analysis -> 'keys', '%1$I')),
            hint = 'Give root and key their old names, or create another embedding and drop this one after it.';
    end if;
    perform vsync_internal.check_rights(v_root, v_embedding.owner, vsync_internal.relations_of(v_analysis));
    perform vsync_internal.check_columns(v_view::regclass, v_embedding.owner);
    update vsync_internal.embeddings as e set root = v_root where e.name = v_embedding.name and e.root <> v_root;
    if vsync_internal.key_types(v_analysis -> 'keys') <> vsync_internal.key_types(v_version.keys) then
        perform vsync_internal.rekey(v_embedding.name, v_analysis -> 'keys');
    end if;
    update vsync_internal.versions as v set keys = v_analysis -> 'keys', analysis_error = null where v.id = put_up.version_id returning v.* into v_version;
    update vsync_internal.progress as p
    set broken = null, resume_at = null, resume_failures = 0, last_error = null, phase = 'root', after_key = null, restarts = p.restarts + 1, retry_at = null
    where p.version_id = put_up.version_id;
    delete from vsync_internal.releases as r where r.version_id = put_up.version_id;
    if to_regclass(format('vsync_data.%I', v_version.data)) is null then
        perform vsync_internal.make_vectors(v_version.data, v_version.keys,
            (select m.dimensions from vsync_internal.models as m where m.id = v_version.model_id));
    end if;
    perform vsync_internal.put_dependencies(version_id, v_analysis);
    perform vsync_internal.store_document(version_id);
    perform vsync_internal.record_names(version_id);
    perform vsync_internal.give(vsync_internal.reader_ddl(v_version.keys, v_version.data), v_embedding.owner);
    if stage is null then
        perform vsync_internal.give(vsync_internal.delta_ddl(v_analysis, v_version.data), v_embedding.owner);
    end if;
    if not exists (select from pg_policy as o where o.polrelid = to_regclass(format('vsync_data.%I', v_version.data)))
        or exists (select from pg_proc as p where p.pronamespace = 'vsync_data'::regnamespace and p.proname = v_version.data || '_visible')
        or not v_root::oid = any (v_before) then
        perform vsync_internal.put_policy(v_version);
    end if;
    perform vsync_internal.put_excluded(v_version);
    if not vsync_internal.has_view(v_embedding.name) then
        perform vsync_internal.replace_view(v_embedding.name);
    end if;
    for v_relation in
        select c.oid from pg_class as c
        where c.oid = any (v_before) or c.oid in (select d.relation from vsync_internal.dependencies as d where d.version_id = put_up.version_id)
        order by 1
    loop
        -- who writes commits first: what is captured of it till then are keys
        execute format('lock table %s in share row exclusive mode', v_relation);
        perform vsync_internal.sync_capture(v_relation);
    end loop;
    return true;
end
$$;
comment on function vsync_internal.put_up(int, name) is
'follows the stored document of a version again, from the view in a stage where its owner made one: analyses it, makes what reads it, captures its tables, and has
every key looked at. Returns false where it is followed already';

create function vsync_internal.give_view(document regclass, owner name)
returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_installer name := vsync_internal.installer();
    v_lend boolean := owner <> v_installer and not exists (select from pg_roles as r where r.rolname = v_installer and r.rolsuper);
begin
    -- who is no superuser gives only to a role that may create there
    if v_lend then
        execute format('grant create on schema vsync_data to %I', owner);
    end if;
    execute format('alter view %s owner to %I', document, owner);
    execute format('grant select on %s to %I', document, v_installer);
    if v_lend then
        execute format('revoke create on schema vsync_data from %I', owner);
    end if;
    return document;
end
$$;
comment on function vsync_internal.give_view(regclass, name) is 'gives a document''s view to its owner, and lets vsync read it';
