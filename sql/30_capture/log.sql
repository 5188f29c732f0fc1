create function vsync_internal.slot()
returns int
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select (extract(epoch from now())::bigint / 16 % 3)::int $$;
comment on function vsync_internal.slot() is 'the log table of this transaction';
