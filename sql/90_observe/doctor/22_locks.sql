create view vsync_internal.doctor_22_locks as
select 'locks' as name, 'warning' as level,
    format('%s holds %s on %s%s: workers leave %s alone until it ends', coalesce(format('session %s (%s)', k.pid, coalesce(nullif(a.application_name, ''), 'no name')),
            'a prepared transaction'), k.mode, r.relation, coalesce(', in a transaction that began ' || date_trunc('second', clock_timestamp() - a.xact_start) || ' ago', ''),
        string_agg(distinct r.embedding::text, ', ')) as detail,
    case when k.pid is null then 'select * from pg_prepared_xacts; then commit prepared … or rollback prepared …'
        else format('Wait for it, or: select pg_terminate_backend(%s)', k.pid) end as remediation
from (
    select m.relid::regclass as relation, v.embedding, false as written
    from vsync_internal.dependencies as d
    join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
    cross join lateral (select d.relation::oid as relid union select vsync_internal.leaves(d.relation)) as m
    union
    select c.oid::regclass, v.embedding, true
    from vsync_internal.versions as v
    join pg_catalog.pg_class as c on c.relnamespace = 'vsync_data'::regnamespace and c.relname = v.data and v.state <> 'dropped') as r
join pg_catalog.pg_locks as k on k.locktype = 'relation' and k.relation = r.relation and k.granted
    and k.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
left join pg_catalog.pg_stat_activity as a on a.pid = k.pid
where k.pid is distinct from pg_catalog.pg_backend_pid() and a.backend_type is distinct from 'autovacuum worker'
    and (k.mode = 'AccessExclusiveLock' or r.written and k.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock'))
    -- an index being built ends by itself, and stat_versions shows how far it is
    and not exists (select from pg_catalog.pg_stat_progress_create_index as p where p.pid = k.pid)
group by k.pid, k.mode, r.relation, a.application_name, a.xact_start;
comment on view vsync_internal.doctor_22_locks is 'who has locked a table so that documents cannot be read, or vectors not be written';
