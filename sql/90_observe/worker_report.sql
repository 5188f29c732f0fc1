create function vsync_internal.worker_report(embedding name default null)
returns table (embedding name, version int, state text, broken text, unseen text, waiting_for text, pending bigint, failed bigint, quarantined bigint,
    embedded_total bigint, failed_total bigint)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select v.embedding, v.version, case when v.paused then 'paused' else v.state end, p.broken, vsync_internal.unseen(v.id),
        case when p.retry_at > clock_timestamp() then p.last_error end,
        q.pending + coalesce(g.keys, 0), q.failed, q.quarantined, p.embedded_total, p.failed_total
    from vsync_internal.versions as v
    join vsync_internal.progress as p on p.version_id = v.id
    cross join lateral (
        select count(*) filter (where m.attempts = 0 and m.due_at is distinct from m.held_until or m.attempts = 0 and m.due_at is null) as pending,
            count(*) filter (where m.attempts > 0 and m.due_at < 'infinity') as failed,
            count(*) filter (where m.attempts > 0 and m.due_at = 'infinity') as quarantined
        from vsync_internal.marks as m where m.version_id = v.id) as q
    cross join lateral (
        select sum(cardinality(c.keys)) as keys from vsync_internal.pages as c where c.version_id = v.id) as g
    where v.state <> 'dropped' and (worker_report.embedding is null or v.embedding = worker_report.embedding)
    order by v.embedding, v.version
$$;
comment on function vsync_internal.worker_report(name) is
'what `vsync worker` logs, a row a live version; counts the queue and no vectors, so that it may be asked every few seconds. unseen: why changes are not captured; waiting_for: the error after
which the version is left alone for a while; failed: documents waiting for another attempt; quarantined: those that had too many';

create function vsync_internal.work_progress(embedding name default null)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format('"%s" version %s: %s', r.embedding, r.version,
        concat_ws(', ', s.phase, s.done || ' of ' || s.total, r.pending || ' waiting', s.eta || ' left')), '; ' order by r.embedding, r.version)
    from vsync_internal.worker_report(work_progress.embedding) as r
    join vsync_internal.stat_versions() as s on s.embedding = r.embedding and s.version = r.version
    where r.pending > 0 or s.total is not null
$$;
comment on function vsync_internal.work_progress(name) is 'how far what is not finished is, as call vsync.work() tells every ten seconds; null where all is';
