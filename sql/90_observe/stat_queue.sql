create function vsync_internal.stat_queue()
returns table (embedding name, version int, waiting bigint, claimed bigint, backlog bigint, postponed bigint, retrying bigint, parked bigint,
    paged bigint, leases bigint, unfolded_rows bigint, oldest_unfolded_age interval, workers bigint, label text, held bigint)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select v.embedding, v.version,
        case when not vsync_internal.is_down(v.id) then count(m.key) filter (where m.due_at is null and m.token is null and m.lane = 0) end,
        count(m.key) filter (where m.token is not null),
        case when not vsync_internal.is_down(v.id) then count(m.key) filter (where m.due_at is null and m.token is null and m.lane > 0) end,
        count(m.key) filter (where m.due_at is not null and m.attempts = 0 and m.due_at is distinct from m.held_until),
        count(m.key) filter (where m.attempts > 0 and m.due_at < 'infinity'),
        count(m.key) filter (where m.attempts > 0 and m.due_at = 'infinity'),
        coalesce((select sum(coalesce(cardinality(p.keys), 1)) from vsync_internal.pages as p where p.version_id = v.id), 0),
        (select count(*) from vsync_internal.leases as l where l.version_id = v.id),
        u.rows, u.age,
        vsync_internal.count_workers(),
        v.label,
        count(m.key) filter (where m.attempts = 0 and m.due_at = m.held_until)
    from vsync_internal.versions as v
    left join vsync_internal.marks as m on m.version_id = v.id
    cross join (
        select count(*) as rows, clock_timestamp() - min(l.captured_at) as age from vsync_internal.log as l
        where not coalesce(pg_visible_in_snapshot(l.xid, (select f.snapshot from vsync_internal.fold_state as f)), false)) as u
    where v.state <> 'dropped'
    group by v.id, u.rows, u.age
    order by v.embedding, v.version
$$;
comment on function vsync_internal.stat_queue() is 'the rows of vsync.stat_queue';

create view vsync.stat_queue with (security_invoker = true) as
select * from vsync_internal.stat_queue();
comment on view vsync.stat_queue is
'The queue, one row a live version. waiting: fresh changes; claimed: being worked on; backlog: from the backfill; retrying, parked: failures;
paged: keys of large changes not yet marked; unfolded_rows: log rows of all embeddings not yet folded; workers: sessions running vsync.work();
held: what rules hold back. waiting and backlog are null while the version is broken or released.
Example: select * from vsync.stat_queue';
