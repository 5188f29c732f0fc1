create function vsync_internal.is_due(at timestamptz)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return at is null or at not between clock_timestamp() and clock_timestamp() + interval '5 minutes';
end
$$;
comment on function vsync_internal.is_due(timestamptz) is
'whether a short wait is over. None is longer than five minutes: a moment further off was set before the clock was put back';

create function vsync_internal.reap()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- a plan made while the queue was empty must do when it is full
set enable_seqscan = off
as $$
declare
    v_lease vsync_internal.leases;
begin
    for v_lease in
        select l.* from vsync_internal.leases as l
        where l.until < clock_timestamp()
            or not exists (select from pg_stat_get_activity(l.pid) as a where coalesce(a.backend_start = l.backend_start, true))
        limit 1 for update skip locked
    loop
        perform vsync_internal.suspect(v_lease);
        perform vsync_internal.release(v_lease.token);
        -- one a transaction, as the keys of two are in no order
        return 1;
    end loop;
    update vsync_internal.marks as m set due_at = null
    where m.ctid = any (array(select w.ctid from vsync_internal.marks as w
        where w.attempts = 0 and w.due_at < 'infinity' and w.due_at is distinct from w.held_until and vsync_internal.is_due(w.due_at)
        order by w.version_id, w.key for update skip locked));
    return 0;
end
$$;
comment on function vsync_internal.reap() is
'frees the marks of a claim whose lease ran out or whose session is gone, and returns 1; where there is none, what was postponed, also before the clock was put back';

create function vsync_internal.claim(version_id int, max_keys int, lane int default null, out token bigint, out keys text[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_losses int;
begin
    if exists (select from vsync_internal.marks as m where m.version_id = claim.version_id and m.due_at <= now()) then
        update vsync_internal.marks as m set due_at = null,
            verdict = case when m.verdict = 'defer' and m.held_until <= clock_timestamp() then null else m.verdict end
        where m.ctid = any (array(select w.ctid from vsync_internal.marks as w where w.version_id = claim.version_id and w.due_at <= now()
            order by w.key for update skip locked));
    end if;
    -- what a worker was lost over stands apart, in ever smaller groups, until it stands alone
    select m.losses into v_losses from vsync_internal.marks as m
    where m.version_id = claim.version_id and m.due_at is null and m.token is null and (claim.lane is null or m.lane <= claim.lane)
    order by m.lane, m.priority desc, m.since limit 1;
    token := nextval('vsync_internal.token');
    with picked as (
        select m.ctid as mark from vsync_internal.marks as m
        where m.version_id = claim.version_id and m.due_at is null and m.token is null
            and (claim.lane is null or m.lane <= claim.lane) and m.losses = v_losses
        order by m.lane, m.priority desc, m.since limit greatest(1, max_keys >> 6 * least(v_losses, 4))
        for update skip locked),
    claimed as (
        update vsync_internal.marks as m set token = claim.token, claimed = m.generation, looking = m.verdict is not null and m.verdict in ('skip', 'defer', 'hold', 'rejected')
        where m.ctid = any (array(select p.mark from picked as p))
        returning m.key)
    select array_agg(c.key order by c.key) into keys from claimed as c;
    if keys is null then
        token := null;
        return;
    end if;
    update vsync_internal.progress as p set retry_at = null where p.version_id = claim.version_id and p.retry_at is not null;
    insert into vsync_internal.leases (token, version_id, keys, backend_start, until)
    select claim.token, claim.version_id, claim.keys, a.backend_start,
        clock_timestamp() + vsync_internal.setting('lease_seconds') * interval '1 second'
    from pg_stat_get_activity(pg_backend_pid()) as a;
    -- should these documents take the server down, it must remember that they were claimed
    perform set_config('synchronous_commit', 'local', true);
end
$$;
comment on function vsync_internal.claim(int, int, int) is
'takes up to max_keys due marks of a version, freshest lane first, in it by priority, then the longest waiting, under a new fencing token';

create function vsync_internal.renew(token bigint)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- an expired lease stays expired: its marks may have another owner already
    update vsync_internal.leases as l
    set until = clock_timestamp() + vsync_internal.setting('lease_seconds') * interval '1 second'
    where l.token = renew.token and l.until > clock_timestamp();
    return found;
end
$$;
comment on function vsync_internal.renew(bigint) is 'extends a lease; false if it is lost';

create function vsync_internal.twins(version vsync_internal.versions)
returns name[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_data name;
    v_twins name[] := '{}';
begin
    for v_data in
        select o.data from vsync_internal.versions as o
        join vsync_internal.models as n on n.id = o.model_id
        join vsync_internal.models as m on m.id = version.model_id and m.sha256 = n.sha256
        where o.embedding = version.embedding and o.id <> version.id and o.state <> 'dropped' order by o.state = 'active' desc, o.version desc
    loop
        begin
            execute format('lock table vsync_data.%I in access share mode', v_data);
            v_twins := v_twins || v_data;
        exception when undefined_table then
            null; -- dropped a moment ago
        end;
    end loop;
    return v_twins;
end
$$;
comment on function vsync_internal.twins(vsync_internal.versions) is
'vector tables of the embedding''s other versions whose model gives every text the same vector; they cannot be dropped before the transaction ends';

create function vsync_internal.reserve(token bigint, hashes text[])
returns table (hash text, state text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
    v_busy text[];
    v_stored text[];
begin
    select v.* into v_version from vsync_internal.leases as l
    join vsync_internal.versions as v on v.id = l.version_id where l.token = reserve.token;
    if not found then
        return;
    end if;
    perform vsync_internal.lock_row('reserve', v_version.id::text);
    v_busy := array(
        select u.h from unnest(hashes) as u (h)
        where u.h in (select o.h from vsync_internal.leases as l, unnest(l.hashes) as o (h)
            where l.version_id = v_version.id and l.token <> reserve.token and l.until > clock_timestamp()));
    -- a statement later: what another claim published and let go in between is found here
    execute format('select array(select u.h from unnest($1) as u (h) where %s)', (
        select string_agg(format('exists (select from vsync_data.%I as v where v.content_hash = decode(u.h, ''hex''))', t.data), ' or ' order by i)
        from unnest(v_version.data || vsync_internal.twins(v_version)) with ordinality as t (data, i)))
    into v_stored using hashes;
    update vsync_internal.leases as l set hashes = array(
        select u.h from unnest(reserve.hashes) as u (h) except select unnest(v_busy) except select unnest(v_stored))
    where l.token = reserve.token;
    return query
    select s.h, 'stored' from unnest(v_stored) as s (h)
    union all
    select b.h, 'busy' from unnest(v_busy) as b (h) where b.h <> all (v_stored);
end
$$;
comment on function vsync_internal.reserve(bigint, text[]) is
'of texts by hash: which have a vector here or in a version of the same model (stored), which another claim is embedding (busy); the rest are this claim''s';
