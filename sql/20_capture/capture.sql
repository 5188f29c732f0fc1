create function vsync_internal.capture_body(capture_id int, keys jsonb, columns name[])
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    -- %1 capture, %2 key text of a row n, %3 of a row o, %4 key and read columns of n, %5 of o, %6 key columns joined, %7 key of n and o as rows
    select format($body$
declare
    v_slot int := (extract(epoch from now())::bigint / 16 %% 3)::int;
    v_op "char" := left(tg_op, 1);
    v_keys text[];
    v_key text;
    v_changed boolean;
    v_moved boolean;
    v_several boolean;
begin
    if tg_op = 'TRUNCATE' then
        insert into vsync_internal.log (slot, capture_id, op) values (v_slot, %1$s, v_op);
        return null;
    elsif tg_op = 'UPDATE' then
        select %2$s, row(%5$s)::record *<> row(%4$s)::record, row(%8$s)::record *<> row(%7$s)::record, s.several
        into v_key, v_changed, v_moved, v_several
        from (select * from new_rows limit 1) as n, (select * from old_rows limit 1) as o,
            (select exists (select from old_rows offset 1)) as s (several);
        if not found then
            -- a row that moves to another partition can be stopped there by a BEFORE trigger: old rows without new ones
            v_keys := (select array_agg(%3$s) from old_rows as o);
        elsif not v_several and not v_moved then
            if not v_changed then
                return null;
            end if;
            v_keys := array[v_key];
        elsif exists (select from new_rows offset 1000) then
            -- comparing a large statement costs its writer more than its rows cost the workers
            insert into vsync_internal.log (slot, capture_id, op, keys)
            select v_slot, %1$s, v_op, array_agg(r.key)
            from (select %2$s as key, row_number() over () / 1000 as page from new_rows as n) as r group by r.page;
            v_keys := (select array_agg(%3$s) from old_rows as o
                where not exists (select from new_rows as n where %6$s));
        else
            v_keys := (select array_agg(u.key) from (
                select %2$s as key from new_rows as n
                where not exists (select from old_rows as o where %6$s and row(%5$s)::record operator(pg_catalog.*=) row(%4$s)::record)
                union
                select %3$s from old_rows as o
                where not exists (select from new_rows as n where row(%8$s)::record operator(pg_catalog.*=) row(%7$s)::record)) as u);
        end if;
    elsif tg_op = 'INSERT' then
        if exists (select from new_rows offset 1000) then
            insert into vsync_internal.log (slot, capture_id, op, keys)
            select v_slot, %1$s, v_op, array_agg(r.key)
            from (select %2$s as key, row_number() over () / 1000 as page from new_rows as n) as r group by r.page;
            return null;
        end if;
        v_keys := (select array_agg(%2$s) from new_rows as n);
    else
        if exists (select from old_rows offset 1000) then
            insert into vsync_internal.log (slot, capture_id, op, keys)
            select v_slot, %1$s, v_op, array_agg(r.key)
            from (select %3$s as key, row_number() over () / 1000 as page from old_rows as o) as r group by r.page;
            return null;
        end if;
        v_keys := (select array_agg(%3$s) from old_rows as o);
    end if;
    if v_keys is not null then
        if v_slot = 0 then
            insert into vsync_internal.log_0 (slot, capture_id, op, keys) values (0, %1$s, v_op, v_keys);
        elsif v_slot = 1 then
            insert into vsync_internal.log_1 (slot, capture_id, op, keys) values (1, %1$s, v_op, v_keys);
        else
            insert into vsync_internal.log_2 (slot, capture_id, op, keys) values (2, %1$s, v_op, v_keys);
        end if;
    end if;
    return null;
end
$body$, capture_id,
        vsync_internal.key_text(keys, 'n', 'column'), vsync_internal.key_text(keys, 'o', 'column'),
        (select string_agg(format('n.%I', c), ', ' order by i) from unnest(columns) with ordinality as u (c, i)),
        (select string_agg(format('o.%I', c), ', ' order by i) from unnest(columns) with ordinality as u (c, i)),
        vsync_internal.key_list(keys, 'n.%2$I = o.%2$I', ' and '),
        vsync_internal.key_list(keys, 'n.%2$I'), vsync_internal.key_list(keys, 'o.%2$I'))
$$;
comment on function vsync_internal.capture_body(int, jsonb, name[]) is
'text of a relation''s trigger function. Rows are compared as images: equal values may still render differently (1.0 and 1.00)';

