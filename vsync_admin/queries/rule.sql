select r.name, r.embedding, r.condition, r.action, r.params::text as params, r.priority, r.valid_from, r.valid_until, r.enabled, r.in_force, r.broken,
    r.stage, r.relation::text as relation, r.revision, r.changed_at, s.asked, s.matched, s.failed, s.seconds, s.texts_saved, s.held, s.last_matched_at,
    s.last_error, s.last_error_at
from vsync.rules as r
left join vsync.stat_rules as s on s.name = r.name
where r.name = %(name)s;
