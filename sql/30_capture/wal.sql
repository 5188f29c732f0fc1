create function vsync_internal.slot_name()
returns name
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select ('vsync_' || d.oid)::name from pg_database as d where d.datname = current_database() $$;
comment on function vsync_internal.slot_name() is 'the name of this database''s slot';

create function vsync_internal.leaves(relation regclass)
returns setof oid
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- pg_partition_tree would lock them all
    with recursive tree as (
        select leaves.relation::oid as relid
        union all
        select i.inhrelid from tree as t join pg_inherits as i on i.inhparent = t.relid
        join pg_class as c on c.oid = i.inhrelid and c.relispartition)
    select t.relid from tree as t join pg_class as c on c.oid = t.relid and c.relkind <> 'p'
$$;
comment on function vsync_internal.leaves(regclass) is 'the tables that hold a relation''s rows: itself, or the partitions at the ends';

create function vsync_internal.slot_fault()
returns text
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
    select case
        when w.slot is null then 'there was none'
        when w.slot <> vsync_internal.slot_name() then 'the database is a copy of another one'
        when s.slot_name is null then 'the slot was gone'
        when s.plugin is distinct from 'pgoutput' or s.database <> current_database() then 'another slot has its name'
        when s.wal_status = 'lost' then 'the server removed WAL that the slot had not read'
        when s.confirmed_flush_lsn is null or s.confirmed_flush_lsn > w.read_lsn then 'something else read from the slot, or made it anew'
        when not w.ready then coalesce(w.reason, 'it was not finished') end
    from (values (true)) as one (one)
    left join vsync_internal.wal_state as w on w.one
    left join pg_replication_slots as s on s.slot_name = vsync_internal.slot_name()
$$;
comment on function vsync_internal.slot_fault() is
'why the slot cannot be read on from where it was left, null if it can. Reliable only while the lock "wal" is held';

create function vsync_internal.wal_duty(seen bigint, eager boolean default false)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state vsync_internal.wal_state;
begin
    select * into v_state from vsync_internal.wal_state;
    if not exists (select from vsync_internal.feeds as f where f.capture = 'wal') then
        return case when v_state is null then 'none' else 'drop' end;
    elsif not vsync_internal.is_due(v_state.retry_at) and not eager then
        return 'wait';
    elsif vsync_internal.slot_fault() is not null then
        return case when vsync_internal.is_restored() then 'wait' else 'make' end;
    elsif pg_current_wal_flush_lsn() <= greatest('0/0'::pg_lsn + seen, v_state.read_lsn) then
        return 'idle';
    end if;
    return 'read';
end
$$;
comment on function vsync_internal.wal_duty(bigint, boolean) is
'what there is to do about the slot: none, drop, wait (after a failure, unless eager), make, idle, read. seen: up to where the caller knows that
nothing is left';

create function vsync_internal.wal_make()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
    v_fault text;
    v_slot name := vsync_internal.slot_name();
    v_lsn pg_lsn;
begin
    if not vsync_internal.try_lock_table('wal') then
        return false;
    end if;
    v_fault := vsync_internal.slot_fault();
    if v_fault is null or vsync_internal.is_restored() or not exists (select from vsync_internal.feeds as f where f.capture = 'wal') then
        return false;
    end if;
    -- nothing may be written before the slot is there, and it waits for every transaction of the server that has written
    perform pg_drop_replication_slot(s.slot_name) from pg_replication_slots as s where s.slot_name = v_slot;
    select s.lsn into v_lsn from pg_create_logical_replication_slot(v_slot, 'pgoutput') as s;
    insert into vsync_internal.wal_state as w (slot, ready, made_at, read_lsn, read_at)
    values (v_slot, true, clock_timestamp(), v_lsn, clock_timestamp())
    on conflict on constraint wal_state_pkey do update
    set slot = excluded.slot, ready = true, made_at = excluded.made_at, read_lsn = excluded.read_lsn, read_at = excluded.read_at,
        remade = w.remade + (w.made_at is not null)::int, remade_at = case when w.made_at is not null then excluded.made_at end,
        reason = case when w.made_at is not null then v_fault end, error = null, retry_at = null;
    -- what was committed before the slot: every document is compared
    update vsync_internal.progress as p set phase = 'root', after_key = null, restarts = p.restarts + 1
    from vsync_internal.versions as v join vsync_internal.embeddings as e on e.name = v.embedding
    where v.id = p.version_id and e.capture = 'wal' and v.state <> 'dropped';
    perform set_config('synchronous_commit', 'local', true);
    return true;
end
$$;
comment on function vsync_internal.wal_make() is
'makes the slot where it is missing or not the one we left, and has every document of capture wal compared. First in its transaction';

create function vsync_internal.wal_lose(reason text)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.sync_publication();
    update vsync_internal.wal_state as w set ready = false, reason = wal_lose.reason;
    return found;
end
$$;
comment on function vsync_internal.wal_lose(text) is 'gives the slot up: it will be made again';

create function vsync_internal.wal_inspect()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from vsync_internal.published() as w full join vsync_internal.publication() as p using (relation)
        where w.relation is null or p.relation is null or w.columns is distinct from p.columns) then
        return false;
    end if;
    perform vsync_internal.wal_lose('the publication was changed');
    return true;
end
$$;
comment on function vsync_internal.wal_inspect() is 'notices that somebody changed the publication, and gives the slot up';

create function vsync_internal.wal_failed(message text, wait interval)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into vsync_internal.wal_state as w (error, retry_at) values (message, clock_timestamp() + wait)
    on conflict on constraint wal_state_pkey do update set error = excluded.error, retry_at = excluded.retry_at;
    return found;
end
$$;
comment on function vsync_internal.wal_failed(text, interval) is 'records why the slot cannot be made or read, and leaves it alone for a while';

create function vsync_internal.wal_drop()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not vsync_internal.try_lock_table('wal') or exists (select from vsync_internal.feeds as f where f.capture = 'wal') then
        return false;
    end if;
    begin
        perform pg_drop_replication_slot(s.slot_name) from pg_replication_slots as s
        where s.slot_name = vsync_internal.slot_name() and s.database = current_database();
    exception when object_in_use then
        return false;
    end;
    -- not before the slot: decoding older WAL looks the publication up as it was then
    if vsync_internal.has_publication() then
        drop publication vsync;
    end if;
    delete from vsync_internal.wal_state;
    delete from vsync_internal.wal_relations;
    return true;
end
$$;
comment on function vsync_internal.wal_drop() is 'drops slot and publication once no embedding captures by WAL. A worker does it if a session reads just then';

create function vsync_internal.wal_ready(version_id int)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (
        select e.capture <> 'wal' or exists (select from vsync_internal.wal_state as w where w.ready)
        from vsync_internal.versions as v join vsync_internal.embeddings as e on e.name = v.embedding
        where v.id = wal_ready.version_id);
end
$$;
comment on function vsync_internal.wal_ready(int) is 'whether a version''s backfill may begin: under capture wal only once there is a slot';
