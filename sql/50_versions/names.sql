-- A stored view keeps to the tables and columns that its names meant when it was created. A migration that swaps two tables, or two columns, by
-- renaming them leaves it with the old ones. What the document's text names, as it was resolved, is therefore kept.
create table vsync_internal.document_names (
    version_id int not null,
    relation regclass not null,
    attnum int2 not null,
    name text not null,
    primary key (version_id, relation, attnum)
);
comment on table vsync_internal.document_names is
'the relations and columns that a version''s document names, with the names they had when the document was resolved; attnum 0: the relation itself';
comment on column vsync_internal.document_names.name is 'of a relation schema.name as format(''%I.%I'') writes it, of a column its name';

create function vsync_internal.record_names(version_id int)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    delete from vsync_internal.document_names as n where n.version_id = record_names.version_id;
    insert into vsync_internal.document_names (version_id, relation, attnum, name)
    select distinct record_names.version_id, c.oid::regclass, p.attnum, coalesce(a.attname::text, format('%I.%I', s.nspname, c.relname))
    from vsync_internal.versions as v
    join pg_rewrite as w on w.ev_class = to_regclass(format('vsync_data.%I', v.data || '_document'))
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class
    join pg_class as c on c.oid = d.refobjid
    join pg_namespace as s on s.oid = c.relnamespace
    cross join lateral (values (0::int2), (d.refobjsubid::int2)) as p (attnum)
    left join pg_attribute as a on a.attrelid = c.oid and a.attnum = p.attnum and p.attnum > 0
    where v.id = record_names.version_id;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.record_names(int) is 'writes down what a version''s document names now; returns how many names there are';

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
