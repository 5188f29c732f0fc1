create function vsync_internal.nearest_exactly(version vsync_internal.versions, queries text[], k int)
returns table (query text, place int, key_text text, key jsonb, content text, distance float8)
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
set enable_indexscan = off -- an index's recall is not what is compared
as $$
begin
    return query execute format($sql$
        with q as materialized (
            select u.query, u.vector from unnest($2, vsync_internal.embed_clean($1, 'query', $2)) as u (query, vector))
        select q.query, n.place::int, n.key_text, n.key, n.content, n.distance
        from q,
            lateral (
                select b.*, row_number() over (order by b.distance, b.key_text) as place
                from (
                    select distinct on (d.key_text) d.* from (
                        select %1$s as key_text, %2$s as key, v.content, v.chunk, %3$s as distance
                        from vsync_data.%4$I as v) as d
                    order by d.key_text, d.distance, d.chunk) as b
                order by b.distance, b.key_text limit $3) as n
        $sql$,
        vsync_internal.key_text(version.keys, 'v'), vsync_internal.key_json(version.keys, 'v'), vsync_internal.distance(version, 'v.embedding', 'q.vector'),
        version.data)
    using version.model_id, queries, k;
end
$$;
comment on function vsync_internal.nearest_exactly(vsync_internal.versions, text[], int) is
'the k nearest documents of each query in a version, by its own model and distance, found without its index';

create function vsync_internal.sample_queries(version vsync_internal.versions, most int)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_queries text[];
begin
    -- the same documents at every call, and spread as a hash spreads them
    execute format('select array(select left(s.content, 1000) from (select distinct on (v.content_hash) v.content, v.content_hash '
        'from vsync_data.%I as v where v.chunk = 0 order by v.content_hash limit $1) as s)', version.data)
    into v_queries using most;
    return v_queries;
end
$$;
comment on function vsync_internal.sample_queries(vsync_internal.versions, int) is 'texts of documents that serve as queries';

create function vsync_internal.compare_versions(embedding name, version_a int, version_b int, queries text[], k int)
returns table (query text, overlap float8, rbo float8, rank_shift float8, answers_a jsonb, answers_b jsonb,
    ndcg_a float8, ndcg_b float8, recall_a float8, recall_b float8)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_a vsync_internal.versions := vsync_internal.find_version(embedding, version_a);
    v_b vsync_internal.versions := vsync_internal.find_version(embedding, version_b);
    v_queries text[] := queries;
    v_results jsonb;
    v_figures jsonb;
