select v.embedding, v.version, v.state, v.broken as reason
from vsync.versions as v
where v.vectors = any (select format('vsync_data.%%I', d.data) from unnest(%(data)s::name[]) as d (data))
order by v.embedding, v.version
