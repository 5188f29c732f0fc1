create function vsync_internal.forget_names(variadic versions int[])
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from vsync_internal.document_names as n where n.version_id = any (versions);
    delete from vsync_internal.document_texts as t where t.version_id = any (versions);
    return true;
end
$$;
comment on function vsync_internal.forget_names(int[]) is 'forgets what the documents of versions named';

create function vsync_internal.record_names(version_id int)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_view regclass := (select to_regclass(format('vsync_data.%I', v.data || '_document')) from vsync_internal.versions as v where v.id = record_names.version_id);
    v_names vsync_internal.document_names[];
    v_text text;
begin
    begin
        v_text := rtrim(pg_get_viewdef(v_view), ';');
    exception when internal_error or undefined_table then
        null; -- dropped while this waited for it
    end;
    if v_text is null then
        return 0;
    end if;
    v_names := array(
        select distinct row(record_names.version_id, c.oid::regclass, p.attnum,
            coalesce(a.attname::text, format('%I.%I', s.nspname, c.relname)), now())::vsync_internal.document_names
        from pg_rewrite as w
        join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class
        join pg_class as c on c.oid = d.refobjid
        join pg_namespace as s on s.oid = c.relnamespace
        cross join lateral (values (0::int2), (d.refobjsubid::int2)) as p (attnum)
        left join pg_attribute as a on a.attrelid = c.oid and a.attnum = p.attnum and p.attnum > 0
        where w.ev_class = v_view);
    delete from vsync_internal.document_names as n where n.version_id = record_names.version_id
        and not exists (select from unnest(v_names) as m where (m.relation, m.attnum) = (n.relation, n.attnum));
    -- a name that a transaction gave and took away was nobody's; with an old name back, what came after it counts no more
    delete from vsync_internal.document_names as n using unnest(v_names) as m
    where (n.version_id, n.relation, n.attnum) = (m.version_id, m.relation, m.attnum) and n.name <> m.name and (n.since = now() or n.since > (
        select o.since from vsync_internal.document_names as o
        where (o.version_id, o.relation, o.attnum, o.name) = (m.version_id, m.relation, m.attnum, m.name)));
    -- while another relation has a name from before, what it was taken over from is not named so
    insert into vsync_internal.document_names select m.* from unnest(v_names) as m
    where not exists (select from vsync_internal.renamed_apart as r where (r.version_id, r.relation, r.attnum) = (m.version_id, m.relation, m.attnum))
    on conflict do nothing;
    delete from vsync_internal.document_texts as t
    where t.version_id = record_names.version_id and t.text <> v_text and (t.since = now() or t.since > (
        select o.since from vsync_internal.document_texts as o where o.version_id = t.version_id and o.text = v_text));
    insert into vsync_internal.document_texts (version_id, text)
    select record_names.version_id, v_text where not exists (
        select from vsync_internal.renamed_apart as r where r.version_id = record_names.version_id)
        and not exists (select from vsync_internal.document_texts as t where t.version_id = record_names.version_id and t.text = v_text);
    return cardinality(v_names);
end
$$;
comment on function vsync_internal.record_names(int) is 'writes down what a version''s document names, by the names of now; returns how many names there are';

create view vsync_internal.renamed_apart as
select v.id as version_id, v.embedding, v.version, n.relation, n.attnum, n.name, t.relation as taken_by
from vsync_internal.versions as v
join vsync_internal.document_names as n on n.version_id = v.id
cross join lateral (
    select pg_catalog.to_regclass(n.name) as relation where n.attnum = 0
    union all
    select n.relation from pg_catalog.pg_attribute as a where n.attnum > 0 and a.attrelid = n.relation and a.attname = n.name and a.attnum <> n.attnum
        -- attribute numbers are those of the database in which they were written down
        and not vsync_internal.is_restored()) as t
where v.state <> 'dropped' and (n.attnum > 0 or t.relation <> n.relation);
comment on view vsync_internal.renamed_apart is
'names in documents that another relation (taken_by), or another column of the same relation, has now, while the document follows what had the name before';

create function vsync_internal.text_named(version_id int)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select t.text from vsync_internal.document_texts as t
    where t.version_id = text_named.version_id and not exists (
        select from vsync_internal.renamed_apart as r
        join vsync_internal.document_names as n using (version_id, relation, attnum, name)
        where r.version_id = t.version_id and (t.since < n.since or exists (
            select from vsync_internal.document_names as l
            where (l.version_id, l.relation, l.attnum) = (n.version_id, n.relation, n.attnum) and l.since > n.since and l.since <= t.since)))
    order by t.since desc limit 1
$$;
comment on function vsync_internal.text_named(int) is
'of the texts that a document had, the last in which every name that is another''s now was its own; null: there is none';

create function vsync_internal.check_columns(document regclass, owner name)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_relation regclass;
begin
    select d.refobjid into v_relation from pg_rewrite as w
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
    join pg_class as c on c.oid = d.refobjid and c.relkind in ('r', 'p', 'v', 'm', 'f')
    where w.ev_class = check_columns.document and d.refobjid <> w.ev_class and not case
        when d.refobjsubid = 0 then has_any_column_privilege(check_columns.owner, d.refobjid, 'select')
        else has_column_privilege(check_columns.owner, d.refobjid, d.refobjsubid::int2, 'select') end
    limit 1;
    if v_relation is not null then
        raise exception using
            errcode = 'VS002',
            message = format('permission denied for table %s', v_relation),
            detail = 'The document reads it with the rights of its owner.',
            hint = format('grant select on %s to %I', v_relation, check_columns.owner);
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_columns(regclass, name) is
'an embedding''s owner must be allowed to read what its document reads; asks the catalog, and runs nothing';

create function vsync_internal.bind_again(embedding name)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_id int;
    v_root regclass;
    v_count int := 0;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('repair embedding "%s"', v_embedding.name));
    perform vsync_internal.begin_own_ddl();
    for v_id in select distinct n.version_id from vsync_internal.renamed_apart as n where n.embedding = v_embedding.name order by 1 loop
        select n.taken_by into v_root from vsync_internal.renamed_apart as n
        where n.version_id = v_id and n.attnum = 0 and n.relation = v_embedding.root;
        if not vsync_internal.is_down(v_id) then
            perform vsync_internal.take_down(v_id, 'names of its document mean something else now');
        end if;
        if v_root is not null then
            update vsync_internal.embeddings as e set root = v_root where e.name = v_embedding.name;
            perform vsync_internal.follow_schema(v_root);
        end if;
        update vsync_internal.versions as v
        set stored = jsonb_build_object('text', coalesce(vsync_internal.text_named(v_id), v.stored ->> 'text'), 'relations', '{}'::jsonb),
            analysis_error = null
        where v.id = v_id;
        perform vsync_internal.forget_names(v_id);
        v_count := v_count + 1;
    end loop;
    perform vsync_internal.reanalyse(v.id) from vsync_internal.versions as v
    where v.embedding = v_embedding.name and v.state <> 'dropped' and v.analysis_error is not null and not vsync_internal.is_down(v.id);
    return v_count;
end
$$;
comment on function vsync_internal.bind_again(name) is
'takes down the versions whose names mean another table or column now, and gives them back the text whose names will be looked up again. Returns how many';