begin
    if compare_versions.k is null or compare_versions.k not between 1 and 1000 or version_a = version_b or cardinality(queries) > 1000 then
        raise exception using
            errcode = 'VS001',
            message = 'these cannot be compared',
            detail = format('version_a is %s, version_b is %s, k is %s, %s queries are given',
                version_a, version_b, coalesce(compare_versions.k::text, 'null'), coalesce(cardinality(queries), 0)),
            hint = 'Compare two versions, k 1 to 1000, with at most 1000 queries.';
    end if;
    v_queries := array(select distinct u.q from unnest(
        coalesce(queries, vsync_internal.judged_queries(v_embedding.name, 1000), vsync_internal.sample_queries(v_a, 100))) as u (q) where u.q <> '' order by 1);
    if cardinality(v_queries) = 0 then
        raise exception using
            errcode = 'VS001',
            message = 'there is nothing to compare with',
            detail = format('No query has text, and version %s no document.', version_a),
            hint = 'Give queries => array[''…''], or call vsync.work() first.';
    end if;
    with a as materialized (select n.* from vsync_internal.nearest_exactly(v_a, v_queries, k) as n),
    b as materialized (select n.* from vsync_internal.nearest_exactly(v_b, v_queries, k) as n),
    -- where a document stands on either side; what is not among the k stands behind them
    pairs as (
        select coalesce(a.query, b.query) as query, coalesce(a.place, k + 1) as place_a, coalesce(b.place, k + 1) as place_b
        from a full join b on b.query = a.query and b.key_text = a.key_text),
    depths as (
        select q.query, d.depth, d.depth = max(d.depth) over (partition by q.query) as is_last,
            (select count(*) from pairs as p where p.query = q.query and greatest(p.place_a, p.place_b) <= d.depth) / d.depth::float8 as agreement
        from unnest(v_queries) as q (query),
            generate_series(1, greatest(1, (select max(p.place) from (select a.place from a where a.query = q.query
                union all select b.place from b where b.query = q.query) as p))) as d (depth)),
    scored as (
        select d.query, max(d.agreement) filter (where d.is_last) as overlap,
            -- extrapolated; persistence 0.9 gives the first ten places 86 % of the weight
            sum(0.1 * 0.9 ^ (d.depth - 1) * d.agreement) + max(d.agreement * 0.9 ^ d.depth) filter (where d.is_last) as rbo
        from depths as d group by d.query)
    select jsonb_agg(jsonb_build_object('query', s.query, 'overlap', s.overlap, 'rbo', s.rbo,
            'rank_shift', (select avg(abs(p.place_a - p.place_b))::float8 from pairs as p where p.query = s.query),
            'answers_a', (select jsonb_agg(jsonb_build_object('key', a.key, 'content', left(a.content, 200), 'distance', a.distance) order by a.place)
                from a where a.query = s.query),
            'answers_b', (select jsonb_agg(jsonb_build_object('key', b.key, 'content', left(b.content, 200), 'distance', b.distance) order by b.place)
                from b where b.query = s.query),
            'ndcg_a', ja.ndcg, 'ndcg_b', jb.ndcg, 'recall_a', ja.recall, 'recall_b', jb.recall))
    into v_results from scored as s
    cross join lateral vsync_internal.score(v_embedding.name, s.query, array(select a.key from a where a.query = s.query order by a.place), k) as ja
    cross join lateral vsync_internal.score(v_embedding.name, s.query, array(select b.key from b where b.query = s.query order by b.place), k) as jb;
    select jsonb_build_object('queries', count(*), 'k', k, 'overlap', round(avg(r.overlap)::numeric, 6), 'rbo', round(avg(r.rbo)::numeric, 6),
            'rank_shift', round(avg(r.rank_shift)::numeric, 6))
        || case when count(r.ndcg_a) = 0 then '{}' else jsonb_build_object('judged', count(r.ndcg_a),
            'ndcg', jsonb_build_object(version_a, round(avg(r.ndcg_a)::numeric, 6), version_b, round(avg(r.ndcg_b)::numeric, 6)),
            'recall', jsonb_build_object(version_a, round(avg(r.recall_a)::numeric, 6), version_b, round(avg(r.recall_b)::numeric, 6))) end
    into v_figures from jsonb_to_recordset(v_results) as r (overlap float8, rbo float8, rank_shift float8, ndcg_a float8, ndcg_b float8, recall_a float8, recall_b float8);
    -- the gate believes its owner only
    if pg_has_role(session_user, v_embedding.owner, 'member') then
        insert into vsync_internal.comparisons (embedding, versions, figures) values (v_embedding.name, array[version_a, version_b], v_figures);
    end if;
    return query
    select r.* from jsonb_to_recordset(v_results) as r (query text, overlap float8, rbo float8, rank_shift float8, answers_a jsonb, answers_b jsonb,
        ndcg_a float8, ndcg_b float8, recall_a float8, recall_b float8)
    order by r.rbo, r.overlap, r.query;
    return query
    select null::text, (v_figures ->> 'overlap')::float8, (v_figures ->> 'rbo')::float8, (v_figures ->> 'rank_shift')::float8, null::jsonb, null::jsonb,
        (v_figures #>> array['ndcg', version_a::text])::float8, (v_figures #>> array['ndcg', version_b::text])::float8,
        (v_figures #>> array['recall', version_a::text])::float8, (v_figures #>> array['recall', version_b::text])::float8;
end
$$;
comment on function vsync_internal.compare_versions(name, int, int, text[], int) is 'the rows of vsync.compare_versions(); keeps the figures for the gate where the owner asks';

create function vsync.compare_versions(embedding name, version_a int, version_b int, queries text[] default null, k int default 10)
returns table (query text, overlap float8, rbo float8, rank_shift float8, answers_a jsonb, answers_b jsonb,
    ndcg_a float8, ndcg_b float8, recall_a float8, recall_b float8)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select * from vsync_internal.compare_versions(embedding, version_a, version_b, queries, k);
end
$$;
comment on function vsync.compare_versions(name, int, int, text[], int) is
'Answers queries by two versions, each by its own model and without its index, and says how far they agree: a row a query, the worst first, and last
the means (query null). overlap: share of the first k that both have; rbo: rank-biased overlap, where the first places weigh most (1: the same
order); rank_shift: places a document moves on average. Where vsync.judgements has the query, ndcg: gain of the first k (grade / log2(place + 1)) by the
best possible one, recall: share of the good answers found. queries null: those judged, else 100 documents of version_a. The owner''s figures serve options.gate.
Example: select query, overlap, rbo from vsync.compare_versions(''product_search'', 1, 2, array[''red bicycle''])';
