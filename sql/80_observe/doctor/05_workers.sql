create view vsync_internal.doctor_05_workers as
select 'workers' as name, 'warning' as level,
    format('%s documents of %s wait and no worker is running', s.waiting + s.backlog, s.embedding) as detail,
    'call vsync.work(), or run: vsync worker' as remediation
from vsync_internal.stat_queue() as s
where s.workers = 0 and s.waiting + s.backlog > 0;
comment on view vsync_internal.doctor_05_workers is 'work without workers';
