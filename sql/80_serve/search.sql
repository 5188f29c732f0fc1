-- These are PL/pgSQL for its cached plans: a function in SQL is planned at each search.
create function vsync_internal.serving_version(embedding name)
returns vsync_internal.versions
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
begin
    select v.* into v_version from vsync_internal.serving as s
    join vsync_internal.versions as v on v.embedding = s.embedding and v.version = s.version
    where s.embedding = serving_version.embedding;
    return v_version;
end
$$;
comment on function vsync_internal.serving_version(name) is 'the version being served';

create function vsync_internal.marked_keys(version_id int, keys text[])
returns text[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- a plan made while the queue was empty must do when it is full: each key is looked up by itself
set enable_seqscan = off
as $$
begin
    return array(
        select k.key from unnest(marked_keys.keys) as k (key)
        -- what a rule skips or hides is as it should be
        where (select m.verdict is null or m.verdict not in ('skip', 'exclude') from vsync_internal.marks as m
            where m.version_id = marked_keys.version_id and m.key = k.key offset 0));
end
$$;
comment on function vsync_internal.marked_keys(int, text[]) is 'those of the keys that have a mark because of which their documents may be stale';

create function vsync_internal.misses_changes(version_id int)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return vsync_internal.unseen(misses_changes.version_id) is not null
        or exists (select from vsync_internal.progress as p where p.version_id = misses_changes.version_id and p.missed);
end
$$;
comment on function vsync_internal.misses_changes(int) is
'whether changes of what a version reads are not captured now, or were not and its documents are still being compared';

create function vsync_internal.stale_keys(version_id int, keys text[])
returns text[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if vsync_internal.is_down(stale_keys.version_id) then
        return stale_keys.keys;
    end if;
    return array(
        select u.key from unnest(vsync_internal.marked_keys(stale_keys.version_id, stale_keys.keys)) as u (key)
        union
        select k.key from unnest(stale_keys.keys) as k (key), vsync_internal.pages as p
        where p.version_id = stale_keys.version_id and p.dependency is null and (p.keys is null or k.key = any (p.keys))
        union
        select k.key from unnest(stale_keys.keys) as k (key), vsync_internal.log as l
        where (l.version_id = stale_keys.version_id
                or l.feed_id = (select d.feed_id from vsync_internal.dependencies as d where d.version_id = stale_keys.version_id and d.number = 0))
            and (l.keys is null or k.key = any (l.keys))
            and not coalesce(pg_visible_in_snapshot(l.xid, (select f.snapshot from vsync_internal.fold_state as f)), false)
        union
        select k.key from unnest(stale_keys.keys) as k (key) where vsync_internal.misses_changes(stale_keys.version_id));
end
$$;
comment on function vsync_internal.stale_keys(int, text[]) is
'those of the keys that have a change waiting, folded or not; all of them where changes were missed or cannot be read';

create function vsync.search(embedding name, query text, k int default 10, caller text default null)
returns table (key jsonb, chunk int, content text, distance float8, stale boolean, version int)
language plpgsql
stable
rows 10
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
set enable_seqscan = on set enable_indexscan = on
set cpu_operator_cost = 0.1 -- a distance is no comparison of two numbers: without it thousands of vectors are read rather than their index
set "hnsw.iterative_scan" = 'off' set "hnsw.ef_search" = 40 set "ivfflat.iterative_scan" = 'off' set "ivfflat.probes" = 1
as $$
#variable_conflict use_column
declare
    v_started_at timestamptz := clock_timestamp();
    v_version vsync_internal.versions;
    v_asked record;
    v_distance text;
    v_sql text;
    v_limit bigint;
    v_documents int;
    v_rows bigint;
    v_exact boolean := false;
    v_found jsonb;
begin
    if search.k is null or search.k < 1 or search.k > 10000 then
        raise exception using
            errcode = 'VS001',
            message = 'k is out of range',
            detail = format('k is %s', coalesce(search.k::text, 'null')),
            hint = 'Ask for 1 to 10000 documents.';
    end if;
    v_version := vsync_internal.answering_version(search.embedding, search.caller);
    if search.query is null then
        return;
    end if;
    select (vsync_internal.embed_clean(v_version.model_id, 'query', array[search.query]))[1] as vector into v_asked;
    v_distance := vsync_internal.distance(v_version, 'v.embedding', '$3');
    v_limit := vsync_internal.candidates(v_version, search.k);
    perform vsync_internal.tune(v_limit);
    loop
        -- planned for this vector: to the planner a parameter of execute is a constant
        v_sql := format(
            'with nearest as materialized (select %1$s as key, %2$s as key_text, v.chunk, v.content, %3$s as distance '
            'from vsync_data.%4$I as v order by %5$s limit $1), '
            'best as (select distinct on (n.key_text) n.* from nearest as n where n.key_text <> all ('
            '(select vsync_internal.excluded_keys(%6$s, array(select distinct m.key_text from nearest as m)))::text[]) order by n.key_text, n.distance, n.chunk) '
            'select count(*), (select count(*) from nearest), jsonb_agg(to_jsonb(t) order by t.distance) filter (where t.place <= $2) '
            'from (select b.*, row_number() over (order by b.distance, b.key_text) as place from best as b) as t',
            vsync_internal.key_json(v_version.keys, 'v'), vsync_internal.key_text(v_version.keys, 'v'),
            v_distance, v_version.data,
            case when v_version.index ? 'quantize' then vsync_internal.ordering(v_version, 'v.embedding', '$3', v_exact) else v_distance end,
            v_version.id);
        execute v_sql into v_documents, v_rows, v_found using v_limit, search.k, v_asked.vector;
        exit when v_documents >= search.k or (v_exact and v_rows < v_limit);
        if v_rows < v_limit then
            -- the index gave up before it had enough, behind row-level security for instance
            v_exact := true;
            perform set_config('enable_indexscan', 'off', true);
        else
            v_limit := v_limit * 4;
        end if;
    end loop;
    return query
    with found as (
        select f.* from jsonb_to_recordset(v_found) as f (key jsonb, key_text text, chunk int, content text, distance float8)),
    stale as (
        select s.key from unnest(vsync_internal.stale_keys(v_version.id, array(select f.key_text from found as f))) as s (key))
    select f.key, f.chunk, f.content, f.distance, f.key_text in (select s.key from stale as s), v_version.version
    from found as f order by f.distance, f.key_text;
    if search.caller is not null then
        perform vsync_internal.count_call(v_version, v_started_at);
    end if;
end
$$;
comment on function vsync.search(name, text, int, text) is
'The k documents nearest to a query, each with its best chunk, nearest first, from the version this statement serves. stale: a change
of that document is waiting. Rows the role may not see, and documents that rules exclude, are not found. caller: whoever asks, by a key of the application''s: while an
experiment runs a share of them is answered by its challenger, and version says so.
Example: select key, content, distance from vsync.search(''product_search'', ''red bicycle'', 5)';
