create function vsync_internal.members(relation regclass)
returns regclass[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- by the catalog alone: pg_partition_tree() waits for whoever has locked a partition
    with recursive member as (
        select members.relation as oid
        union all
        select i.inhrelid::regclass from member as m join pg_inherits as i on i.inhparent = m.oid
        join pg_class as c on c.oid = i.inhrelid and c.relispartition)
    select array(select m.oid from member as m order by 1)
$$;
comment on function vsync_internal.members(regclass) is 'a relation and its partitions of every level';

create function vsync_internal.install_triggers(capture_id int, relation regclass)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_member regclass;
    v_event text;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    -- DML aimed at a partition fires no statement trigger of its parent
    foreach v_member in array vsync_internal.members(relation) loop
        for v_event in
            select e from unnest(array['insert', 'update', 'delete', 'truncate']) as e
            -- a trigger of another capture is what a dump without rows left
            where not exists (select from pg_trigger as t where t.tgrelid = v_member and t.tgname = 'vsync_' || e
                and t.tgfoid = to_regproc(format('vsync_data.%I', 'capture_' || capture_id)))
        loop
            execute format('create or replace trigger %I after %s on %s %s for each statement execute function vsync_data.%I()',
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

create function vsync_internal.drop_triggers(relation regclass)
returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_event text;
begin
    perform vsync_internal.begin_own_ddl();
    foreach v_event in array array['insert', 'update', 'delete', 'truncate'] loop
        execute format('drop trigger if exists %I on %s', 'vsync_' || v_event, relation);
    end loop;
    return relation;
end
$$;
comment on function vsync_internal.drop_triggers(regclass) is 'takes the capture''s triggers off one table';

create function vsync_internal.feed_keys(keys jsonb)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_agg(jsonb_build_object('column', k -> 'column', 'output', k -> 'column', 'type', k -> 'type', 'builtin', k -> 'builtin') order by i)
    from jsonb_array_elements(keys) with ordinality as e (k, i)
$$;
comment on function vsync_internal.feed_keys(jsonb) is 'key columns under their own names, whatever a document calls them';

create function vsync_internal.sync_feeds(relation regclass)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_class as c where c.oid = relation) then
        -- of several versions that read what is gone, each asks for itself
        update vsync_internal.dependencies as d set feed_id = null where d.relation = sync_feeds.relation and d.feed_id is not null;
        delete from vsync_internal.feeds as f where f.relation = sync_feeds.relation;
        return 0;
    end if;
    -- a feed keeps its number when its columns are renamed: the log may hold rows of it
    update vsync_internal.feeds as f set keys = d.keys
    from (select distinct on (d.feed_id) d.feed_id, vsync_internal.feed_keys(d.keys) as keys
        from vsync_internal.dependencies as d where d.relation = sync_feeds.relation order by d.feed_id) as d
    where f.id = d.feed_id and f.keys <> d.keys;
    insert into vsync_internal.feeds (relation, capture, keys, columns)
    select distinct d.relation, e.capture, vsync_internal.feed_keys(d.keys), '{}'::name[]
    from vsync_internal.dependencies as d
    join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped' and v.following
    join vsync_internal.embeddings as e on e.name = v.embedding and e.capture <> 'manual'
    join vsync_internal.progress as p on p.version_id = v.id
    where d.relation = sync_feeds.relation and d.feed_id is null and (p.broken is null or d.number = 0 and not vsync_internal.root_is_gone(v.id))
    on conflict do nothing;
    update vsync_internal.dependencies as d set feed_id = f.id
    from vsync_internal.versions as v
    join vsync_internal.embeddings as e on e.name = v.embedding
    join vsync_internal.progress as p on p.version_id = v.id
    join vsync_internal.feeds as f on f.capture = e.capture
    where (p.broken is null or d.number = 0 and not vsync_internal.root_is_gone(v.id)) and d.relation = sync_feeds.relation and d.feed_id is null and v.id = d.version_id and v.state <> 'dropped' and v.following
        and f.relation = d.relation and f.keys = vsync_internal.feed_keys(d.keys);
    delete from vsync_internal.feeds as f
    where f.relation = sync_feeds.relation and not exists (select from vsync_internal.dependencies as d where d.feed_id = f.id);
    update vsync_internal.feeds as f set columns = w.columns, images = w.images
    from vsync_internal.feeds as g, lateral vsync_internal.wanted_columns(g) as w
    where f.relation = sync_feeds.relation and g.id = f.id and (f.columns, f.images) is distinct from (w.columns, w.images);
    return (select count(*) from vsync_internal.feeds as f where f.relation = sync_feeds.relation);
end
$$;
comment on function vsync_internal.sync_feeds(regclass) is 'makes a relation''s feeds what the versions depend on; returns how many there are';

create function vsync_internal.sync_capture(relation regclass)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_feeds vsync_internal.feeds[];
    v_id int;
begin
    perform vsync_internal.begin_own_ddl();
    perform vsync_internal.sync_feeds(relation);
    perform vsync_internal.sync_publication();
    select array_agg(f order by f.id) into v_feeds from vsync_internal.feeds as f
    where f.relation = sync_capture.relation and f.capture = 'trigger';
    if v_feeds is null then
        delete from vsync_internal.captures as c where c.relation = sync_capture.relation returning c.id into v_id;
        if v_id is not null then
            perform vsync_internal.drop_triggers(c.oid)
            from unnest(vsync_internal.members(sync_capture.relation)) as m (relation) join pg_class as c on c.oid = m.relation;
            execute format('drop function if exists vsync_data.%I() cascade', 'capture_' || v_id);
        end if;
        return v_id;
    end if;
    insert into vsync_internal.captures (relation) values (relation) on conflict on constraint captures_relation_key do nothing;
    select c.id into v_id from vsync_internal.captures as c where c.relation = sync_capture.relation;
    execute format('create or replace function vsync_data.%I() returns trigger language plpgsql security definer '
        'set search_path = pg_catalog, pg_temp%s as %L',
        'capture_' || v_id, vsync_internal.capture_pins(v_feeds), vsync_internal.capture_body(v_feeds, vsync_internal.primary_key(relation)));
    execute format('revoke all on function vsync_data.%I() from public', 'capture_' || v_id);
    perform vsync_internal.install_triggers(v_id, relation);
    return v_id;
end
$$;
comment on function vsync_internal.sync_capture(regclass) is
'makes a relation''s capture what its embeddings need: created, regenerated in place, or removed; returns its id';
