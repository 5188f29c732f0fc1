-- What the analysis of a document needs to know about the stored view that holds its query. The rule's
-- query tree (ev_action) is read for what pg_depend leaves out: built-in functions, whole rows, current_user and such.
create or replace function vsync_internal.document_catalog(document regclass)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off -- compiling the query takes twenty times as long as running it
as $$
with recursive
document_rule as (
    select r.oid, r.ev_action::text as tree
    from pg_catalog.pg_rewrite r
    join pg_catalog.pg_class c on c.oid = r.ev_class
    where r.ev_class = document
    and c.relkind = 'v'
    and r.rulename = '_RETURN'
),
dependency as (
    select d.refclassid, d.refobjid, d.refobjsubid
    from document_rule r
    join pg_catalog.pg_depend d
        on d.classid = 'pg_catalog.pg_rewrite'::regclass
        and d.objid = r.oid
        and d.deptype = 'n'
    where not (d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = document::oid)
),
relation as (
    select c.oid, c.relname, c.relkind, c.relpersistence, c.relispartition, n.nspname
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid in (
        select d.refobjid from dependency d where d.refclassid = 'pg_catalog.pg_class'::regclass
        union
        select m.match[1]::oid
        from document_rule r
        cross join lateral regexp_matches(r.tree, ':relid ([1-9][0-9]*)', 'g') as m (match)
        where m.match[1]::oid <> document
    )
),
attribute as (
    select
        a.attrelid, a.attname, a.attnum, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated,
        (
            select format('%I.%I', n.nspname, l.collname)
            from pg_catalog.pg_collation l
            join pg_catalog.pg_namespace n on n.oid = l.collnamespace
            where l.oid = a.attcollation
            and l.collname <> 'default'
        ) as collation_name
    from pg_catalog.pg_attribute a
    where (a.attrelid = document::oid or a.attrelid in (select r.oid from relation r))
    and a.attnum > 0
    and not a.attisdropped
),
-- domains are stripped down to the type they end on, with that domain's modifier
stripped as (
    select distinct a.atttypid as origin, a.atttypid as typid, -1 as typmod
    from attribute a
    union all
    select s.origin, t.typbasetype, t.typtypmod
    from stripped s
    join pg_catalog.pg_type t on t.oid = s.typid
    where t.typtype = 'd'
),
base_type as (
    select s.origin, t.oid, t.typname, n.nspname, t.typcategory, s.typmod, s.origin <> t.oid as is_domain,
        exists (
            select
            from pg_catalog.pg_opclass o
            join pg_catalog.pg_am m on m.oid = o.opcmethod
            where m.amname = 'btree'
            and o.opcdefault
            and (
                o.opcintype = t.oid
                -- reading a composite, or a container of domains, may run its owner's check
                or (o.opcintype = 'anyarray'::regtype and t.typcategory = 'A' and exists (
                    select from pg_catalog.pg_type l where l.oid = t.typelem and l.typtype in ('b', 'e')))
                or (o.opcintype = 'anyenum'::regtype and t.typtype = 'e')
                or (o.opcintype = 'anyrange'::regtype and t.typtype = 'r' and n.nspname = 'pg_catalog')
                or (o.opcintype = 'anymultirange'::regtype and t.typtype = 'm' and n.nspname = 'pg_catalog')
                or exists (
                    select
                    from pg_catalog.pg_cast k
                    where k.castsource = t.oid
                    and k.casttarget = o.opcintype
                    and k.castmethod = 'b'
                    and k.castcontext = 'i'
                )
            )
        ) as ordered
    from stripped s
    join pg_catalog.pg_type t on t.oid = s.typid
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where t.typtype <> 'd'
),
described as (
    select
        a.attrelid, a.attnum,
        jsonb_build_object(
            'name', a.attname,
            'number', a.attnum,
            'declared_type', format_type(a.atttypid, a.atttypmod),
            'typmod', case when b.is_domain then b.typmod else a.atttypmod end,
            'type', format_type(b.oid, case when b.is_domain then b.typmod else a.atttypmod end),
            'type_schema', b.nspname,
            'type_name', b.typname,
            'type_category', b.typcategory,
            'ordered', b.ordered,
            'collation', a.collation_name,
            'not_null', a.attnotnull,
            'generated_from', (
                select jsonb_agg(distinct s.attname)
                from pg_catalog.pg_attrdef f
                join pg_catalog.pg_depend d
                    on (d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = f.oid)
                    or (d.classid = 'pg_catalog.pg_class'::regclass and d.objid = f.adrelid and d.objsubid = f.adnum)
                join pg_catalog.pg_attribute s on s.attrelid = d.refobjid and s.attnum = d.refobjsubid
                where a.attgenerated <> ''
                and f.adrelid = a.attrelid
                and f.adnum = a.attnum
                and d.refclassid = 'pg_catalog.pg_class'::regclass
                and d.refobjid = a.attrelid
                and d.refobjsubid not in (0, a.attnum)
            )
        ) as column_facts
    from attribute a
    join base_type b on b.origin = a.atttypid
),
operator_used as (
    select m.match[2]::oid as oid
    from document_rule r
    cross join lateral regexp_matches(r.tree, ':(opno|eqop|sortop) ([1-9][0-9]*)', 'g') as m (match)
    union
    select number::oid
    from document_rule r
    cross join lateral regexp_matches(r.tree, ':opnos \(o ([0-9 ]+)\)', 'g') as m (match)
    cross join lateral regexp_split_to_table(m.match[1], ' +') as number
    union
    select d.refobjid from dependency d where d.refclassid = 'pg_catalog.pg_operator'::regclass
),
function_used as (
    select m.match[2]::oid as oid
    from document_rule r
    cross join lateral regexp_matches(
        r.tree, ':(funcid|opfuncid|aggfnoid|winfnoid) ([1-9][0-9]*)', 'g'
    ) as m (match)
    union
    select o.oprcode::oid
    from pg_catalog.pg_operator o
    where o.oid in (select u.oid from operator_used u)
    union
    select d.refobjid from dependency d where d.refclassid = 'pg_catalog.pg_proc'::regclass
)
select jsonb_build_object(
    'text', pg_get_viewdef(document, true),
    'document', jsonb_build_object('oid', document::oid::bigint, 'name', document::text),
    'outputs', (
        select coalesce(jsonb_agg(e.column_facts order by e.attnum), '[]')
        from described e
        where e.attrelid = document::oid
    ),
    'relations', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'oid', t.oid::bigint,
            'schema', t.nspname,
            'name', t.relname,
            'visible', pg_table_is_visible(t.oid),
            'kind', t.relkind,
            'persistence', t.relpersistence,
            'partition', t.relispartition,
            'parents', (
                select coalesce(jsonb_agg(i.inhparent::regclass::text order by i.inhseqno), '[]')
                from pg_catalog.pg_inherits i
                where i.inhrelid = t.oid
            ),
            'children', (select count(*) from pg_catalog.pg_inherits i where i.inhparent = t.oid),
            'foreign_partitions', t.relkind = 'p' and exists (
                select
                from pg_partition_tree(t.oid) p
                join pg_catalog.pg_class c on c.oid = p.relid
                where c.relkind = 'f'
            ),
            'primary_key', (
                select jsonb_build_object(
                    'valid', i.indisvalid,
                    'columns', jsonb_agg(a.attname order by k.position)
                )
                from pg_catalog.pg_index i
                cross join lateral unnest(i.indkey::int2[]) with ordinality as k (attnum, position)
                join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                where i.indrelid = t.oid
                and i.indisprimary
                and k.position <= i.indnkeyatts
                group by i.indexrelid, i.indisvalid
            ),
            'columns', (
                select coalesce(jsonb_agg(e.column_facts order by e.attnum), '[]')
                from described e
                where e.attrelid = t.oid
            )
        ) order by t.nspname, t.relname), '[]')
        from relation t
    ),
    'depends', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'relation', d.refobjid::bigint, 'column', a.attname, 'number', d.refobjsubid
        ) order by d.refobjid, d.refobjsubid), '[]')
        from dependency d
        join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where d.refclassid = 'pg_catalog.pg_class'::regclass
    ),
    'functions', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'schema', n.nspname,
            'name', p.proname,
            'arguments', oidvectortypes(p.proargtypes),
            'volatility', p.provolatile,
            'kind', p.prokind,
            'returns_set', p.proretset,
            'operators', (
                select coalesce(jsonb_agg(distinct o.oprname), '[]')
                from pg_catalog.pg_operator o
                where o.oprcode = p.oid
                and o.oid in (select u.oid from operator_used u)
            )
        ) order by n.nspname, p.proname, p.oid), '[]')
        from function_used f
        join pg_catalog.pg_proc p on p.oid = f.oid
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    ),
    'session_values', (
        select coalesce(jsonb_agg(distinct m.match[1]::int), '[]')
        from regexp_matches(r.tree, '\{SQLVALUEFUNCTION :op ([0-9]+)', 'g') as m (match)
    ),
    'whole_row', r.tree ~ '\{VAR :varno [0-9]+ :varattno 0 '
)
from document_rule r
$$;

comment on function vsync_internal.document_catalog(regclass) is
'Everything the analysis of a document query reads from the catalog, as one jsonb object: the text of the stored view, its output columns, the relations and columns it depends on, and every function, operator and session value in it. Null when the relation is not a view. Example: select jsonb_pretty(vsync_internal.document_catalog(''vsync_data.products_v1_document''))';
