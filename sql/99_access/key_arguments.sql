-- A key is jsonb inside. Callers have a bigint, a uuid or a text at hand; a literal without a type is a text.
-- An overload for anyelement would make calls ambiguous.
create function vsync_internal.key_argument(key text)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if key ~ '^[[:space:]]*[{"]|^(0|-?[1-9][0-9]*)$' then
        return key::jsonb;
    end if;
    return to_jsonb(key);
exception when invalid_text_representation then
    return to_jsonb(key);
end
$$;
comment on function vsync_internal.key_argument(text) is
'the key that a text stands for: a JSON object, string or whole number is read as such, everything else is the bare value of the only key column';

do $$
declare
    v_examples constant jsonb := '{"embedding": "''product_search''", "relation": "''shop.products''", "query": "''red bicycle''", "grade": "3",
        "bigint": "42", "text": "''42''", "uuid": "''2b7e6f1c-9a54-4c1f-8e57-0d3a5b6c7d8e''::uuid"}';
    v_function record;
    v_type text;
begin
    for v_function in
        select p.oid::regprocedure as signature, p.proname as name, p.proretset as is_set, p.provolatile as volatility,
            p.proargnames[1 : p.pronargs] as names,
            replace(replace(pg_get_function_arguments(p.oid), ' DEFAULT NULL::jsonb', ''), 'key jsonb', 'key %s') as arguments,
            pg_get_function_result(p.oid) as result
        from pg_proc as p
        where p.pronamespace = 'vsync'::regnamespace and 'key' = any (p.proargnames[1 : p.pronargs])
    loop
        foreach v_type in array array['bigint', 'text', 'uuid'] loop
            -- bound when it is made, and inlined: it costs nothing, and adds nothing to the context of an error
            execute format('create function vsync.%I(%s) returns %s language sql %s begin atomic select %s vsync.%I(%s); end',
                v_function.name, format(v_function.arguments, v_type), v_function.result,
                case v_function.volatility when 'v' then 'volatile' else 'stable' end,
                case when v_function.is_set then '* from' else '' end, v_function.name,
                array_to_string(array_replace(v_function.names, 'key',
                    case v_type when 'text' then 'vsync_internal.key_argument(key)' else 'pg_catalog.to_jsonb(key)' end), ', '));
            execute format('comment on function vsync.%I(%s) is %L', v_function.name,
                replace(array_to_string((select array_agg(u.type::regtype::text order by u.i) from pg_proc as p,
                    unnest(p.proargtypes) with ordinality as u (type, i) where p.oid = v_function.signature), ', '), 'jsonb', v_type),
                format('%s with a key of type %s. Example: select * from vsync.%I(%s)', v_function.signature, v_type, v_function.name,
                    (select string_agg(v_examples ->> case u.name when 'key' then v_type else u.name end, ', ' order by u.i)
                        from unnest(v_function.names) with ordinality as u (name, i))));
        end loop;
    end loop;
end
$$;
