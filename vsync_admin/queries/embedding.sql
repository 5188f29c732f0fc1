select e.name, e.root::text as root, e.owner, e.capture, quote_ident(e.view_schema) || '.' || quote_ident(e.view_name) as view,
    v.version, v.state, v.model, v.model_revision, v.model_sha256, v.dimensions, v.chunk, v.index, x.keys, v.columns,
    v.document, v.vectors as vector_table, v.backfill_phase, v.broken, v.created_at
from vsync.embeddings as e
join vsync.versions as v on v.embedding = e.name
join vsync.explain_embedding(e.name) as x on x.version = v.version and x.number = 0
where e.name = %(name)s and v.state <> 'dropped'
order by v.version;
