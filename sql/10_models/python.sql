create function vsync_internal.inspect_model(source text, options jsonb)
returns jsonb language plpython3u
set search_path = pg_catalog, pg_temp as $py$
from vsync_engine import entry
return entry.inspect_model(source, options)
$py$;
comment on function vsync_internal.inspect_model(text, jsonb) is 'reads, hashes and tries a model directory: {"spec", "probe", "assumed"} or {"error"}';

create function vsync_internal.embed_texts(model_id int, kind text, inputs text[])  -- noqa: PRS
returns vsync_internal.pgvector.vectors%type language plpython3u stable parallel unsafe
set search_path = pg_catalog, pg_temp as $py$
from vsync_engine import entry
return entry.embed_texts(model_id, kind, inputs)
$py$;
comment on function vsync_internal.embed_texts(int, text, text[]) is 'vectors of texts, null for null; kind is passage or query';

create function vsync_internal.engine_version()
returns text language plpython3u
set search_path = pg_catalog, pg_temp as $py$
from vsync_engine import entry
return entry.version()
$py$;
comment on function vsync_internal.engine_version() is 'the version of the engine that this server imports';
