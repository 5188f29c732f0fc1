create view vsync_internal.doctor_24_own_locks as
select 'own locks' as name, case when h.kind = 'index' then 'info' else 'warning' end as level,
    format('session %s (role "%s", application "%s") has held the lock %s of vsync for %s', h.pid, h.role, h.application_name,
        concat_ws(' ', h.kind, h.name), date_trunc('second', h.held_for)) as detail,
    format('commit or roll back in that session, or end it: select pg_terminate_backend(%s)', h.pid) as remediation
from vsync_internal.lock_holders as h
where h.held_for > make_interval(secs => vsync_internal.setting('lease_seconds'));
comment on view vsync_internal.doctor_24_own_locks is 'sessions whose transaction has held a lock of vsync for longer than a claim lasts';
