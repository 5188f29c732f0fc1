-- Every lock of vsync, in the order in which one transaction takes them. Any role can take an advisory lock; these need a privilege that
-- only the installer has, and a role without it is refused before it waits.
--
--   row    model         one name is registered at a time
--   row    rule          one rule is changed at a time; before the lock of its embedding
--   row    embedding     one embedding is created, switched, changed or dropped at a time
--   row    backfill      one session reads the next keys of a version
--   row    index         one session builds the index of a version (index_builds: a build that commits in between)
--   row    reserve       two claims of a version do not take the same text
--   table  turns         one session applies changed rules
--   table  rules         shared: who evaluates rules, until it has written down what they say; exclusive: who draws the line between two states
--   table  holds         one session adds to holds or removes empty ones
--   table  fold          one session folds, rotates, adopts or takes a version out of the queue
--   table  publication   one session changes the publication
--   table  wal           one session reads, makes or drops the slot
--   table  grants        one session changes the privileges of an owner
--
-- A table lock costs no transaction id. SHARE UPDATE EXCLUSIVE excludes itself, and no lock that a query, a prepared statement or pg_dump takes.
-- VACUUM and ANALYZE take it for an instant: who does not wait then finds the lock taken, and comes back later.
create table vsync_internal.lock_turns ();
comment on table vsync_internal.lock_turns is 'always empty; locked by the session that applies changed rules';
create table vsync_internal.lock_rules ();
comment on table vsync_internal.lock_rules is 'always empty; locked shared by sessions that evaluate rules, exclusively by the one that applies changes';
create table vsync_internal.lock_holds ();
comment on table vsync_internal.lock_holds is 'always empty; locked by the session that adds to holds or removes empty ones';
create table vsync_internal.lock_fold ();
comment on table vsync_internal.lock_fold is 'always empty; locked by the session that folds the log or rotates it';
create table vsync_internal.lock_publication ();
comment on table vsync_internal.lock_publication is 'always empty; locked by the session that changes the publication';
create table vsync_internal.lock_wal ();
comment on table vsync_internal.lock_wal is 'always empty; locked by the session that reads, makes or drops the slot';
create table vsync_internal.lock_grants ();
comment on table vsync_internal.lock_grants is 'always empty; locked by the session that changes privileges of an owner';

create table vsync_internal.lock_rows (
    kind text,
    name text,
    primary key (kind, name)
);
comment on table vsync_internal.lock_rows is 'a row for each embedding, rule, model and version that was ever locked; it says nothing, it is locked';

create table vsync_internal.index_builds (
    version_id int primary key,
    pid int not null,
    backend_start timestamptz,
    role oid not null
);
comment on table vsync_internal.index_builds is 'sessions that build a vector index beside the old one, which takes several transactions';

create table vsync_internal.workers (
    pid int primary key,
    backend_start timestamptz,
    role oid not null
);
comment on table vsync_internal.workers is 'sessions that are workers; one that was killed stays listed until another begins, and counts as gone';

create function vsync_internal.lock_table(kind text, mode text default 'share update exclusive')
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('lock table vsync_internal.%I in %s mode', 'lock_' || kind, mode);
    return true;
end
$$;
comment on function vsync_internal.lock_table(text, text) is 'waits for one of the locks on tables and holds it until the transaction ends';

