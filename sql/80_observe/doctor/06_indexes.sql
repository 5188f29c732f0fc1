create view vsync_internal.doctor_06_indexes as
select 'indexes' as name, 'warning' as level,
    format('the vectors of %s, version %s have no vector index yet', v.embedding, v.version) as detail,
    'A worker builds it after the first backlog: call vsync.work()' as remediation
from vsync_internal.versions as v
where v.state <> 'dropped' and vsync_internal.wants_index(v);
comment on view vsync_internal.doctor_06_indexes is 'indexes due and not built';
