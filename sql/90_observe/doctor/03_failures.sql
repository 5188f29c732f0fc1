create view vsync_internal.doctor_03_failures as
select 'failures' as name, 'warning' as level,
    format('%s documents of %s are parked; the last error: %s', count(*), v.embedding, max(m.error ->> 'message')) as detail,
    format('select * from vsync.failures; then select vsync.retry(%L)', v.embedding) as remediation
from vsync_internal.marks as m join vsync_internal.versions as v on v.id = m.version_id
where m.due_at = 'infinity' and m.attempts > 0
group by v.embedding;
comment on view vsync_internal.doctor_03_failures is 'parked documents';
