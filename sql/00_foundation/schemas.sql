create schema vsync;
comment on schema vsync is 'vsync: keeps vector embeddings fresh. Public functions, procedures and views; see \df+ vsync.* and \dv+ vsync.*';
create schema vsync_internal;
comment on schema vsync_internal is 'vsync: tables and internals, not an interface';
create schema vsync_data;
comment on schema vsync_data is 'vsync: vector tables, document views and render functions, one set a version';

-- pgvector's schema is the user's choice, and pinned search paths hide it.
create function vsync_internal.vector_schema()
returns name
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select n.nspname from pg_extension as e join pg_namespace as n on n.oid = e.extnamespace where e.extname = 'vector'
$$;
comment on function vsync_internal.vector_schema() is 'the schema pgvector is installed in';

do $$
declare
    v_schema name := vsync_internal.vector_schema();
begin
    execute format('create type vsync_internal.pgvector as (vector %1$I.vector, vectors %1$I.vector[])', v_schema);
    -- loads pgvector's settings, which functions may then name
    execute format('select %L::%I.vector', '[0]', v_schema);
end
$$;
comment on type vsync_internal.pgvector is
'pgvector''s type and its array, as signatures of functions name them: the search_path of the script does not lead there';
