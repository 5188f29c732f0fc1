create view vsync_internal.doctor_11_slot as
select 'wal slot' as name, f.level, f.detail, f.remediation
from (select exists (select from vsync_internal.feeds as g where g.capture = 'wal') as wanted, s.slot_name, s.wal_status,
        case when pg_catalog.pg_is_in_recovery() then null else pg_catalog.pg_current_wal_lsn() - s.restart_lsn end as pinned, w.*
    from (values (true)) as o (o)
    left join vsync_internal.wal_state as w on w.one
    left join pg_catalog.pg_replication_slots as s on s.slot_name = vsync_internal.slot_name()) as t
cross join lateral (
    select 'error' as level, format('changes are not read from the WAL: %s', t.error) as detail,
        'Mend the cause; a worker tries again by itself: select * from vsync.stat_capture' as remediation
    where t.wanted and t.error is not null
    union all
    select 'error', 'capture by WAL needs wal_level = logical', 'alter system set wal_level = ''logical''; then restart the server'
    where t.wanted and pg_catalog.current_setting('wal_level') <> 'logical'
    union all
    select 'error', format('slot %s: %s', vsync_internal.slot_name(), vsync_internal.slot_fault()),
        'A worker makes it again and compares every document: call vsync.work()'
    where t.wanted and t.made_at is not null and vsync_internal.slot_fault() is not null
    union all
    select 'warning', 'there is no slot yet: changes are not read, and the backfill waits', 'A worker makes it: call vsync.work()'
    where t.wanted and t.made_at is null
    union all
    select 'error', format('slot %s needs WAL that the server is about to remove', t.slot_name), 'Run a worker now: call vsync.work()'
    where t.wanted and t.wal_status = 'unreserved'
    union all
    select 'warning', format('%s of WAL wait to be read and are kept on disk', pg_size_pretty(t.pinned)),
        'Run a worker, and set max_slot_wal_keep_size, beyond which the server gives the slot up: vsync worker'
    where t.wanted and t.pinned > 1073741824 and t.read_at < clock_timestamp() - interval '1 minute'
    union all
    select 'info', format('the slot was made again at %s, since %s; every document was compared', date_trunc('second', t.remade_at), t.reason),
        'Nothing to do; this is told for a day'
    where t.wanted and t.remade_at > clock_timestamp() - interval '1 day'
    union all
    select 'warning', format('slot %s is left and keeps WAL on disk, but no embedding captures by WAL', t.slot_name), 'A worker drops it: call vsync.work()'
    where not t.wanted and t.slot_name is not null) as f
-- the slot is the primary's
where not pg_catalog.pg_is_in_recovery();
comment on view vsync_internal.doctor_11_slot is 'the slot: missing, lost, behind, left over';
