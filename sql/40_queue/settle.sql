create function vsync_internal.owned(version_id int, keys text[], token bigint)
returns table (mark tid, key text, captured_at timestamptz)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    -- One by one from the index: a queue is often empty when its statistics are taken, and full when they are used. In key order, as every
    -- statement that locks several marks.
    select m.mark, k.key, m.captured_at
    from (select distinct u.key collate "C" as key from unnest(owned.keys) as u (key) order by 1) as k
    cross join lateral (
        select w.ctid as mark, w.captured_at from vsync_internal.marks as w
        where w.version_id = owned.version_id and w.key = k.key and w.token = owned.token for update) as m;
end
$$;
comment on function vsync_internal.owned(int, text[], bigint) is 'those of some keys that a claim still owns, and where their marks are, which it locks.
Only a later statement sees them there: what a mark became while this waited for it is younger than the snapshot of its caller''s own statement';

create function vsync_internal.settle(token bigint, version_id int, keys text[])
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_marks tid[] := array(select o.mark from vsync_internal.owned(version_id, keys, token) as o);
    v_settled bigint;
begin
    delete from vsync_internal.marks as m where m.ctid = any (v_marks) and m.generation = m.claimed;
    get diagnostics v_settled = row_count;
    if v_settled < cardinality(v_marks) then
        update vsync_internal.marks as m set token = null, claimed = null, since = m.generation, attempts = 0, losses = 0, error = null
        where m.ctid = any (v_marks);
    end if;
    return v_settled;
end
$$;
comment on function vsync_internal.settle(bigint, int, text[]) is
'deletes the marks of finished keys, or frees them where a newer change came meanwhile';

create function vsync_internal.release(token bigint)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lease vsync_internal.leases;
    v_marks tid[];
    v_count bigint;
begin
    delete from vsync_internal.leases as l where l.token = release.token returning * into v_lease;
    if not found then
        return 0;
    end if;
    v_marks := array(select o.mark from vsync_internal.owned(v_lease.version_id, v_lease.keys, v_lease.token) as o);
    -- a skip or defer that came meanwhile was to stand alone, once this claim had covered what came before
    update vsync_internal.marks as m set token = null, claimed = null,
        verdict = case when m.generation = m.claimed or m.looking or m.verdict = 'hold' then m.verdict end
    where m.ctid = any (v_marks);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.release(bigint) is 'ends a claim; what it did not finish is free again. Returns the number of marks freed';

create function vsync_internal.suspect(lease vsync_internal.leases)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key text;
    v_marks tid[] := array(select o.mark from vsync_internal.owned(lease.version_id, lease.keys, lease.token) as o);
    v_count bigint;
begin
    update vsync_internal.marks as m set losses = least(m.losses + 1, 1000)
    where m.ctid = any (v_marks);
    get diagnostics v_count = row_count;
    if cardinality(lease.keys) = 1 then
        -- somebody may have stopped the worker once or twice; a third time is held against the document
        select m.key into v_key from vsync_internal.marks as m
        where m.version_id = lease.version_id and m.key = lease.keys[1] and m.token = lease.token and m.losses > 2;
        if found then
            perform vsync_internal.fail(lease.token, lease.keys, jsonb_build_object('sqlstate', 'VS105',
                'message', 'the worker was lost while it was at this document alone',
                'detail', 'It died, or its claim ran out. The server''s log may tell more.'));
        end if;
    end if;
    return v_count;
end
$$;
comment on function vsync_internal.suspect(vsync_internal.leases) is
'holds the loss of a worker against what it had claimed: such keys are claimed apart and fewer together; one that is lost alone again and again is a failure';

create function vsync_internal.isolate(token bigint)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select vsync_internal.suspect(l) from vsync_internal.leases as l where l.token = isolate.token), 0);
end
$$;
comment on function vsync_internal.isolate(bigint) is
'holds it against what was claimed that reading it took too long, as the loss of a worker is; returns the number of marks';

create function vsync_internal.postpone(token bigint, keys text[], wait interval)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_marks tid[] := array(select o.mark from vsync_internal.leases as l
        cross join lateral vsync_internal.owned(l.version_id, postpone.keys, postpone.token) as o where l.token = postpone.token);
    v_count bigint;
begin
    update vsync_internal.marks as m set token = null, claimed = null, due_at = clock_timestamp() + wait,
        verdict = case when m.generation = m.claimed or m.looking or m.verdict = 'hold' then m.verdict end
    where m.ctid = any (v_marks);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.postpone(bigint, text[], interval) is 'hands claimed keys back, to be looked at again after a while';

create function vsync_internal.fail(token bigint, keys text[], error jsonb)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version_id int := (select l.version_id from vsync_internal.leases as l where l.token = fail.token);
    v_marks tid[] := array(select o.mark from vsync_internal.owned(v_version_id, fail.keys, fail.token) as o);
    v_count bigint;
begin
    update vsync_internal.marks as m
    set token = null, claimed = null, error = fail.error, failed_at = clock_timestamp(),
        verdict = case when m.generation = m.claimed or m.looking or m.verdict = 'hold' then m.verdict end,
        attempts = case when m.generation = m.claimed then m.attempts + 1 else 0 end,
        lane = case when m.generation = m.claimed then 3 else m.lane end,
        since = case when m.generation = m.claimed then m.since else m.generation end,
        due_at = case when m.generation <> m.claimed then null
            when m.attempts + 1 >= vsync_internal.setting('max_attempts') then 'infinity'
            else clock_timestamp() + vsync_internal.setting('retry_seconds') * 2 ^ least(m.attempts, 12) * (0.5 + random()) * interval '1 second' end
    where m.ctid = any (v_marks);
    get diagnostics v_count = row_count;
    update vsync_internal.progress as p
    set failed_total = p.failed_total + v_count, last_error = fail.error ->> 'message', last_error_at = clock_timestamp()
    where p.version_id = v_version_id and v_count > 0;
    return v_count;
end
$$;
comment on function vsync_internal.fail(bigint, text[], jsonb) is
'records a failure of claimed keys: another attempt later, or parked after max_attempts. A newer change starts afresh';

create function vsync_internal.back_off(version_id int, error jsonb, wait interval)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update vsync_internal.progress as p
    set retry_at = clock_timestamp() + wait, last_error = error ->> 'message', last_hint = nullif(error ->> 'hint', ''), last_error_at = clock_timestamp()
    where p.version_id = back_off.version_id;
    return found;
end
$$;
comment on function vsync_internal.back_off(int, jsonb, interval) is 'leaves a version alone for a while: its model or its document fails as a whole';

create function vsync_internal.try_again(embedding name)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    update vsync_internal.pages as g set retry_at = null
    where g.id = any (array(
        select w.id from vsync_internal.pages as w join vsync_internal.versions as v on v.id = w.version_id
        where w.retry_at is not null and (try_again.embedding is null or v.embedding = try_again.embedding)
        for update of w skip locked));
    update vsync_internal.progress as p set retry_at = null
    from vsync_internal.versions as v
    where v.id = p.version_id and p.retry_at is not null and (try_again.embedding is null or v.embedding = try_again.embedding);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.try_again(name) is
'ends the waits of versions that were left alone for a while: who calls vsync.work() may have mended the cause. Returns how many there were';
