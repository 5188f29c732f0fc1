select m.name, m.revision, m.current, m.dimensions, m.max_tokens, m.pooling, m.normalize, m.query_prefix,
    m.passage_prefix, m.sha256, m.source, m.registered_at
from vsync.models as m
where %(name)s::name is null or m.name = %(name)s and m.current
order by m.name, m.revision;
