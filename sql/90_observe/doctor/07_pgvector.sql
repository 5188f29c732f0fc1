create view vsync_internal.doctor_07_pgvector as
select 'pgvector' as name,
    case when s.scan = 'off' then 'info' else 'ok' end as level,
    case when s.scan = 'off' then 'hnsw.iterative_scan is off: order by … limit on a serving view may return fewer rows than asked; vsync.search() is not affected'
        else 'hnsw.iterative_scan is on' end as detail,
    case when s.scan = 'off' then format('alter database %I set hnsw.iterative_scan = strict_order', current_database()) else '' end as remediation
from (select coalesce(current_setting('hnsw.iterative_scan', true), 'off') as scan) as s
union all
select 'pgvector', 'error', format('role %I may not use schema %I, in which pgvector is: searches of its members fail', r.rolname, vsync_internal.vector_schema()),
    format('grant usage on schema %I to %I', vsync_internal.vector_schema(), r.rolname)
from pg_catalog.pg_roles as r
where r.rolname = 'vsync_reader' and not pg_catalog.has_schema_privilege(r.oid, vsync_internal.vector_schema(), 'usage');
comment on view vsync_internal.doctor_07_pgvector is 'session settings that a plain order by on the view follows, and the privilege to name its types';
