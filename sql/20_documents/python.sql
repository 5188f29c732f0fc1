create function vsync_internal.check_document(document text)
returns jsonb language plpython3u
set search_path = pg_catalog, pg_temp as $py$
from vsync_engine import entry
return entry.check_document(document)
$py$;
comment on function vsync_internal.check_document(text) is 'one SELECT and nothing else, as the user wrote it: {} or {"error"}';

create function vsync_internal.analyse_document(catalog jsonb)
returns jsonb language plpython3u
set search_path = pg_catalog, pg_temp as $py$
from vsync_engine import entry
return entry.analyse_document(catalog)
$py$;
comment on function vsync_internal.analyse_document(jsonb) is 'what a document reads, from document_catalog(): {"document"} or {"error"}';

create function vsync_internal.check_chunk(chunk jsonb, spec jsonb)
returns jsonb language plpython3u
set search_path = pg_catalog, pg_temp as $py$
from vsync_engine import entry
return entry.check_chunk(chunk, spec)
$py$;
comment on function vsync_internal.check_chunk(jsonb, jsonb) is 'whether a model can chunk so: {} or {"error"}';
