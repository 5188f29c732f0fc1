create view vsync_internal.doctor_12_identity as
select 'replica identity' as name, 'error' as level,
    format('the replica identity of %s does not tell %s: after an update or delete every document is compared', l.relid, l.columns) as detail,
    format('alter table %s replica identity full', l.relid) as remediation
from vsync_internal.lacking_identity() as l;
comment on view vsync_internal.doctor_12_identity is 'tables of capture wal whose replica identity lacks columns that lead to documents';