create function vsync_internal.try_lock_table(kind text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('lock table vsync_internal.%I in share update exclusive mode nowait', 'lock_' || kind);
    return true;
exception when lock_not_available then
    return false;
end
$$;
comment on function vsync_internal.try_lock_table(text) is 'takes one of the locks on tables until the transaction ends; false at once if another session has it';

create function vsync_internal.lock_row(kind text, name text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    loop
        perform from vsync_internal.lock_rows as r where r.kind = lock_row.kind and r.name = lock_row.name for update;
        exit when found or lock_row.name is null;
        -- the first to use a name; a second one waits for it here
        insert into vsync_internal.lock_rows values (lock_row.kind, lock_row.name) on conflict do nothing;
    end loop;
    return true;
end
$$;
comment on function vsync_internal.lock_row(text, text) is 'waits for the lock of an embedding, a rule, a model or a version and holds it until the transaction ends';

create function vsync_internal.try_lock_row(kind text, name text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from vsync_internal.lock_rows as r where r.kind = try_lock_row.kind and r.name = try_lock_row.name for update skip locked;
    if found then
        return true;
    end if;
    insert into vsync_internal.lock_rows
    select try_lock_row.kind, try_lock_row.name
    where not exists (select from vsync_internal.lock_rows as r where r.kind = try_lock_row.kind and r.name = try_lock_row.name)
    on conflict do nothing;
    return found;
end
$$;
comment on function vsync_internal.try_lock_row(text, text) is 'takes such a lock until the transaction ends; false at once if another session has it';

create function vsync_internal.add_version_locks(version_id int)
returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $$
    with added as (
        insert into vsync_internal.lock_rows
        select u.kind, version_id::text from unnest(array['backfill', 'index', 'reserve']) as u (kind)
        on conflict do nothing returning kind)
    select count(*) from added
$$;
comment on function vsync_internal.add_version_locks(int) is 'makes the rows that are locked for a version before any session needs them, so that nobody waits for the first one';

create function vsync_internal.is_alive(pid int, backend_start timestamptz, role oid)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- an installer that is no superuser may not see when sessions of others began
    select exists (
        select from pg_stat_activity as a
        where a.pid = is_alive.pid and a.datname = current_database()
            and (a.backend_start = is_alive.backend_start
                or (a.backend_start is null or is_alive.backend_start is null) and a.usesysid = role))
$$;
comment on function vsync_internal.is_alive(int, timestamptz, oid) is
'whether a session that left a row is still there: pids are used again, the time at which a session began is not';

create function vsync_internal.begin_work()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from vsync_internal.workers as w
    where w.pid in (select d.pid from vsync_internal.workers as d
            where not vsync_internal.is_alive(d.pid, d.backend_start, d.role) for update skip locked);
    insert into vsync_internal.workers as w
    select a.pid, a.backend_start, a.usesysid from pg_stat_activity as a where a.pid = pg_backend_pid()
    on conflict on constraint workers_pkey do update set backend_start = excluded.backend_start, role = excluded.role;
    return found;
end
$$;
comment on function vsync_internal.begin_work() is 'notes that this session is a worker, and forgets those that are gone';

create function vsync_internal.end_work()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from vsync_internal.workers as w where w.pid = pg_backend_pid();
    return found;
end
$$;
comment on function vsync_internal.end_work() is 'notes that this session is no worker any more';

create function vsync_internal.count_workers()
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select count(*) from vsync_internal.workers as w where vsync_internal.is_alive(w.pid, w.backend_start, w.role)
$$;
comment on function vsync_internal.count_workers() is 'how many sessions of this database are workers now';

create view vsync_internal.lock_holders as
select h.kind, h.name, h.pid, a.usename as role, a.application_name, clock_timestamp() - a.xact_start as held_for
from (
    select substr(c.relname, 6) as kind, null::text as name, k.pid
    from pg_catalog.pg_locks as k
    join pg_catalog.pg_class as c on c.oid = k.relation
    where k.granted and k.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
        and c.relnamespace = 'vsync_internal'::regnamespace and c.relkind = 'r' and c.relname like 'lock\_%' and c.relname <> 'lock_rows'
        and k.mode in ('ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'RowExclusiveLock')
    union all
    -- the transaction that has locked a row is in the row
    select r.kind, r.name, k.pid
    from vsync_internal.lock_rows as r
    join pg_catalog.pg_locks as k on k.locktype = 'transactionid' and k.granted and k.transactionid = r.xmax
    union all
    select 'index', b.version_id::text, b.pid from vsync_internal.index_builds as b
    where vsync_internal.is_alive(b.pid, b.backend_start, b.role)) as h
left join pg_catalog.pg_stat_activity as a on a.pid = h.pid;
comment on view vsync_internal.lock_holders is 'which session holds which lock of vsync, and how long its transaction has lasted';
