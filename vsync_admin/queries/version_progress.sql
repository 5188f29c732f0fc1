select p.embedding, p.version, p.label, p.state, p.phase, p.done, p.total, p.rate::float8 as rate,
    extract(epoch from p.eta)::int as eta_seconds
from vsync.stat_versions as p
where %(embedding)s::name is null or p.embedding = %(embedding)s
order by p.embedding, p.version;
