select r.embedding, r.name, r.action, r.params::text as params, r.condition, r.priority,
    case when r.broken is not null then 'broken' when r.in_force then 'in force' when not r.enabled then 'disabled' else 'out of force' end as state,
    r.revision
from vsync.rules as r
where %(embedding)s::name is null or r.embedding = %(embedding)s
order by r.embedding, r.priority desc, r.name;
