create function vsync_internal.configuration()
returns setof vsync_internal.versions
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$ select * from vsync_internal.versions as v where v.state <> 'dropped' $$;
comment on function vsync_internal.configuration() is 'the live versions';

create function vsync_internal.graph(embedding name)
returns table (version int, number int, relation regclass, alias name, role text, keys text, columns name[], whole_row boolean, path text[], capture text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select v.version, d.number, d.relation, d.alias, case when d.number = 0 then 'root' when d.declared then 'declared' else 'dependency' end,
        (select string_agg(k ->> 'column', ', ' order by i) from jsonb_array_elements(d.keys) with ordinality as u (k, i)),
        d.columns, d.whole_row, d.path, coalesce(f.capture, 'manual')
    from vsync_internal.find_embedding(graph.embedding) as e
    join vsync_internal.configuration() as v on v.embedding = e.name
    join vsync_internal.dependencies as d on d.version_id = v.id
    left join vsync_internal.feeds as f on f.id = d.feed_id
    order by v.version, d.number
$$;
comment on function vsync_internal.graph(name) is 'the tables that an embedding''s documents read, a row a mention';

create function vsync.explain_embedding(name name)
returns table (version int, number int, relation regclass, alias name, role text, keys text, columns name[], path text[], capture text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select g.version, g.number, g.relation, g.alias, g.role, g.keys, g.columns, g.path, g.capture
    from vsync_internal.graph(explain_embedding.name) as g order by g.version, g.number
$$;
comment on function vsync.explain_embedding(name) is
'What a document depends on, one row for each version and mention of a table. role: root, dependency, or declared by hand; keys: the columns that
lead towards the root; columns: those that matter; path: the steps to the root; capture: trigger, wal or manual.
Example: select relation, role, columns, path from vsync.explain_embedding(''product_search'')';

create function vsync.describe_embedding(name name)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive graph as (
        select g.*,
            -- the table that the rest of its path starts from
            case when g.number > 0 then coalesce((select min(h.number) from vsync_internal.graph(describe_embedding.name) as h
                where h.version = g.version and h.number <> g.number and h.number > 0 and h.path = g.path[2:]), 0) end as parent
        from vsync_internal.graph(describe_embedding.name) as g),
    tree as (
        select g.version, g.number, array[g.number] as place from graph as g where g.number = 0
        union all
        select g.version, g.number, t.place || g.number from tree as t join graph as g on g.version = t.version and g.parent = t.number
        where g.number <> all (t.place))
    select string_agg(
        case when g.number = 0 then format(e'%s version %s\n', describe_embedding.name, g.version) else '' end
            || repeat('    ', cardinality(t.place)) || g.relation::text || case when g.alias::text <> split_part(g.relation::text, '.', -1) then ' as ' || g.alias else '' end
            || case g.role when 'root' then format(', key %s', g.keys) when 'declared' then ', declared by hand' else '' end
            || case when cardinality(g.path) > 0 then ', where ' || g.path[1] else '' end
            || e'\n' || repeat('    ', cardinality(t.place)) || '  reads ' || case when g.whole_row then 'the whole row' else array_to_string(g.columns, ', ') end
            || case when g.capture = 'manual' then ', which is not captured' when g.capture = 'wal' then ', captured from the WAL' else '' end,
        e'\n' order by g.version, t.place)
    from tree as t join graph as g using (version, number)
$$;
comment on function vsync.describe_embedding(name) is
'The same as vsync.explain_embedding() as an indented text: under each table those whose rows lead to it.
Example: select vsync.describe_embedding(''product_search'')';
