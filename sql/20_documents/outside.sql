create function vsync_internal.check_document(document text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.ask('check_document', jsonb_build_array(document)) $$;
comment on function vsync_internal.check_document(text) is 'one SELECT and nothing else, as the user wrote it: {} or {"error"}';

create function vsync_internal.analyse_document(catalog jsonb)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.ask('analyse_document', jsonb_build_array(catalog)) $$;
comment on function vsync_internal.analyse_document(jsonb) is 'what a document reads, from document_catalog(): {"document"} or {"error"}';

create function vsync_internal.check_chunk(chunk jsonb, spec jsonb)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.ask('check_chunk', jsonb_build_array(chunk, spec)) $$;
comment on function vsync_internal.check_chunk(jsonb, jsonb) is 'whether a model can chunk so: {} or {"error"}';
