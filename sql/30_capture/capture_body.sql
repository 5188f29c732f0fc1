create function vsync_internal.bulk_update(feed vsync_internal.feeds)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    -- Old and new rows stand in one order: old tuples are logged too where they are not the new ones.
    select format(case when feed.keys -> 0 ->> 'type' in ('smallint', 'integer', 'bigint') and jsonb_array_length(feed.keys) = 1 then
            -- whole numbers are cut out of one array, which is much cheaper than grouping rows, and may not exceed a gigabyte
            $numbers$if exists (select from new_rows offset 10000000) then
                %3$s
            else
                with new_keys as materialized (select array_agg(n.%4$I::bigint) as keys from new_rows as n),
                old_keys as materialized (select array_agg(o.%4$I::bigint) as keys from old_rows as o),
                changed as (
                    select n.keys from new_keys as n
                    union all
                    select o.keys from old_keys as o, new_keys as n where o.keys is distinct from n.keys)
                insert into vsync_internal.log (slot, feed_id, op, keys)
                select v_slot, %1$s, v_op, array_remove(c.keys[i : i + 999]::text[], null)
                from changed as c, generate_series(1, cardinality(c.keys), 1000) as i;
            end if;$numbers$
        else '%3$s' end,
        feed.id, null, format($pages$with new_pages as materialized (
                select r.page, array_agg(r.key) as keys
                from (select %2$s as key, row_number() over () / 1000 as page from new_rows as n) as r group by r.page),
            old_pages as (
                select r.page, array_agg(r.key) as keys
                from (select %3$s as key, row_number() over () / 1000 as page from old_rows as o) as r group by r.page),
            changed as (
                select n.keys from new_pages as n
                union all
                select o.keys from old_pages as o left join new_pages as n using (page) where o.keys is distinct from n.keys)
            insert into vsync_internal.log (slot, feed_id, op, keys)
            select v_slot, %1$s, v_op, array_remove(c.keys, null) from changed as c;$pages$,
            feed.id, vsync_internal.key_text(feed.keys, 'n'), vsync_internal.key_text(feed.keys, 'o')),
        feed.keys -> 0 ->> 'column')
$$;
comment on function vsync_internal.bulk_update(vsync_internal.feeds) is 'what a trigger function does with an update of more than a thousand rows, which it does not compare';

