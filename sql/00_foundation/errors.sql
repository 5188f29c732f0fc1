create function vsync_internal.raise_if_error(answer jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if answer ? 'error' then
        raise exception using
            errcode = answer #>> '{error,sqlstate}',
            message = answer #>> '{error,message}',
            detail = coalesce(answer #>> '{error,detail}', ''),
            hint = coalesce(answer #>> '{error,hint}', '');
    end if;
    return answer;
end
$$;
comment on function vsync_internal.raise_if_error(jsonb) is 'passes an answer of the engine on, or raises the error it carries';

create function vsync_internal.did_you_mean(word text, known text[])
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    -- shared letter pairs: catches a swapped, missing or doubled letter
    with pairs as (
        select k, count(*) as shared
        from unnest(known) as k, generate_series(1, length(k) - 1) as i
        where position(substr(k, i, 2) in word) > 0
        group by k)
    select coalesce((select 'Did you mean "' || k || '"? ' from pairs where shared * 2 >= length(word) - 1
                     order by shared desc, abs(length(k) - length(word)), k limit 1), '')
        || case when cardinality(known) = 0 then 'There are none.' else 'Known: ' || array_to_string(known, ', ') || '.' end
$$;
comment on function vsync_internal.did_you_mean(text, text[]) is 'a hint naming the nearest known word and all of them';

create function vsync_internal.notice_long_name(name name)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(name::text) < 63 then
        return false;
    end if;
    raise notice 'the name "%" has 63 bytes', name
        using detail = 'PostgreSQL keeps no more of a name: a longer one was cut, and names that differ only after that are one.';
    return true;
end
$$;
comment on function vsync_internal.notice_long_name(name) is
'says that a new name may have been cut; PostgreSQL cuts it before a function sees it. Returns whether it did';

create function vsync_internal.check_object(options jsonb, what text)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(options) <> 'object' then
        raise exception using
            errcode = 'VS001',
            message = format('%s must be a JSON object', what),
            detail = format('It is: %s', left(options::text, 100)),
            hint = 'Pass an object, for example ''{}''.';
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_object(jsonb, text) is 'refuses JSON that is no object';

create function vsync_internal.check_options(options jsonb, known text[], what text)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key text;
begin
    if options is null then
        return '{}';
    end if;
    perform vsync_internal.check_object(options, what);
    for v_key in select jsonb_object_keys(options) loop
        if v_key <> all (known) then
            raise exception using
                errcode = 'VS001',
                message = format('unknown option "%s" in %s', v_key, what),
                detail = format('%s is %s', what, left(options::text, 200)),
                hint = vsync_internal.did_you_mean(v_key, known);
        end if;
    end loop;
    return options;
end
$$;
comment on function vsync_internal.check_options(jsonb, text[], text) is 'refuses keys that are not known';
