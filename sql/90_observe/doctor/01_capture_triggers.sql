create view vsync_internal.doctor_01_capture_triggers as
with read as (
    select distinct d.relation, v.embedding, v.id as version_id
    from vsync_internal.dependencies as d
    join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
    join vsync_internal.feeds as g on g.id = d.feed_id and g.capture = 'trigger')
select distinct 'capture triggers' as name, 'error' as level, l.detail,
    case when l.parent is null then format('select vsync.repair_capture(%L)', r.embedding)
        when exists (select from vsync_internal.renamed_apart as a where a.version_id = r.version_id and a.relation = l.relation)
            then format('select vsync.repair_embedding(%L)', r.embedding)
        when (select c.relispartition from pg_catalog.pg_class as c where c.oid = l.relation)
            then format('alter table %s detach partition %s', l.parent, l.relation)
        else format('alter table %s no inherit %s', l.relation, l.parent) end as remediation
from vsync_internal.capture_losses as l
join read as r on r.relation = l.relation
union all
select distinct 'capture triggers', 'warning',
    format('trigger %s of %s does not fire while session_replication_role is replica', t.tgname, t.tgrelid::regclass),
    format('select vsync.repair_capture(%L)', r.embedding)
from vsync_internal.captures as c
join read as r on r.relation = c.relation
join pg_catalog.pg_trigger as t on t.tgrelid = any (coalesce(c.members, array[c.relation]))
    and t.tgfoid = to_regproc(format('vsync_data.%I', 'capture_' || c.id))
where t.tgenabled = 'O'
union all
select distinct 'capture triggers', 'warning',
    format('changes of %s were missed while its triggers were off; its documents of %s are still being compared', e.root, v.embedding),
    'call vsync.work(), or run: vsync worker'
from vsync_internal.versions as v
join vsync_internal.embeddings as e on e.name = v.embedding
join vsync_internal.progress as p on p.version_id = v.id and p.missed
where v.state <> 'dropped'
union all
select distinct 'capture triggers', 'error',
    format('%s is read with the rows of %s, which inherits from it: their changes are not seen', i.relation, i.child),
    format('alter table %s no inherit %s', i.child, i.relation)
from (
    select d.relation, i.inhrelid::regclass as child, w.oid as document
    from vsync_internal.dependencies as d
    join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
    join pg_catalog.pg_inherits as i on i.inhparent = d.relation
    join pg_catalog.pg_class as c on c.oid = i.inhrelid and not c.relispartition
    join pg_catalog.pg_class as w on w.relnamespace = 'vsync_data'::regnamespace and w.relname = v.data || '_document'
    -- pg_get_viewdef() waits for whoever has locked a table of the document
    offset 0) as i
where position(format('ONLY %s ', i.relation) in translate(pg_catalog.pg_get_viewdef(i.document), E'\n;)', '   ')) = 0;
comment on view vsync_internal.doctor_01_capture_triggers is
'triggers dropped, disabled, or not always enabled; tables that were made the parents or the children of others since';
