create view vsync_internal.doctor_10_log as
select 'log' as name, 'warning' as level, format('the oldest unfolded change is %s old', date_trunc('second', s.age)) as detail,
    'Run a worker; a transaction left open keeps nothing from being folded but its own changes: vsync worker' as remediation
from (select clock_timestamp() - min(l.captured_at) as age from vsync_internal.log as l
    where not coalesce(pg_catalog.pg_visible_in_snapshot(l.xid, (select f.snapshot from vsync_internal.fold_state as f)), false)) as s
where s.age > interval '1 minute';
comment on view vsync_internal.doctor_10_log is 'changes that wait for a fold';