create function vsync_internal.capture_pins(keys jsonb)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when bool_and((k ->> 'type') ~ '^(smallint|integer|bigint|uuid|text|name|boolean|numeric|character)') then ''
        else ' set datestyle = ''ISO, MDY'' set intervalstyle = ''postgres'' set timezone = ''UTC'' '
            'set extra_float_digits = 1 set bytea_output = ''hex''' end
    from jsonb_array_elements(keys) as k
$$;
comment on function vsync_internal.capture_pins(jsonb) is 'output settings a trigger function pins, where a key type''s text depends on them';

create function vsync_internal.members(relation regclass)
returns regclass[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array(select t.relid from pg_partition_tree(relation) as t union select relation order by 1)
$$;
comment on function vsync_internal.members(regclass) is 'a relation and its partitions of every level';

create function vsync_internal.install_triggers(capture_id int, relation regclass)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'on'
as $$
declare
    v_member regclass;
    v_event text;
    v_count int := 0;
begin
    -- DML aimed at a partition fires no statement trigger of its parent
    foreach v_member in array vsync_internal.members(relation) loop
        for v_event in
            select e from unnest(array['insert', 'update', 'delete', 'truncate']) as e
            where not exists (select from pg_trigger as t where t.tgrelid = v_member and t.tgname = 'vsync_' || e)
        loop
            execute format('create trigger %I after %s on %s %s for each statement execute function vsync_data.%I()',
                'vsync_' || v_event, v_event, v_member,
                case v_event when 'insert' then 'referencing new table as new_rows'
                    when 'update' then 'referencing old table as old_rows new table as new_rows'
                    when 'delete' then 'referencing old table as old_rows' else '' end,
                'capture_' || capture_id);
            execute format('alter table %s enable always trigger %I', v_member, 'vsync_' || v_event);
            v_count := v_count + 1;
        end loop;
    end loop;
    update vsync_internal.captures as c set members = vsync_internal.members(c.relation)
    where c.id = capture_id and c.members is distinct from vsync_internal.members(c.relation);
    return v_count;
end
$$;
comment on function vsync_internal.install_triggers(int, regclass) is
'puts the capture''s triggers on a relation and its partitions where they are missing; returns how many';

create function vsync_internal.sync_capture(relation regclass)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'on'
as $$
declare
    v_keys jsonb;
    v_columns name[];
    v_id int;
    v_member regclass;
    v_event text;
begin
    select v.keys, array(
            select distinct c from vsync_internal.versions as w
            join vsync_internal.embeddings as f on f.name = w.embedding, unnest(w.columns) as c
            where f.root = relation and f.capture <> 'manual' and w.state <> 'dropped' order by c)
    into v_keys, v_columns
    from vsync_internal.versions as v join vsync_internal.embeddings as e on e.name = v.embedding
    where e.root = relation and e.capture <> 'manual' and v.state <> 'dropped' limit 1;
    if not found then
        delete from vsync_internal.captures as c where c.relation = sync_capture.relation returning c.id into v_id;
        if v_id is null then
            return null;
        end if;
        for v_member in select t.relid from pg_partition_tree(relation) as t union
            select c.oid from pg_class as c where c.oid = relation order by 1
        loop
            foreach v_event in array array['insert', 'update', 'delete', 'truncate'] loop
                execute format('drop trigger if exists %I on %s', 'vsync_' || v_event, v_member);
            end loop;
        end loop;
        execute format('drop function if exists vsync_data.%I() cascade', 'capture_' || v_id);
        return v_id;
    end if;
    insert into vsync_internal.captures as c (relation, keys, columns) values (relation, v_keys, v_columns)
    on conflict on constraint captures_relation_key do update set keys = excluded.keys, columns = excluded.columns
    returning c.id into v_id;
    execute format('create or replace function vsync_data.%I() returns trigger language plpgsql security definer '
        'set search_path = pg_catalog, pg_temp%s as %L',
        'capture_' || v_id, vsync_internal.capture_pins(v_keys), vsync_internal.capture_body(v_id, v_keys, v_columns));
    execute format('revoke all on function vsync_data.%I() from public', 'capture_' || v_id);
    perform vsync_internal.install_triggers(v_id, relation);
    return v_id;
end
$$;
comment on function vsync_internal.sync_capture(regclass) is
'makes a relation''s capture what its embeddings need: created, regenerated in place, or removed; returns its id';
