-- Every object of vsync as its name and a definition in which nothing depends on the order or the way of installing.
with object as (
    select 'pg_proc'::regclass as class, p.oid, p.oid::regprocedure::text as name, p.proacl::text[] as granted,
        case when l.lanname = 'c' then '' else pg_get_functiondef(p.oid) end as definition
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang
    where p.pronamespace::regnamespace::text like 'vsync%' and p.prokind <> 'a'
    union all
    select 'pg_class', c.oid, c.oid::regclass::text, c.relacl::text[],
        concat_ws(e'\n', c.relkind, c.reloptions, c.relreplident, case when c.relkind = 'v' then pg_get_viewdef(c.oid) end, a.columns, k.constraints)
    from pg_class as c
    cross join lateral (
        select string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)), e'\n' order by a.attnum) as columns
        from pg_attribute as a
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as a
    cross join lateral (
        select string_agg(pg_get_constraintdef(o.oid), e'\n' order by o.conname) as constraints from pg_constraint as o where o.conrelid = c.oid) as k
    where c.relnamespace::regnamespace::text like 'vsync%' and c.relkind in ('r', 'p', 'v', 'S', 'c')
    union all
    select 'pg_class', i.indexrelid, i.indexrelid::regclass::text, null, pg_get_indexdef(i.indexrelid)
    from pg_index as i
    join pg_class as c on c.oid = i.indrelid and c.relnamespace::regnamespace::text like 'vsync%'
    union all
    select 'pg_trigger', t.oid, t.tgname || ' on ' || t.tgrelid::regclass, null, pg_get_triggerdef(t.oid) || t.tgenabled::text
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid and c.relnamespace::regnamespace::text like 'vsync%'
    where not t.tgisinternal
    union all
    select 'pg_event_trigger', e.oid, e.evtname, null, concat_ws(' ', e.evtevent, e.evttags, e.evtfoid::regprocedure, e.evtenabled)
    from pg_event_trigger as e
    where e.evtname like 'vsync%'
    union all
    select 'pg_namespace', n.oid, n.nspname, n.nspacl::text[], ''
    from pg_namespace as n
    where n.nspname like 'vsync%')
select o.class::text || ' ' || o.name,
    concat_ws(e'\n', o.definition, obj_description(o.oid, o.class::text), array(select a from unnest(o.granted) as a order by a))
from object as o
