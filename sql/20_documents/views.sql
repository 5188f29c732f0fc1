create view vsync.embeddings as
select e.name, e.root, coalesce(pg_catalog.pg_get_userbyid(d.proowner), e.owner) as owner, e.capture, e.options, s.version as active_version, e.created_at,
    n.nspname as view_schema, e.name as view_name
from vsync_internal.embeddings as e
left join vsync_internal.serving as s on s.embedding = e.name
left join vsync_internal.versions as v on v.embedding = e.name and v.version = s.version
left join pg_catalog.pg_proc as d on d.pronamespace = 'vsync_data'::pg_catalog.regnamespace and d.proname = (v.data || '_missing')::name
left join pg_catalog.pg_class as c on c.oid = e.root
left join pg_catalog.pg_namespace as n on n.oid = c.relnamespace;
comment on view vsync.embeddings is 'Embeddings, their root table, owner and capture; the serving view is view_schema.view_name.
Example: select name, root, active_version from vsync.embeddings';

create view vsync.versions as
select v.embedding, v.version, v.label, v.state, v.paused, v.following, m.name as model, m.revision as model_revision, m.sha256 as model_sha256, m.dimensions,
    v.document, d.columns, v.chunk, v.index, format('vsync_data.%I', v.data) as vectors, p.phase as backfill_phase,
    p.broken, v.created_at, v.retired_at, vsync_internal.fingerprint(v) as document_sha256
from vsync_internal.versions as v
join vsync_internal.models as m on m.id = v.model_id
-- a dropped version has neither
left join vsync_internal.progress as p on p.version_id = v.id
left join vsync_internal.dependencies as d on d.version_id = v.id and d.number = 0;
comment on view vsync.versions is 'Versions of embeddings, and what makes their vectors: model, document query, the columns of the root that matter, chunking, index; broken: why it is;
document_sha256: of the document query as it was given.
Example: select embedding, version, state, model from vsync.versions';
