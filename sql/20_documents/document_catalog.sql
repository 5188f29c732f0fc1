-- What the analysis of a document needs to know about the stored view that holds its query, and about every view behind
-- it. The rules' query trees (ev_action) are read for what pg_depend leaves out: built-in functions, whole rows, current_user and such.
create or replace function vsync_internal.document_catalog(document regclass, options jsonb default '{}')
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off -- compiling the query takes twenty times as long as running it
as $$
with recursive
query_rule as (
    select r.ev_class as query, r.oid as rule, r.ev_action::text as tree
    from pg_catalog.pg_rewrite r
    join pg_catalog.pg_class c on c.oid = r.ev_class
    where r.ev_class = document
    and c.relkind = 'v'
    and r.rulename = '_RETURN'
    union
    select n.ev_class, n.oid, n.ev_action::text
    from query_rule q
    cross join lateral regexp_matches(q.tree, ':relid ([1-9][0-9]*)', 'g') as m (match)
    join pg_catalog.pg_class c on c.oid = m.match[1]::oid
    join pg_catalog.pg_rewrite n on n.ev_class = c.oid
    where c.relkind = 'v'
    and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    and n.rulename = '_RETURN'
),
dependency as (
    select r.query, d.refclassid, d.refobjid, d.refobjsubid
    from query_rule r
    join pg_catalog.pg_depend d
        on d.classid = 'pg_catalog.pg_rewrite'::regclass
        and d.objid = r.rule
        and d.deptype = 'n'
    where not (d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = r.query)
),
-- what options.depends_on declares; a name that is not schema.table finds no relation
declared as (
    select
        e.position, e.entry ->> 'query' as query,
        case when e.entry ->> 'relation' ~ '^("([^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)\.("([^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)$'
            then to_regclass(e.entry ->> 'relation') end as relation
    from jsonb_path_query(options, '$.depends_on[*]') with ordinality as e (entry, position)
),
relation as (
    select c.oid, c.relname, c.relkind, c.relpersistence, c.relispartition, n.nspname
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid in (
        select d.refobjid from dependency d where d.refclassid = 'pg_catalog.pg_class'::regclass
        union
        select m.match[1]::oid
        from query_rule r
        cross join lateral regexp_matches(r.tree, ':relid ([1-9][0-9]*)', 'g') as m (match)
        where m.match[1]::oid <> r.query
        union
        select d.relation from declared d
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
            'name', a.attname, 'number', a.attnum,
            'declared_type', format_type(a.atttypid, a.atttypmod),
            'typmod', case when b.is_domain then b.typmod else a.atttypmod end,
            'type', format_type(b.oid, case when b.is_domain then b.typmod else a.atttypmod end),
            'type_schema', b.nspname,
            'type_name', b.typname,
            'type_category', b.typcategory,
            'ordered', b.ordered,
            'operator_schema', vsync_internal.operator_schema(b.oid),
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
    from query_rule r
    cross join lateral regexp_matches(r.tree, ':(opno|eqop|sortop) ([1-9][0-9]*)', 'g') as m (match)
    union
    select number::oid
    from query_rule r
    cross join lateral regexp_matches(r.tree, ':opnos \(o ([0-9 ]+)\)', 'g') as m (match)
    cross join lateral regexp_split_to_table(m.match[1], ' +') as number
    union
    select d.refobjid from dependency d where d.refclassid = 'pg_catalog.pg_operator'::regclass
),
function_used as (
    select m.match[2]::oid as oid
    from query_rule r
    cross join lateral regexp_matches(
        r.tree, ':(funcid|opfuncid|aggfnoid|winfnoid) ([1-9][0-9]*)', 'g'
    ) as m (match)
    union
    select o.oprcode::oid
    from pg_catalog.pg_operator o
    where o.oid in (select u.oid from operator_used u)
    union
    select d.refobjid from dependency d where d.refclassid = 'pg_catalog.pg_proc'::regclass
),
function_facts as not materialized (
    select p.oid, p.pronamespace, p.proname, jsonb_build_object(
        'schema', n.nspname, 'name', p.proname, 'arguments', oidvectortypes(p.proargtypes),
        'volatility', p.provolatile, 'kind', p.prokind, 'returns_set', p.proretset,
        'operators', (
            select coalesce(jsonb_agg(distinct o.oprname), '[]')
            from pg_catalog.pg_operator o
            where o.oprcode = p.oid
            and o.oid in (select u.oid from operator_used u)
        )
    ) as facts
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
),
query_facts as (
    select r.query, jsonb_build_object(
        'oid', r.query::bigint,
        'text', pg_get_viewdef(r.query, true),
        'quoted', vsync_internal.quoted_query(r.query),
        'depends', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'relation', d.refobjid::bigint, 'column', a.attname, 'number', d.refobjsubid
            ) order by d.refobjid, d.refobjsubid), '[]')
            from dependency d
            join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
            where d.query = r.query
            and d.refclassid = 'pg_catalog.pg_class'::regclass
        ),
        'whole_row', r.tree ~ '\{VAR :varno [0-9]+ :varattno 0 ',
        'aggregating', regexp_count(r.tree, ':hasAggs true'),
        'windowed', regexp_count(r.tree, ':hasWindowFuncs true'),
        -- of the outermost query, which is written first
        'multiplying', substring(r.tree from ':hasTargetSRFs (true|false)')::boolean
    ) as facts
    from query_rule r
)
select jsonb_build_object(
    'document', jsonb_build_object('oid', document::oid::bigint, 'name', document::text),
    'query', q.facts,
    'views', (select coalesce(jsonb_agg(v.facts order by v.query), '[]') from query_facts v where v.query <> document::oid),
    'options', options,
    'outputs', (
        select coalesce(jsonb_agg(e.column_facts order by e.attnum), '[]')
        from described e
        where e.attrelid = document::oid
    ),
    'relations', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'oid', t.oid::bigint, 'schema', t.nspname, 'name', t.relname,
            'visible', pg_table_is_visible(t.oid),
            'kind', t.relkind, 'persistence', t.relpersistence, 'partition', t.relispartition,
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
                    'valid', i.indisvalid, 'columns', jsonb_agg(a.attname order by k.position)
                )
                from pg_catalog.pg_index i
                cross join lateral unnest(i.indkey::int2[]) with ordinality as k (attnum, position)
                join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                where i.indrelid = t.oid
                and i.indisprimary
                and k.position <= i.indnkeyatts
                group by i.indexrelid, i.indisvalid
            ),
            'unique_keys', (
                select coalesce(jsonb_agg((
                    select jsonb_agg(a.attname)
                    from pg_catalog.pg_attribute a
                    where a.attrelid = i.indrelid
                    and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                ) order by i.indexrelid), '[]')
                from pg_catalog.pg_index i
                where i.indrelid = t.oid
                and i.indisunique
                and i.indisvalid
                and i.indpred is null
                and i.indexprs is null
            ),
            'columns', (
                select coalesce(jsonb_agg(e.column_facts order by e.attnum), '[]')
                from described e
                where e.attrelid = t.oid
            )
        ) order by t.nspname, t.relname), '[]')
        from relation t
    ),
    'functions', (
        select coalesce(jsonb_agg(f.facts order by f.pronamespace::regnamespace::text, f.proname, f.oid), '[]')
        from function_facts f
        where f.oid in (select u.oid from function_used u)
    ),
    'session_values', (
        select coalesce(jsonb_agg(distinct m.match[1]::int), '[]')
        from query_rule r
        cross join lateral regexp_matches(r.tree, '\{SQLVALUEFUNCTION :op ([0-9]+)', 'g') as m (match)
    ),
    'declared', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'relation', d.relation::oid::bigint,
            'functions', (
                select coalesce(jsonb_agg(f.facts), '[]')
                from regexp_matches(d.query, '(?:([[:alnum:]_$]+)"?\s*\.\s*"?)?([[:alnum:]_$]+)"?\s*\(', 'g') as m (match)
                join function_facts f on f.proname in (m.match[2], lower(m.match[2]))
                where f.pronamespace = coalesce(to_regnamespace(quote_ident(m.match[1])), 'pg_catalog'::regnamespace)
            )
        ) order by d.position), '[]')
        from declared d
    )
)
from query_facts q
where q.query = document::oid
$$;

comment on function vsync_internal.document_catalog(regclass, jsonb) is
'Everything the analysis of a document query reads from the catalog, as one jsonb object: the text of the stored view and of every view that it reads, its output columns, the relations and columns it depends on, and every function, operator and session value in it; with options, the relations that depends_on declares. Null when the relation is not a view. Example: select jsonb_pretty(vsync_internal.document_catalog(''vsync_data.products_v1_document''))';
