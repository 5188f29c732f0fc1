create function vsync_internal.stat_capture()
returns table (relation regclass, capture text, embeddings name[], columns name[], slot_name name, wal_status text, lag_bytes bigint,
    lag_seconds float8, read_lsn pg_lsn, read_at timestamptz, slot_made_at timestamptz, slots_lost int, last_lost_at timestamptz,
    last_lost_reason text, error text, unseen text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
    with slot as (
        select vsync_internal.slot_name() as name, s.wal_status, case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - w.read_lsn as bytes, w.*
        from (values (true)) as one (one)
        left join vsync_internal.wal_state as w on w.one
        left join pg_replication_slots as s on s.slot_name = vsync_internal.slot_name()),
    working as (
        select vsync_internal.count_workers() > 0 as running)
    select f.relation, f.capture,
        array(select distinct v.embedding from vsync_internal.dependencies as d join vsync_internal.versions as v on v.id = d.version_id
            where d.feed_id = any (f.ids) and v.state <> 'dropped' order by 1),
        f.columns, s.name, coalesce(s.wal_status, case when s.name is not null then 'none' end), s.bytes::bigint,
        -- a worker that runs has looked at this little: it notes positions sparingly, since that is WAL too
        case when s.bytes <= 0 or s.bytes < 1024 and (select w.running from working as w) then 0
            else extract(epoch from clock_timestamp() - s.read_at)::float8 end,
        s.read_lsn, s.read_at, s.made_at, s.remade, s.remade_at, s.reason, s.error,
        case when f.capture = 'trigger' then (select min(l.detail) from vsync_internal.capture_losses as l where l.relation = f.relation) end
    from (
        select g.relation, g.capture, array_agg(g.id) as ids,
            (select array_agg(distinct c order by c) from vsync_internal.feeds as h, unnest(h.columns) as c
                where h.relation = g.relation and h.capture = g.capture) as columns
        from vsync_internal.feeds as g group by g.relation, g.capture) as f
    left join slot as s on f.capture = 'wal'
    order by f.relation::text, f.capture
$$;
comment on function vsync_internal.stat_capture() is 'the rows of vsync.stat_capture';

create view vsync.stat_capture with (security_invoker = true) as
select * from vsync_internal.stat_capture();
comment on view vsync.stat_capture is
'How changes are captured, one row a relation and mode. For capture wal: the database''s slot, WAL not yet read in bytes, for how many seconds
the oldest of it may have waited, up to where and when it was read, how often the slot was lost and made again and why, the error that keeps it from
being read. For capture trigger: unseen says why changes are not seen, null where they are. Example: select relation, capture, wal_status, lag_bytes, lag_seconds from vsync.stat_capture';
