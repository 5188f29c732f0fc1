create view vsync_internal.doctor_05_workers as
select 'workers' as name, 'warning' as level,
    format('%s documents of %s wait and no worker is running', s.waiting + s.backlog, s.embedding) as detail,
    'call vsync.work(), or run: vsync worker' as remediation
from vsync_internal.stat_queue() as s
where s.workers = 0 and s.waiting + s.backlog > 0 and not pg_catalog.pg_is_in_recovery()
union all
select 'workers', 'warning',
    format(case when p.embedded_total + p.skipped_total + p.reused_total = 0 then '%s, version %s, was never embedded, and no worker is running'
        else 'documents of %s, version %s, are still to be compared, and no worker is running' end, v.embedding, v.version),
    'call vsync.work(), or run: vsync worker'
from vsync_internal.versions as v
join vsync_internal.progress as p on p.version_id = v.id
where p.phase <> 'done' and p.broken is null and v.following and not v.paused and v.state <> 'dropped'
    and vsync_internal.count_workers() = 0 and not pg_catalog.pg_is_in_recovery()
    and not exists (select from vsync_internal.marks as m where m.version_id = v.id)
union all
select 'workers', 'warning', 'changes wait to be folded, and no worker is running', 'call vsync.work(), or run: vsync worker'
where vsync_internal.count_workers() = 0 and not pg_catalog.pg_is_in_recovery() and exists (
    select from vsync_internal.log as l
    where not coalesce(pg_catalog.pg_visible_in_snapshot(l.xid, (select f.snapshot from vsync_internal.fold_state as f)), false));
comment on view vsync_internal.doctor_05_workers is 'work without workers';
