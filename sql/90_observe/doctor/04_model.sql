create view vsync_internal.doctor_04_model as
select 'models' as name, 'error' as level, format('%s, version %s, is left alone for a while: %s', v.embedding, v.version, p.last_error) as detail,
    format('%s, then: select vsync.retry(%L)', coalesce(p.last_hint, 'Mend the cause (the model''s files, the owner''s rights)'), v.embedding) as remediation
from vsync_internal.versions as v join vsync_internal.progress as p on p.version_id = v.id
where p.retry_at is not null and v.state <> 'dropped';
comment on view vsync_internal.doctor_04_model is 'versions left alone because their model or their document fails as a whole';
