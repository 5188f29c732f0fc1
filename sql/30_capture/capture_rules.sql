create function vsync_internal.check_images(relation regclass)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_leaf regclass;
begin
    for v_leaf in
        select l.relid from vsync_internal.feeds as f, lateral vsync_internal.wanted_columns(f) as w, vsync_internal.leaves(check_images.relation) as l (relid)
        join pg_class as c on c.oid = l.relid and c.relreplident <> 'f'
        where f.relation = check_images.relation and f.capture = 'wal' and w.images <> '{}' limit 1
    loop
        raise exception using
            errcode = 'VS502',
            message = format('the replica identity of %s does not tell enough', v_leaf),
            detail = 'A rule reads old and new rows, and the changes of this table are read from the WAL.',
            hint = format('alter table %s replica identity full', v_leaf);
    end loop;
    return true;
end
$$;
comment on function vsync_internal.check_images(regclass) is 'refuses rules on rows that the WAL does not tell in full';

create function vsync_internal.sync_rules(embedding name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_relation regclass;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    for v_relation in
        select distinct f.relation
        from vsync_internal.versions as v
        join vsync_internal.dependencies as d on d.version_id = v.id
        join vsync_internal.feeds as f on f.id = d.feed_id,
            lateral vsync_internal.wanted_columns(f) as w
        where v.embedding = sync_rules.embedding and (f.columns, f.images) is distinct from (w.columns, w.images)
        order by 1
    loop
        perform vsync_internal.check_images(v_relation);
        -- who has written the table commits first: a change is captured with what the rules in force read
        execute format('lock table %s in share row exclusive mode', v_relation);
        perform vsync_internal.sync_capture(v_relation);
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.sync_rules(name) is
'has an embedding''s relations captured with what its rules read, after one was made, changed or dropped; returns how many had to change';
