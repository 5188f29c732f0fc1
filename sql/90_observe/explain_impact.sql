create function vsync_internal.row_keys(relation regclass)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive base as (
        select u.i, a.attname, a.atttypid as type, a.atttypmod as modifier
        from pg_index as x, unnest(x.indkey::int2[]) with ordinality as u (number, i)
        join pg_attribute as a on a.attnum = u.number
        where x.indrelid = relation and x.indisprimary and a.attrelid = relation and u.i <= x.indnkeyatts
        union all
        select b.i, b.attname, t.typbasetype, t.typtypmod from base as b join pg_type as t on t.oid = b.type and t.typtype = 'd')
    select jsonb_agg(jsonb_build_object('column', b.attname, 'output', b.attname, 'type', format_type(t.oid, b.modifier),
        'builtin', t.typnamespace = 'pg_catalog'::regnamespace) order by b.i)
    from base as b join pg_type as t on t.oid = b.type and t.typtype <> 'd'
    -- a type that may hold a domain runs its owner's checks when it is read
    having bool_and(t.typnamespace = 'pg_catalog'::regnamespace or t.typtype = 'e' or t.typtype = 'b' and t.typelem = 0)
$$;
comment on function vsync_internal.row_keys(regclass) is
'the primary key of a relation in the form of versions.keys; null where there is none, or none that can be given as JSON';

create function vsync_internal.tuple_query(version_id int, number int)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format('select array(select %s from %s as r where (%s) = (select %s) and (%s) is not null)',
        vsync_internal.key_text(d.keys, 'r', 'column'), d.relation, vsync_internal.key_list(p.keys, 'r.%2$I'),
        vsync_internal.key_values(vsync_internal.key_places(p.keys), '$1'), vsync_internal.key_list(d.keys, 'r.%2$I'))
    from vsync_internal.dependencies as d, vsync_internal.row_keys(d.relation) as p (keys)
    where d.version_id = tuple_query.version_id and d.number = tuple_query.number
$$;
comment on function vsync_internal.tuple_query(int, int) is 'SQL: what leads from the row of a dependency with primary key $1 towards the root';

create function vsync_internal.followed(version vsync_internal.versions, number int, tuples text[])
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_page text[];
    v_after text;
    v_keys text[] := '{}';
    v_most constant int := 200000;
begin
    while cardinality(tuples) > 0 loop
        v_page := vsync_internal.call_delta(version.data, number, tuples, v_after, v_most, vsync_internal.ticket(version.data));
        v_keys := v_keys || v_page;
        exit when cardinality(v_page) < v_most;
        v_after := v_page[v_most];
    end loop;
    return v_keys;
end
$$;
comment on function vsync_internal.followed(vsync_internal.versions, int, text[]) is 'all keys of documents that tuples of a dependency lead to';

create function vsync_internal.impact_keys(version vsync_internal.versions, numbers int[], key text)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_number int;
    v_tuples text[];
    v_keys text[] := '{}';
begin
    foreach v_number in array numbers loop
        v_tuples := vsync_internal.call_tuples(version.data, vsync_internal.tuple_query(version.id, v_number), key, vsync_internal.ticket(version.data));
        v_keys := v_keys || case when v_number = 0 then v_tuples else vsync_internal.followed(version, v_number, v_tuples) end;
    end loop;
    return case when cardinality(numbers) = 1 then v_keys else array(select distinct u.k from unnest(v_keys) as u (k)) end;
end
$$;
comment on function vsync_internal.impact_keys(vsync_internal.versions, int[], text) is
'keys of the documents that a row leads to, each once, by the occurrences of its table in the document';

create function vsync_internal.impact_cost(version vsync_internal.versions, keys text[], out chunks float8, out characters float8)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_stored text := format('select count(*)::float8 / nullif(count(distinct (%1$s)), 0), '
        'sum(length(v.content))::float8 / nullif(count(distinct (%1$s)), 0) from %%s', vsync_internal.key_list(version.keys, 'v.%1$I'));