create function vsync_internal.feed_body(feed vsync_internal.feeds, place int, pairs text, op text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- %1 feed, %2 its place, %3 tuple of a new row n, %4 of an old row o, %5 whether o and n are one row that did not change, %6 a large update
    select case when cardinality(feed.images) > 0 then vsync_internal.image_body(feed, place, pairs, op) else format(case op when 'INSERT' then $insert$
        if v_many then
            insert into vsync_internal.log (slot, feed_id, op, keys)
            select v_slot, %1$s, v_op, array_agg(r.key)
            from (select %3$s as key, row_number() over () / 1000 as page from new_rows as n) as r where r.key is not null group by r.page;
        else
            v_keys := (select array_agg(r.key) from (select %3$s as key from new_rows as n) as r where r.key is not null);
        end if;$insert$ when 'DELETE' then $delete$
        if v_many then
            insert into vsync_internal.log (slot, feed_id, op, keys)
            select v_slot, %1$s, v_op, array_agg(r.key)
            from (select %4$s as key, row_number() over () / 1000 as page from old_rows as o) as r where r.key is not null group by r.page;
        else
            v_keys := (select array_agg(r.key) from (select %4$s as key from old_rows as o) as r where r.key is not null);
        end if;$delete$ else $update$
        v_keys := null;
        if not v_several then
            if v_one.changed_%2$s then
                v_keys := case when v_one.new_%2$s = v_one.old_%2$s then array[v_one.new_%2$s]
                    else array_remove(array[v_one.old_%2$s, v_one.new_%2$s], null) end;
            end if;
        elsif v_many then
            -- comparing all columns of a large statement costs its writer more than its rows cost the workers
            %6$s
        else
            v_keys := (select array_agg(r.key) from (
                select %3$s from new_rows as n where not exists (select from old_rows as o where %5$s)
                union
                select %4$s from old_rows as o where not exists (select from new_rows as n where %5$s)) as r (key) where r.key is not null);
        end if;$update$ end || $write$
        if cardinality(v_keys) > 0 then
            if v_slot = 0 then
                insert into vsync_internal.log_0 (slot, feed_id, op, keys) values (0, %1$s, v_op, v_keys);
            elsif v_slot = 1 then
                insert into vsync_internal.log_1 (slot, feed_id, op, keys) values (1, %1$s, v_op, v_keys);
            else
                insert into vsync_internal.log_2 (slot, feed_id, op, keys) values (2, %1$s, v_op, v_keys);
            end if;
        end if;$write$, feed.id, place, vsync_internal.key_text(feed.keys, 'n'), vsync_internal.key_text(feed.keys, 'o'),
        pairs || ' and ' || vsync_internal.image(feed.columns, 'o') || ' operator(pg_catalog.*=) ' || vsync_internal.image(feed.columns, 'n'),
        vsync_internal.bulk_update(feed)) end
$$;
comment on function vsync_internal.feed_body(vsync_internal.feeds, int, text, text) is 'what a trigger function does for one of its feeds';

create function vsync_internal.capture_body(feeds vsync_internal.feeds[], key jsonb)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- %1 inserts, %2 deletes, %3 updates, %4 what of one updated row changed, %5 whether any of it did, %6 truncates
    select format($body$
declare
    v_slot int := date_part('epoch', now())::bigint / 16 %% 3;
    v_op "char" := left(tg_op, 1);
    v_keys text[];
    v_one record;
    v_several boolean;
    v_many boolean;
begin
    if tg_op = 'UPDATE' then
        select %4$s, exists (select from old_rows offset 1) as several into v_one from new_rows as n, old_rows as o limit 1;
        -- a row that moves to another partition can be stopped there by a BEFORE trigger: old rows without new ones
        v_several := not found or v_one.several;
        if not v_several and not (%5$s) then
            return null;
        end if;
        v_many := v_several and exists (select from new_rows offset 1000);%3$s
    elsif tg_op = 'INSERT' then
        v_many := exists (select from new_rows offset 1000);%1$s
    elsif tg_op = 'DELETE' then
        v_many := exists (select from old_rows offset 1000);%2$s
    else
        insert into vsync_internal.log (slot, feed_id, op) values %6$s;
    end if;
    return null;
end
$body$,
        string_agg(vsync_internal.feed_body(f, i, p.pairs, 'INSERT'), '' order by i),
        string_agg(vsync_internal.feed_body(f, i, p.pairs, 'DELETE'), '' order by i),
        string_agg(vsync_internal.feed_body(f, i, p.pairs, 'UPDATE'), '' order by i),
        string_agg(format('%1$s as changed_%4$s, %2$s as new_%4$s, %3$s as old_%4$s', vsync_internal.differs(f),
            vsync_internal.key_text(f.keys, 'n'), vsync_internal.key_text(f.keys, 'o'), i), ', ' order by i),
        string_agg('v_one.changed_' || i, ' or ' order by i),
        string_agg(format('(v_slot, %s, v_op)', f.id), ', ' order by i))
    from generate_subscripts(feeds, 1) as i, lateral (select (feeds[i]).*) as f,
        -- a row without a primary key is nobody's successor: what was and what is are both taken for changed
        (select coalesce((select string_agg(format(case when (k ->> 'builtin')::boolean then 'n.%1$I = o.%1$I'
            else 'format(''%%s'', n.%1$I) = format(''%%s'', o.%1$I)' end, k ->> 'column'), ' and ') from jsonb_array_elements(key) as k), 'false')) as p (pairs)
$$;
comment on function vsync_internal.capture_body(vsync_internal.feeds[], jsonb) is 'text of a relation''s trigger function: an event each, and in it feed by feed';

create function vsync_internal.capture_pins(feeds vsync_internal.feeds[])
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case when bool_and((k ->> 'type') ~ '^(smallint|integer|bigint|uuid|text|name|boolean|numeric|character)') and not exists (
            select from unnest(feeds) as i join pg_attribute as a on a.attrelid = i.relation and a.attname = any (i.images)
            where a.atttypid <> all ('{int2,int4,int8,oid,bool,numeric,uuid,text,varchar,bpchar,name,date,timestamp,timestamptz,json,jsonb}'::regtype[])) then ''
        else ' set datestyle = ''ISO, MDY'' set intervalstyle = ''postgres'' set timezone = ''UTC'' '
            'set extra_float_digits = 1 set bytea_output = ''hex''' end
    from unnest(feeds) as f, jsonb_array_elements(f.keys) as k
$$;
comment on function vsync_internal.capture_pins(vsync_internal.feeds[]) is 'output settings a trigger function pins, where the text of a tuple''s or an image''s type depends on them';
