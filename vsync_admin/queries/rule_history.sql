select h.revision, h.change, h.condition, h.action, h.params::text as params, h.priority, h.valid_from, h.valid_until, h.enabled, h.at, h.by
from vsync.rule_history as h
where h.name = %(name)s
order by h.at desc, h.revision desc;
