create function vsync_internal.delta_query(dependency jsonb, keys jsonb, tuples text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('with changed as materialized (select %s from (select distinct t.key from pg_catalog.unnest(%s) as t (key)) as u) select distinct %s from (%s) as d',
        vsync_internal.key_values(dependency -> 'keys', 'u.key'), tuples,
        vsync_internal.key_list(keys, 'd.%2$I::%3$s as %2$I'), dependency ->> 'delta')
$$;
comment on function vsync_internal.delta_query(jsonb, jsonb, text) is
'SQL: the primary keys of the root that changed tuples of a dependency lead to. tuples: SQL of a text[]';

create function vsync_internal.delta_ddl(document jsonb, data name, stage name default 'vsync_data')
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- parsed now and kept so: renames are followed, and the search_path of later sessions does not matter
    select coalesce(array_agg(format(a.template, f.name, f.name || '(text[], text, int, text)', vsync_internal.renderer(), f.body) order by f.number, a.step), '{}')
    from (
        select (d ->> 'number')::int as number, format('%I.%I', stage, data || '_delta_' || (d ->> 'number')) as name,
            -- a statement of its own: nothing of it can be skipped
            format('select vsync_internal.admit($4, %L); select array(with found as (%s) select %s from (select f.* from found as f '
                'where ($2 is null or (%s) > (select %s)) and (%s) is not null order by %s limit $3) as s)', data,
                vsync_internal.delta_query(d, k.keys, '$1'), vsync_internal.key_text(k.keys, 's', 'column'),
                k.list, vsync_internal.key_values(k.keys, '$2'), k.list, k.list) as body
        from jsonb_array_elements(document -> 'dependencies') as d,
            (select document -> 'keys', vsync_internal.key_list(document -> 'keys', 'f.%2$I')) as k (keys, list)) as f,
        (values (1, 'create function %1$s(tuples text[], after_key text, max_keys int, ticket text) returns text[] language sql stable security definer '
                'set search_path = pg_catalog, pg_temp set timezone = ''UTC'' set datestyle = ''ISO, MDY'' set intervalstyle = ''postgres'' '
                'set extra_float_digits = 1 set bytea_output = ''hex'' set row_security = off begin atomic %4$s; end'),
            (2, 'revoke all on function %2$s from public'), (3, 'grant execute on function %2$s to %3$I')) as a (step, template)
$$;
comment on function vsync_internal.delta_ddl(jsonb, name, name) is
'statements that create a function for each dependency: from its changed tuples to the keys of documents, along the path, a page in key order';

create function vsync_internal.plan_warnings(document jsonb, data name, stage name)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    v_keys jsonb := document -> 'keys';
    v_query record;
    v_plan jsonb;
    v_warnings text[] := '{}';
begin
    for v_query in
        select 'each document that is rendered reads all of ' as lead, ': its key does not reach that table, or an index is missing' as rest,
            format('select d.content from %I.%I as d where %s', stage, data || '_document',
                vsync_internal.chosen(v_keys, '''{}''::text[]')) as query
        union all
        select format('a change of %s reads all of ', (d ->> 'relation_oid')::oid::regclass),
            format(', where an index on the columns of %s would help', (select string_agg(s, ', ') from jsonb_array_elements_text(d -> 'path') as s)),
            vsync_internal.delta_query(d, v_keys, '''{}''::text[]')
        from jsonb_array_elements(document -> 'dependencies') as d
    loop
        execute format('explain (format json, verbose) %s', v_query.query) into v_plan;
        v_warnings := v_warnings || array(
            select distinct v_query.lead || format('%I.%I', n ->> 'Schema', n ->> 'Relation Name') || v_query.rest
            -- a whole index is read as a table without condition is
            from jsonb_path_query(v_plan, 'strict $.** ? (@."Node Type" == "Seq Scan"
                || @."Node Type" starts with "Index" && !exists(@."Index Cond"))') as n
            -- to read all of a small table is what a plan should do
            where exists (
                select from pg_class as c
                join pg_namespace as s on s.oid = c.relnamespace
                where (s.nspname, c.relname) = (n ->> 'Schema', n ->> 'Relation Name') and pg_relation_size(c.oid) > 131072));
    end loop;
    return v_warnings;
end
$$;
comment on function vsync_internal.plan_warnings(jsonb, name, name) is
'sentences about plans that read whole tables, found with sequential scans discouraged: no index leads along a path, or the key cannot be pushed into the document';
