-- Code of an embedding's owner runs only in here: with the rights of a role that has none, or as the owner in a reader, and in a subtransaction
-- that is always rolled back. Answers survive that, as variables and returned rows do. What the code did does not: rows, settings, cursors,
-- deferred triggers, LISTEN, temporary tables, DDL. A prepared statement and a session's advisory lock would; end_lasting() undoes these.
create function vsync_internal.call_render(data name, keys text[], ticket text)
returns table (key text, content text, further jsonb)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
begin
    begin
        -- stable, so that it reads what its caller's statement reads
        return query execute format('select r.key, r.content, r.further from vsync_data.%I($1, $2) as r', data || '_render') using keys, ticket;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
end
$$;
comment on function vsync_internal.call_render(name, text[], text) is 'calls a render function from a role without rights';

create function vsync_internal.call_keys(data name, after_key text, max_keys int, ticket text)
returns text[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
    v_keys text[];
begin
    begin
        execute format('select vsync_data.%I($1, $2, $3)', data || '_keys') into v_keys using after_key, max_keys, ticket;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
    return v_keys;
end
$$;
comment on function vsync_internal.call_keys(name, text, int, text) is 'a page of the documents'' keys, in key order after after_key, from a role without rights';

create function vsync_internal.call_missing(data name, keys text[], ticket text)
returns text[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
    v_keys text[];
begin
    begin
        execute format('select vsync_data.%I($1, $2)', data || '_missing') into v_keys using keys, ticket;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
    return v_keys;
end
$$;
comment on function vsync_internal.call_missing(name, text[], text) is 'those of the keys that are no document''s, from a role without rights';

create function vsync_internal.call_count(data name, ticket text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
    v_count bigint;
begin
    begin
        execute format('select vsync_data.%I($1)', data || '_count') into v_count using ticket;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
    return v_count;
end
$$;
comment on function vsync_internal.call_count(name, text) is 'the number of documents, from a role without rights';

create function vsync_internal.call_delta(data name, number int, tuples text[], after_key text, max_keys int, ticket text)
returns text[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
    v_keys text[];
begin
    begin
        execute format('select vsync_data.%I($1, $2, $3, $4)', data || '_delta_' || number) into v_keys using tuples, after_key, max_keys, ticket;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
    return v_keys;
end
$$;
comment on function vsync_internal.call_delta(name, int, text[], text, int, text) is
'a page of the documents'' keys that a dependency''s tuples lead to, in key order after after_key, from a role without rights';

create function vsync_internal.call_hashes(data name, after_key text, max_keys int, ticket text)
returns table (key text, hash bytea)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
begin
    begin
        -- stable, so that it reads what its caller's statement reads
        return query execute format('select h.key, h.hash from vsync_data.%I($1, $2, $3) as h', data || '_hashes') using after_key, max_keys, ticket;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
end
$$;
comment on function vsync_internal.call_hashes(name, text, int, text) is
'sha256 of the documents'' texts (null: no text), in key order after after_key, or of all where max_keys is null, from a role without rights';

create function vsync_internal.call_tuples(data name, query text, argument text, ticket text)
returns text[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
    v_tuples text[];
begin
    begin
        execute format('select vsync_data.%I($1, $2, $3)', data || '_tuples') into v_tuples using query, argument, ticket;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
    return v_tuples;
end
$$;
comment on function vsync_internal.call_tuples(name, text, text, text) is 'what leads from rows of a dependency towards the root, as a query finds it, from a role without rights';

create function vsync_internal.call_judge(data name, query text, cases jsonb, ticket text)
returns table (place int, rules int[], numbers float8[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
begin
    begin
        return query execute format('select j.place, j.rules, j.numbers from vsync_data.%I($1, $2, $3) as j', data || '_judge') using query, cases, ticket;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
end
$$;
comment on function vsync_internal.call_judge(name, text, jsonb, text) is 'asks rules, from a role without rights';

create function vsync_internal.call_probe(data name, query text, ticket text)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
    v_catalog jsonb;
begin
    begin
        execute format('select vsync_data.%I($1, $2)', data || '_probe') into v_catalog using query, ticket;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
    return v_catalog;
end
$$;
comment on function vsync_internal.call_probe(name, text, text) is 'what document_catalog() tells of a query, from a role without rights';

create function vsync_internal.call_excluded(query text, keys text[])
returns text[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text[] := vsync_internal.lasting();
    v_done boolean := false;
    v_context text;
    v_keys text[];
begin
    begin
        -- stable, so that it reads what its caller's statement reads
        execute query into v_keys using keys;
        v_done := true;
        raise sqlstate 'VS900';
    exception when others or query_canceled or assert_failure then
        get stacked diagnostics v_context = pg_exception_context;
        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);
        if not v_done or sqlstate <> 'VS900' then
            raise;
        end if;
    end;
    return v_keys;
end
$$;
comment on function vsync_internal.call_excluded(text, text[]) is 'asks which documents rules hide, from a role without rights';

do $$
declare
    v_caller regprocedure;
begin
    if (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user) then
        for v_caller in
            select p.oid from pg_catalog.pg_proc as p
            where p.pronamespace = 'vsync_internal'::regnamespace and p.proname in ('call_render', 'call_keys', 'call_missing', 'call_count', 'call_delta',
                'call_hashes', 'call_tuples', 'call_judge', 'call_probe', 'call_excluded')
        loop
            execute pg_catalog.format('alter function %s owner to vsync_sandbox', v_caller);
        end loop;
    end if;
end
$$;
