create function vsync_internal.wal_begin(seen bigint, bytes bigint, out from_lsn bigint, out upto_lsn bigint, out upto_now boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_from pg_lsn;
    v_upto pg_lsn;
begin
    if not vsync_internal.try_lock_table('wal') or vsync_internal.slot_fault() is not null then
        return;
    end if;
    select greatest(w.read_lsn, '0/0'::pg_lsn + seen) into v_from from vsync_internal.wal_state as w;
    v_upto := pg_current_wal_flush_lsn();
    if v_upto <= v_from then
        return;
    end if;
    upto_now := v_upto - v_from <= bytes;
    if not upto_now then
        v_upto := v_from + bytes;
    end if;
    from_lsn := v_from - '0/0'::pg_lsn;
    upto_lsn := v_upto - '0/0'::pg_lsn;
end
$$;
comment on function vsync_internal.wal_begin(bigint, bigint) is
'claims the slot until the end of the transaction and says what to read, nulls where another session reads or nothing is there';

create function vsync_internal.wal_feeds()
returns table (relation bigint, feed_id int, keys text[], columns text[], images text[], json_columns text[], by_row boolean)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select l.relid::bigint, f.id, k.columns, f.columns::text[], f.images::text[],
        array(select a.attname::text from pg_attribute as a
            where a.attrelid = f.relation and a.attname = any (f.images) and a.atttypid in ('json'::regtype, 'jsonb'::regtype)),
        k.columns = array(select p ->> 'column' from jsonb_array_elements(vsync_internal.primary_key(f.relation)) with ordinality as u (p, i) order by i)
    from vsync_internal.feeds as f cross join lateral vsync_internal.leaves(f.relation) as l (relid),
        lateral (select array(select k ->> 'column' from jsonb_array_elements(f.keys) with ordinality as u (k, i) order by i)) as k (columns)
    where f.capture = 'wal';
end
$$;
comment on function vsync_internal.wal_feeds() is
'what of a table''s changes goes into the log, a row a table and feed; of a partitioned one for each partition. images: columns whose values go along, json: those
that are JSON; by_row: the key is the primary key';

create function vsync_internal.wal_peek(upto_lsn bigint)
returns setof bytea
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
set client_encoding = 'UTF8'
as $$
declare
    v_columns jsonb := (
        select coalesce(jsonb_object_agg(t.relation, t.columns), '{}')
        from (select f.relation, jsonb_agg(distinct c) as columns
            from vsync_internal.wal_feeds() as f, unnest(f.keys || f.columns || f.images) as c group by f.relation) as t);
    v_tables jsonb := '{}';
    v_oid bigint;
    v_table bigint;
    v_wanted boolean[];
    v_message bytea;
begin
    for v_message in
        select p.data from pg_logical_slot_peek_binary_changes(vsync_internal.slot_name(), '0/0'::pg_lsn + wal_peek.upto_lsn, null,
            'proto_version', '1', 'publication_names', 'vsync') as p
    loop
        -- I, U, D, R are followed by the table
        if get_byte(v_message, 0) in (73, 85, 68, 82) then
            v_oid := get_byte(v_message, 1)::bigint * 16777216 + get_byte(v_message, 2) * 65536 + get_byte(v_message, 3) * 256 + get_byte(v_message, 4);
            if get_byte(v_message, 0) = 82 then
                v_wanted := vsync_internal.wal_wanted(v_message, array(select jsonb_array_elements_text(v_columns -> v_oid::text)));
                v_tables := v_tables || jsonb_build_object(v_oid::text, v_wanted);
                v_table := v_oid;
            else
                if v_oid is distinct from v_table then
                    v_wanted := array(select w::boolean from jsonb_array_elements_text(v_tables -> v_oid::text) with ordinality as u (w, i) order by i);
                    v_table := v_oid;
                end if;
                if v_wanted = '{}' or false = any (v_wanted) then
                    v_message := vsync_internal.wal_filter(v_message, v_wanted);
                end if;
            end if;
        end if;
        return next v_message;
    end loop;
end
$$;
comment on function vsync_internal.wal_peek(bigint) is
'pgoutput''s messages of transactions whose commit record begins below an LSN, without the values of columns that no feed reads; read them through a cursor';

create function vsync_internal.wal_append(feed_id int, rows text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_keys jsonb := (select vsync_internal.key_places(f.keys) from vsync_internal.feeds as f where f.id = wal_append.feed_id);
    v_single boolean := jsonb_array_length(v_keys) = 1;
    v_imaged boolean := (select f.images <> '{}' from vsync_internal.feeds as f where f.id = wal_append.feed_id);
    v_elements text := case when v_single then 'json_array_elements_text' else 'json_array_elements' end;
    v_count bigint;
begin
    if v_keys is null then
        return 0;
    end if;
    -- a type from outside pg_catalog goes in as the text that it came as: its input function is anybody's
    execute format($sql$
        insert into vsync_internal.log (slot, feed_id, op, captured_at, keys, images, source)
        select vsync_internal.slot(), $1, r.op, '2000-01-01 00:00:00+00'::timestamptz + r.at * interval '1 microsecond', s.keys, s.images, r.source::xid8
        from json_to_recordset($2::json) as r (op "char", at bigint, keys json, images json, source text)
        left join lateral (select array_agg(t.key) as keys, %4$s as images from (
            select %1$s as key, k.image from (select %2$s, e.image from %3$s) as k) as t where t.key is not null) as s on true
        where s.keys is not null or r.op = 'T'
        $sql$, vsync_internal.key_text(v_keys, 'k'),
        (select string_agg(format(case when (k ->> 'builtin')::boolean then '(%1$s)::%2$s as %3$I' else '%1$s as %3$I' end,
            case when v_single then 'e.v' else format('e.v ->> %s', i - 1) end, k ->> 'type', k ->> 'output'), ', ' order by i)
            from jsonb_array_elements(v_keys) with ordinality as u (k, i)),
        case when v_imaged then format('rows from (%s(r.keys), json_array_elements(r.images)) as e (v, image)', v_elements)
            else format('(select u.v, null::json as image from %s(r.keys) as u (v)) as e', v_elements) end,
        case when v_imaged then 'array_agg(t.image::text)' else 'null::text[]' end)
    using feed_id, rows;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.wal_append(int, text) is
'writes log rows of a feed as the triggers do. rows: a JSON array of {"op", "at": microseconds since 2000, "keys"}, a key of several columns an array;
where rules read the rows also "images", parallel to the keys, and "source": the transaction';

create function vsync_internal.wal_review(feed_ids int[])
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    insert into vsync_internal.log (slot, version_id, op)
    select distinct vsync_internal.slot(), d.version_id, 'R'::"char" from vsync_internal.dependencies as d where d.feed_id = any (feed_ids);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.wal_review(int[]) is
'has all documents compared that hang on feeds whose changes the WAL did not tell in full: a renamed column, a replica identity without the columns';

create function vsync_internal.wal_confirm(lsn bigint, at bigint, transactions bigint, keys bigint)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- the slot is advanced after this commit, which a crash must not undo
    perform set_config('synchronous_commit', 'local', true);
    update vsync_internal.wal_state as w
    set read_lsn = greatest(w.read_lsn, '0/0'::pg_lsn + lsn), error = null, retry_at = null,
        read_at = greatest(w.read_at, coalesce('2000-01-01 00:00:00+00'::timestamptz + at * interval '1 microsecond', transaction_timestamp())),
        transactions = w.transactions + wal_confirm.transactions, keys = w.keys + wal_confirm.keys;
    return found;
end
$$;
comment on function vsync_internal.wal_confirm(bigint, bigint, bigint, bigint) is
'notes that everything below lsn is in the log. at: commit time of the last transaction, in microseconds since 2000; null: now';

create function vsync_internal.wal_advance()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read pg_lsn;
begin
    if not vsync_internal.try_lock_table('wal') or vsync_internal.slot_fault() is not null then
        return false;
    end if;
    select w.read_lsn into v_read from vsync_internal.wal_state as w;
    if not exists (select from pg_replication_slots as s where s.slot_name = vsync_internal.slot_name() and s.confirmed_flush_lsn < v_read) then
        return false;
    end if;
    perform pg_replication_slot_advance(vsync_internal.slot_name(), v_read);
    return true;
end
$$;
comment on function vsync_internal.wal_advance() is 'lets the server forget WAL that has been read; in a transaction after the one that confirmed it';

create function vsync_internal.wal_target()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from vsync_internal.feeds as f where f.capture = 'wal') then
        return null;
    end if;
    -- a commit under synchronous_commit = off is flushed by ours
    perform set_config('synchronous_commit', 'local', true);
    return pg_logical_emit_message(true, 'vsync', '') - '0/0'::pg_lsn;
end
$$;
comment on function vsync_internal.wal_target() is
'a position after everything committed so far; flushed once this transaction is. Null without embeddings of capture wal';

create function vsync_internal.wal_reached(target bigint, seen bigint, eager boolean default false)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return case vsync_internal.wal_duty(seen, eager)
        when 'none' then true when 'drop' then true when 'wait' then true when 'make' then false
        else (select greatest(w.read_lsn, '0/0'::pg_lsn + seen) >= '0/0'::pg_lsn + target from vsync_internal.wal_state as w) end;
end
$$;
comment on function vsync_internal.wal_reached(bigint, bigint, boolean) is 'whether the slot was read up to a position, or cannot be for now';
