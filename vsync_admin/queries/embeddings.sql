select e.name, e.root::text as root, v.version, v.state, v.model, v.dimensions, v.chunk::text as chunk,
    v.index ->> 'type' as index, e.capture, quote_ident(e.view_schema) || '.' || quote_ident(e.view_name) as view, e.owner
from vsync.embeddings as e
join vsync.versions as v on v.embedding = e.name
where v.state <> 'dropped'
order by e.name, v.version;
