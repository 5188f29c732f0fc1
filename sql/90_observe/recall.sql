create function vsync.estimate_recall(embedding name, version int default null, k int default 10, samples int default 50)
returns float8
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return vsync_internal.estimate_recall(embedding, version, k, samples);
end
$$;
comment on function vsync.estimate_recall(name, int, int, int) is
'How much of the exact answer the vector index of a version gives as vsync.search() uses it, 0 to 1: the neighbours of stored vectors are looked for with the
index and without, which reads all vectors once a sample. Kept in vsync.stat_versions. version null: the active one; null where there is no index.
Example: select vsync.estimate_recall(''product_search'')';

create function vsync_internal.estimate_recall(embedding name, version int, k int, samples int)
returns float8
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off -- the index is what is measured, where a small table would be read without it
set "hnsw.iterative_scan" = 'off' set "hnsw.ef_search" = 40 set "ivfflat.iterative_scan" = 'off' set "ivfflat.probes" = 1
as $$
declare
    v_version vsync_internal.versions := vsync_internal.find_version(embedding, coalesce(version, (vsync_internal.serving_version(embedding)).version));
    v_candidates int := vsync_internal.candidates(v_version, k);
    v_recall float8;
begin
    if k is null or k not between 1 and 1000 or samples is null or samples not between 1 and 1000 then
        raise exception using
            errcode = 'VS001',
            message = 'a recall cannot be estimated like this',
            detail = format('k is %s, samples is %s', coalesce(k::text, 'null'), coalesce(samples::text, 'null')),
            hint = 'Take 1 to 1000 neighbours of 1 to 1000 samples.';
    end if;
    if not vsync_internal.has_index(v_version) then
        return null;
    end if;
    perform vsync_internal.tune(v_candidates);
    execute format($sql$
        with sample as materialized (
            select distinct on (v.content_hash) v.content_hash, v.embedding from vsync_data.%1$I as v order by v.content_hash limit $1)
        select round(avg((select count(*) from unnest(i.distances) as d (distance) where d.distance <= e.distances[cardinality(e.distances)])
            / cardinality(e.distances)::numeric), 4)
        from sample as s,
            lateral (select array(
                select c.distance from (select %2$s as distance from vsync_data.%1$I as v where v.content_hash <> s.content_hash order by %3$s limit $3) as c
                order by c.distance limit $2) as distances) as i,
            -- a sum has no index
            lateral (select array(
                select %2$s as distance from vsync_data.%1$I as v where v.content_hash <> s.content_hash order by 0 + (%2$s) limit $2) as distances) as e
        where cardinality(e.distances) > 0
        $sql$,
        v_version.data, vsync_internal.distance(v_version, 'v.embedding', 's.embedding'), vsync_internal.ordering(v_version, 'v.embedding', 's.embedding'))
    into v_recall using samples, k, v_candidates;
    update vsync_internal.progress as p set recall = v_recall, recall_at = clock_timestamp() where p.version_id = v_version.id;
    return v_recall;
end
$$;
comment on function vsync_internal.estimate_recall(name, int, int, int) is 'measures and keeps the recall of a version''s index at k; one text in two rows counts once';
