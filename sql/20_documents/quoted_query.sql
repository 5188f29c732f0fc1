create or replace function vsync_internal.quoted_query(document regclass)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = on
as $$ select pg_get_viewdef(document, true) $$;
comment on function vsync_internal.quoted_query(regclass) is
'the query of a view with all names quoted';
