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
    failed_total bigint, truncated bigint, backfill_phase text, indexed boolean, last_error text, last_error_at timestamptz, label text, held bigint)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    with unfolded as materialized (
        select l.feed_id, l.version_id, sum(cardinality(l.keys)) as keys, bool_or(l.keys is null) as everything, min(l.captured_at) as oldest
        from vsync_internal.log as l
        where not coalesce(pg_visible_in_snapshot(l.xid, (select f.snapshot from vsync_internal.fold_state as f)), false)
        group by l.feed_id, l.version_id)
    select v.embedding, v.version, vsync_internal.shown_state(v), s.documents, s.vectors,
        case when p.broken is null and n.reason is null then q.pending + coalesce(g.keys, 0) + coalesce(u.keys, 0) + case when u.everything then greatest(1, s.documents) else 0 end + coalesce(b.documents, 0) end,
        case when p.broken is null and n.reason is null then clock_timestamp() - least(q.oldest, g.oldest, u.oldest, b.since) end, q.failed,
        p.embedded_total, p.inference_total, p.skipped_total, p.reused_total, p.truncated_total, p.failed_total, s.truncated, p.phase,
        vsync_internal.has_index(v), coalesce(p.broken, n.reason, p.last_error), p.last_error_at,
        v.label, q.held
    from vsync_internal.versions as v
    join vsync_internal.progress as p on p.version_id = v.id
    cross join lateral vsync_internal.unseen(v.id) as n (reason)
    cross join lateral vsync_internal.stat_vectors(v.data) as s
    cross join lateral (
        select count(*) filter (where m.attempts = 0 and not h.held) as pending, count(*) filter (where m.attempts > 0) as failed,
            min(m.captured_at) filter (where m.attempts = 0 and not h.held) as oldest, count(*) filter (where m.attempts = 0 and h.held) as held
        from vsync_internal.marks as m, lateral (select m.verdict is not null and m.due_at is not null and m.due_at = m.held_until) as h (held)
        where m.version_id = v.id) as q
    cross join lateral (
        select sum(cardinality(c.keys)) as keys, min(c.captured_at) as oldest from vsync_internal.pages as c where c.version_id = v.id) as g
    cross join lateral (
        select sum(f.keys) as keys, bool_or(f.everything) as everything, min(f.oldest) as oldest from unfolded as f
        where f.version_id = v.id or f.feed_id in (select d.feed_id from vsync_internal.dependencies as d where d.version_id = v.id)) as u
    -- at least one: how many there will be is known once a worker has looked
    left join lateral (
        select greatest(1, coalesce(vsync_internal.expected_documents(v), 0) - case when p.after_key is null then 0 else p.backfilled end) as documents,
            case when p.restarts = 0 then v.created_at end as since) as b on p.phase = 'root' and v.following
    where v.state <> 'dropped'
    order by v.embedding, v.version
$$;
comment on function vsync_internal.stat_embeddings() is 'the rows of vsync.stat_embeddings';

create view vsync.stat_embeddings with (security_invoker = true) as
select * from vsync_internal.stat_embeddings();
comment on view vsync.stat_embeddings is
'One row a live version. documents, vectors: stored; pending: not yet looked at or not yet fresh: marked keys, changes that no worker has folded, and what a backfill has still to look at. Null while
the version is broken or released, or its changes are not captured, since they cannot be counted. An upper estimate:
a document that changed twice may count twice, a change of a dependency counts as one. oldest_pending_age: of the oldest of them; failed: waiting for another attempt or parked;
embedded_total: distinct texts embedded and published; inference_total: texts sent to the model; skipped_total: documents whose text had
not changed; reused_total: chunks that took the vector of an equal text; truncated_total: chunks published that the model read only in part; truncated: of those stored now; held: documents that rules hold back, which are not pending.
Example: select embedding, documents, pending, oldest_pending_age from vsync.stat_embeddings';
