create view vsync_internal.doctor_02_broken as
select 'embeddings' as name, 'error' as level,
    format('embedding %s, version %s is %s: %s. %s', v.embedding, v.version, s.state, p.broken,
        case when vsync_internal.root_is_gone(v.id) then 'Not even deletes are followed, and nothing is served'
            else 'Deletes are followed, other changes are not, and all that it serves counts as stale' end
        || coalesce(format(' (tried again at %s: %s)', to_char(p.last_error_at, 'YYYY-MM-DD HH24:MI:SS'), p.last_error), '')) as detail,
    case s.state when 'released' then 'select vsync.resume_table(), once its tables are changed; a worker does it a few minutes after the release'
        else format('Bring back what it read, then: select vsync.repair_embedding(%L). A worker tries it by itself', v.embedding) end as remediation
from vsync_internal.versions as v join vsync_internal.progress as p on p.version_id = v.id
cross join lateral (select vsync_internal.shown_state(v) as state) as s
where p.broken is not null and v.state <> 'dropped';
comment on view vsync_internal.doctor_02_broken is 'versions whose objects were dropped, or are released';
