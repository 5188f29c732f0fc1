select v.embedding, v.version, v.label,
    case when v.broken is not null then 'broken' when v.paused then v.state || ', paused' else v.state end as state,
    v.model, v.model_revision, v.dimensions, v.chunk::text as chunk, v.index ->> 'type' as index, v.following, v.backfill_phase,
    v.created_at, v.retired_at
from vsync.versions as v
where v.state <> 'dropped' and (%(embedding)s::name is null or v.embedding = %(embedding)s)
order by v.embedding, v.version;
