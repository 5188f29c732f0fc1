-- Calls are counted without writing, in the statistics the server keeps of an index: an index scan is a call, an entry it reads a millisecond.
create function vsync_internal.counter_name(version vsync_internal.versions)
returns name
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select (version.data || '_calls')::name $$;
comment on function vsync_internal.counter_name(vsync_internal.versions) is 'the table in vsync_data whose statistics count the calls of a version';

create function vsync_internal.counter(version vsync_internal.versions)
returns regclass
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- admins may create views in vsync_data: one of this name is none of ours
    select c.oid::regclass from pg_class as c
    where c.relnamespace = 'vsync_data'::regnamespace and c.relname = vsync_internal.counter_name(version) and c.relkind = 'r'
        and c.relowner = (select n.nspowner from pg_namespace as n where n.nspname = 'vsync_internal')
$$;
comment on function vsync_internal.counter(vsync_internal.versions) is 'the same table, null where it was not made';

create function vsync_internal.make_counter(version vsync_internal.versions)
returns name
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = 'warning' -- of what is not there to be dropped nobody is told
set lock_timeout = '1s' -- a transaction that was counted in the experiment before may still be open
as $$
declare
    v_table name := vsync_internal.counter_name(version);
begin
    -- a new table has no statistics yet
    execute format('drop table if exists vsync_data.%I', v_table);
    execute format('create table vsync_data.%I (n int primary key)', v_table);
    execute format('insert into vsync_data.%I select generate_series(1, 10000)', v_table);
    execute format('comment on table vsync_data.%I is %L', v_table, 'counts searches in the statistics of its index, see vsync_internal.count_call()');
    execute format('grant select on vsync_data.%I to public', v_table);
    return v_table;
end
$$;
comment on function vsync_internal.make_counter(vsync_internal.versions) is 'makes what calls of a version are counted by';

create function vsync_internal.count_call(version vsync_internal.versions, started_at timestamptz)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set enable_indexonlyscan = on
as $$
declare
    v_counter regclass := vsync_internal.counter(version);
begin
    if v_counter is null then
        return false;
    end if;
    -- rounded at random, so that fractions add up
    execute format('select from %s where n <= $1', v_counter)
    using floor(extract(epoch from clock_timestamp() - started_at) * 1000 + random())::int;
    return true;
exception when others then
    -- a search never fails of being counted
    return false;
end
$$;
comment on function vsync_internal.count_call(vsync_internal.versions, timestamptz) is
'counts a call that began at a time: also in read-only transactions and on standbys; longer than ten seconds counts as ten';

create function vsync_internal.counted(version vsync_internal.versions, out calls bigint, out milliseconds bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(sum(pg_stat_get_numscans(i.indexrelid)), 0)::bigint, coalesce(sum(pg_stat_get_tuples_returned(i.indexrelid)), 0)::bigint
    from pg_index as i where i.indrelid = vsync_internal.counter(version)
$$;
comment on function vsync_internal.counted(vsync_internal.versions) is 'calls of a version since its counter was made, and the milliseconds they took together';