begin
    execute format(v_stored, format('vsync_data.%I as v join (select %s from unnest($1) as u (key)) as k on %s', version.data,
        vsync_internal.key_values(version.keys, 'u.key'), vsync_internal.key_list(version.keys, 'v.%1$I = k.%1$I', ' and ')))
    into chunks, characters using keys[:1000];
    if chunks is null then
        execute format(v_stored, format('(select * from vsync_data.%I limit 1000) as v', version.data)) into chunks, characters;
    end if;
end
$$;
comment on function vsync_internal.impact_cost(vsync_internal.versions, text[]) is
'chunks and characters of a document on average: of the first thousand of these, or of what is stored';

create function vsync_internal.explain_impact(relation regclass, key jsonb)
returns table (embedding name, version int, role text, documents bigint, texts bigint, tokens bigint, seconds float8, sample jsonb)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_found record;
    v_version vsync_internal.versions;
    v_key text;
    v_keys text[];
    v_cost record;
begin
    if relation is null then
        raise exception using
            errcode = 'VS001',
            message = 'a relation is needed',
            detail = 'It is null.',
            hint = 'select * from vsync.explain_impact(''schema.table'', ''1'')';
    end if;
    for v_found in
        select v.id, d.relation, array_agg(d.number order by d.number) as numbers,
            string_agg(case when d.number = 0 then 'root' else d.alias end, ', ' order by d.number) as role,
            min(p.inference_total / nullif(p.busy_seconds, 0)) as rate
        from vsync_internal.dependencies as d
        join vsync_internal.versions as v on v.id = d.version_id
        join vsync_internal.progress as p on p.version_id = v.id
        where d.relation in (select explain_impact.relation union all select a.relid from pg_partition_ancestors(explain_impact.relation) as a)
            and v.state <> 'dropped' and v.following and p.broken is null
        group by v.id, d.relation order by v.embedding, v.version
    loop
        if vsync_internal.row_keys(v_found.relation) is null then
            raise exception using
                errcode = 'VS304',
                message = format('rows of %s cannot be named', v_found.relation),
                detail = 'It has no primary key, or one of a type that JSON cannot give.',
                hint = format('alter table %s add primary key (…)', v_found.relation);
        end if;
        select * into v_version from vsync_internal.versions as v where v.id = v_found.id;
        v_key := vsync_internal.key_of(vsync_internal.row_keys(v_found.relation), key);
        v_keys := vsync_internal.impact_keys(v_version, v_found.numbers, v_key);
        v_cost := vsync_internal.impact_cost(v_version, v_keys);
        embedding := v_version.embedding;
        version := v_version.version;
        role := v_found.role;
        documents := cardinality(v_keys);
        texts := ceil(documents * coalesce(v_cost.chunks, 1));
        tokens := case when documents = 0 then 0 else ceil(documents * v_cost.characters / 4) end;
        seconds := texts / v_found.rate;
        execute format('select coalesce(jsonb_agg(%s order by u.i), ''[]'') from unnest($1) with ordinality as u (key, i), lateral (select %s) as k',
            vsync_internal.key_json(v_version.keys, 'k'), vsync_internal.key_values(v_version.keys, 'u.key'))
        into sample using v_keys[:10];
        return next;
    end loop;
end
$$;
comment on function vsync_internal.explain_impact(regclass, jsonb) is 'the rows of vsync.explain_impact()';

create function vsync.explain_impact(relation regclass, key jsonb)
returns table (embedding name, version int, role text, documents bigint, texts bigint, tokens bigint, seconds float8, sample jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select * from vsync_internal.explain_impact(relation, key);
end
$$;
comment on function vsync.explain_impact(regclass, jsonb) is
'Which documents a change to a row would have looked at, and at most at what cost; changes nothing. One row a version that reads the table; role: root,
or the aliases the table has in the document; documents: each once, on however many paths the row reaches it; texts, tokens, seconds: estimated from what
is stored and how long it took; seconds is null before anything was embedded; sample: up to ten keys.
Example: select embedding, documents, seconds from vsync.explain_impact(''shop.categories'', ''3'')';
