create view vsync_internal.doctor_02_broken as
select 'embeddings' as name, 'error' as level, format('embedding %s, version %s is broken: %s', v.embedding, v.version, p.broken) as detail,
    format('select vsync.repair_embedding(%L)', v.embedding) as remediation
from vsync_internal.versions as v join vsync_internal.progress as p on p.version_id = v.id
where p.broken is not null and v.state <> 'dropped';
comment on view vsync_internal.doctor_02_broken is 'embeddings whose objects were dropped';
