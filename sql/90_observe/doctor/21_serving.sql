create view vsync_internal.doctor_21_serving as
select 'serving' as name, case when v.following then 'warning' else 'error' end as level,
    format('version %s of %s is served and %s: its vectors become stale', v.version, v.embedding,
        case when v.following then 'paused' else 'does not follow changes' end) as detail,
    format('select vsync.resume_version(%L, %s)', v.embedding, v.version) as remediation
from vsync_internal.serving as s
join vsync_internal.versions as v on v.embedding = s.embedding and v.version = s.version
where v.paused or not v.following;
comment on view vsync_internal.doctor_21_serving is 'served versions that no change reaches';
