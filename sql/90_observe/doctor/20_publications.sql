create view vsync_internal.doctor_20_publications as
select 'publications' as name, 'warning' as level,
    format('publication %I sends %s tables of vsync to its subscribers: every mark and every vector, and vsync''s own secrets', p.name, p.ours) as detail,
    case
        when p.everything then format('drop publication %1$I; create publication %1$I for tables in schema %2$s', p.name, coalesce(p.schemas, '…'))
        else concat_ws('; ', 'alter publication ' || quote_ident(p.name) || ' drop tables in schema ' || p.our_schemas,
            'alter publication ' || quote_ident(p.name) || ' drop table ' || p.our_tables) end as remediation
from (
    select p.pubname as name, p.puballtables as everything,
        count(*) filter (where o.ours) as ours,
        string_agg(distinct quote_ident(n.nspname), ', ') filter (where not o.ours) as schemas,
        (select string_agg(s.pnnspid::regnamespace::text, ', ') from pg_catalog.pg_publication_namespace as s
            where s.pnpubid = p.oid and s.pnnspid in ('vsync_internal'::regnamespace, 'vsync_data'::regnamespace)) as our_schemas,
        (select string_agg(r.prrelid::regclass::text, ', ') from pg_catalog.pg_publication_rel as r join pg_catalog.pg_class as k on k.oid = r.prrelid
            where r.prpubid = p.oid and k.relnamespace in ('vsync_internal'::regnamespace, 'vsync_data'::regnamespace)) as our_tables
    from pg_catalog.pg_publication as p
    cross join lateral pg_catalog.pg_get_publication_tables(p.pubname) as t
    join pg_catalog.pg_class as c on c.oid = t.relid
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    cross join lateral (select n.nspname in ('vsync_internal', 'vsync_data') as ours) as o
    group by p.oid, p.pubname, p.puballtables) as p
where p.ours > 0;
comment on view vsync_internal.doctor_20_publications is 'publications that contain tables of vsync';
