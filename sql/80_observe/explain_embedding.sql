create function vsync_internal.configuration()
returns setof vsync_internal.versions
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$ select * from vsync_internal.versions as v where v.state <> 'dropped' $$;
comment on function vsync_internal.configuration() is 'the live versions';

create function vsync.explain_embedding(name name)
returns table (version int, relation regclass, role text, keys text, columns name[], capture text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select v.version, e.root, 'root', (select string_agg(k ->> 'column', ', ' order by i) from jsonb_array_elements(v.keys) with ordinality as u (k, i)),
        x.columns, e.capture
    from vsync_internal.find_embedding(explain_embedding.name) as e
    join vsync_internal.configuration() as v on v.embedding = e.name
    join vsync.versions as x on x.embedding = v.embedding and x.version = v.version
    order by v.version
$$;
comment on function vsync.explain_embedding(name) is
'What a document depends on, one row a relation and version: which columns matter, how they are captured.
Example: select * from vsync.explain_embedding(''product_search'')';
