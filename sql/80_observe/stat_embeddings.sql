create function vsync_internal.stat_vectors(data name, out documents bigint, out vectors bigint, out truncated bigint)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('select count(*) filter (where v.chunk = 0), count(*), count(*) filter (where v.truncated) from vsync_data.%I as v', data)
    into documents, vectors, truncated;
exception when undefined_table then
    return;
end
$$;
comment on function vsync_internal.stat_vectors(name) is 'counts of a vector table';

create function vsync_internal.stat_embeddings()
returns table (embedding name, version int, state text, documents bigint, vectors bigint, pending bigint, oldest_pending_age interval,
    failed bigint, embedded_total bigint, inference_total bigint, skipped_total bigint, reused_total bigint, truncated_total bigint,
    failed_total bigint, truncated bigint, backfill_phase text, indexed boolean, last_error text, last_error_at timestamptz, label text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select v.embedding, v.version, case when p.broken is not null then 'broken' else v.state end, s.documents, s.vectors,
        q.pending + coalesce(g.keys, 0), clock_timestamp() - least(q.oldest, g.oldest), q.failed,
        p.embedded_total, p.inference_total, p.skipped_total, p.reused_total, p.truncated_total, p.failed_total, s.truncated, p.phase,
        vsync_internal.has_index(v), coalesce(p.broken, p.last_error), p.last_error_at,
        v.label
    from vsync_internal.versions as v
    join vsync_internal.progress as p on p.version_id = v.id
    cross join lateral vsync_internal.stat_vectors(v.data) as s
    cross join lateral (
        select count(*) filter (where m.attempts = 0) as pending, count(*) filter (where m.attempts > 0) as failed,
            min(m.captured_at) filter (where m.attempts = 0) as oldest
        from vsync_internal.marks as m where m.version_id = v.id) as q
    cross join lateral (
        select sum(cardinality(c.keys)) as keys, min(c.captured_at) as oldest from vsync_internal.pages as c where c.version_id = v.id) as g
    where v.state <> 'dropped'
    order by v.embedding, v.version
$$;
comment on function vsync_internal.stat_embeddings() is 'the rows of vsync.stat_embeddings';

create view vsync.stat_embeddings with (security_invoker = true) as
select * from vsync_internal.stat_embeddings();
comment on view vsync.stat_embeddings is
'One row a live version. documents, vectors: stored; pending: marked and not yet fresh; failed: waiting for another attempt or parked;
embedded_total: distinct texts embedded and published; inference_total: texts sent to the model; skipped_total: documents whose text had
not changed; reused_total: chunks that took the vector of an equal text; truncated_total: chunks published that the model read only in part; truncated: of those stored now.
Example: select embedding, documents, pending, oldest_pending_age from vsync.stat_embeddings';
