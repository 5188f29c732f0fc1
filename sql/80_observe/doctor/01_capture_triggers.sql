create view vsync_internal.doctor_01_capture_triggers as
select 'capture triggers' as name, 'error' as level,
    format('%s has no enabled trigger %s: changes are not seen', r.relid::regclass, 'vsync_' || e.event) as detail,
    format('select vsync.repair_capture(%L)', f.name) as remediation
from vsync_internal.captures as c
join (select distinct d.relation, v.embedding as name from vsync_internal.dependencies as d
    join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
    join vsync_internal.feeds as g on g.id = d.feed_id and g.capture = 'trigger') as f on f.relation = c.relation
cross join lateral (select t.relid::oid from pg_catalog.pg_partition_tree(c.relation) as t union select c.relation::oid) as r (relid)
cross join (values ('insert'), ('update'), ('delete'), ('truncate')) as e (event)
where not exists (
    select from pg_catalog.pg_trigger as t
    where t.tgrelid = r.relid and t.tgname = 'vsync_' || e.event and t.tgenabled = 'A')
union all
select distinct 'capture triggers', 'error',
    format('%s is read with the rows of %s, which inherits from it: their changes are not seen', d.relation, i.inhrelid::regclass),
    format('alter table %s no inherit %s', i.inhrelid::regclass, d.relation)
from vsync_internal.dependencies as d
join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
join pg_catalog.pg_inherits as i on i.inhparent = d.relation
join pg_catalog.pg_class as c on c.oid = i.inhrelid and not c.relispartition
join pg_catalog.pg_class as w on w.relnamespace = 'vsync_data'::regnamespace and w.relname = v.data || '_document'
where position(format('ONLY %s ', d.relation) in translate(pg_catalog.pg_get_viewdef(w.oid), E'\n;)', '   ')) = 0;
comment on view vsync_internal.doctor_01_capture_triggers is
'triggers dropped, disabled, or not always enabled; tables that were made the parents of others since';
