create function vsync_internal.delta_ddl(document jsonb, data name)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- parsed now and kept so: renames are followed, and the search_path of later sessions does not matter
    select coalesce(array_agg(s.statement order by s.number, s.step), '{}')
    from (
        select (d ->> 'number')::int as number, a.step, format(a.template, format('vsync_data.%I(text[], text, int)', data || '_delta_' || (d ->> 'number')),
            format('create function vsync_data.%I(tuples text[], after_key text, max_keys int) returns text[] language sql stable security definer '
                'set search_path = pg_catalog, pg_temp set timezone = ''UTC'' set datestyle = ''ISO, MDY'' set intervalstyle = ''postgres'' '
                'set extra_float_digits = 1 set bytea_output = ''hex'' set row_security = off '
                'begin atomic select array(with changed as materialized (select distinct %s from pg_catalog.unnest($1) as u (key)), '
                'found as (select distinct %s from (%s) as d) '
                'select %s from (select f.* from found as f where ($2 is null or (%s) > (select %s)) and (%s) is not null order by %s limit $3) as s); end',
                data || '_delta_' || (d ->> 'number'),
                vsync_internal.key_values(d -> 'keys', 'u.key'),
                vsync_internal.key_list(k.keys, 'd.%2$I::%3$s as %2$I'), d ->> 'delta',
                vsync_internal.key_text(k.keys, 's', 'column'),
                vsync_internal.key_list(k.keys, 'f.%2$I'), vsync_internal.key_values(k.keys, '$2'),
                vsync_internal.key_list(k.keys, 'f.%2$I'), vsync_internal.key_list(k.keys, 'f.%2$I')),
            vsync_internal.renderer()) as statement
        from jsonb_array_elements(document -> 'dependencies') as d,
            (select document -> 'keys') as k (keys),
            (values (1, '%2$s'), (2, 'revoke all on function %1$s from public'), (3, 'grant execute on function %1$s to %3$I')) as a (step, template)) as s
$$;
comment on function vsync_internal.delta_ddl(jsonb, name) is
'statements that create a function for each dependency: from its changed tuples to the keys of documents, along the path, a page in key order';
