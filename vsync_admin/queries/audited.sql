select v.id, v.version, s.documents
from vsync_internal.configuration() as v
left join vsync.stat_embeddings as s on s.embedding = v.embedding and s.version = v.version
where v.embedding = %(embedding)s::name and (v.following or v.state = 'active')
order by v.version;
