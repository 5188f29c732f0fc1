create view vsync_internal.doctor_04_model as
select 'models' as name, 'error' as level, format('the model of %s, version %s cannot be used: %s', v.embedding, v.version, p.last_error) as detail,
    'Put the registered files back, or register the new ones: select vsync.register_model(…)' as remediation
from vsync_internal.versions as v join vsync_internal.progress as p on p.version_id = v.id
where p.retry_at is not null and v.state <> 'dropped';
comment on view vsync_internal.doctor_04_model is 'versions left alone because their model fails';
