create function vsync_internal.identity_columns(relation regclass)
returns name[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case c.relreplident
        when 'f' then array(select a.attname from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum)
        when 'n' then null
        else (select array_agg(a.attname order by a.attnum) from pg_index as i, unnest(i.indkey) with ordinality as u (attnum, n)
            join pg_attribute as a on a.attnum = u.attnum
            where i.indrelid = c.oid and a.attrelid = c.oid and u.n <= i.indnkeyatts and i.indisvalid
                and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end) end
    from pg_class as c where c.oid = relation
$$;
comment on function vsync_internal.identity_columns(regclass) is
'the columns whose old values the WAL tells; null where there are none: published, such a table would refuse UPDATE and DELETE';

create function vsync_internal.check_wal(root regclass, dependencies jsonb, options jsonb)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_feed record;
    v_leaf regclass;
    v_column text;
    v_alter text;
begin
    if current_setting('wal_level') <> 'logical' then
        raise exception using
            errcode = 'VS501',
            message = 'capture by WAL needs wal_level = logical',
            detail = format('wal_level is %s.', current_setting('wal_level')),
            hint = 'alter system set wal_level = ''logical''; then restart the server';
    end if;
    for v_feed in
        select (d ->> 'relation_oid')::oid::regclass as relation, array(select k ->> 'column' from jsonb_array_elements(d -> 'keys') as k) as keys
        from jsonb_array_elements(coalesce(dependencies, '[]')) as d
        union all
        select root, array(select a.attname::text from pg_index as i join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
            where i.indrelid = root and i.indisprimary)
    loop
        if exists (select from pg_class as c where c.oid = v_feed.relation and (c.relpersistence <> 'p' or c.relkind not in ('r', 'p'))) then
            raise exception using
                errcode = 'VS501',
                message = format('changes of %s cannot be read from the WAL', v_feed.relation),
                detail = 'It is unlogged, temporary, or no table.',
                hint = 'Use capture => ''trigger''.';
        end if;
        select a.attname into v_column from pg_attribute as a
        where a.attrelid = v_feed.relation and a.attname = any (v_feed.keys) and a.attgenerated <> '';
        if found then
            raise exception using
                errcode = 'VS501',
                message = format('changes of %s cannot be read from the WAL', v_feed.relation),
                detail = format('Its generated column "%s" leads to the documents, and publications leave generated columns out.', v_column),
                hint = 'Use capture => ''trigger''.';
        end if;
        for v_leaf in select l from vsync_internal.leaves(v_feed.relation) as l loop
            continue when v_feed.keys <@ coalesce(vsync_internal.identity_columns(v_leaf)::text[], '{}');
            v_alter := format('alter table %s replica identity full', v_leaf);
            if options ->> 'replica_identity' is distinct from 'full' then
                raise exception using
                    errcode = 'VS502',
                    message = format('the replica identity of %s does not tell enough', v_leaf),
                    detail = format('Old values of %s are needed; it has %s.', array_to_string(v_feed.keys, ', '),
                        coalesce(array_to_string(vsync_internal.identity_columns(v_leaf), ', '), 'none')),
                    hint = format('%s; or have vsync do it: options => ''{"replica_identity": "full"}''', v_alter);
            end if;
            begin
                execute v_alter;
            exception when insufficient_privilege then
                raise exception using
                    errcode = 'VS002',
                    message = format('permission denied to set the replica identity of %s', v_leaf),
                    detail = sqlerrm,
                    hint = format('As its owner: %s', v_alter);
            end;
        end loop;
    end loop;
    return true;
end
$$;
comment on function vsync_internal.check_wal(regclass, jsonb, jsonb) is
'refuses what the WAL does not tell: the server''s setting, tables that are not logged, replica identities without the columns that lead to the
root; or sets those, with the caller''s rights, where the option says so';

create function vsync_internal.published()
returns table (relation regclass, columns name[])
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    -- a partitioned table stands for its partitions, those attached later too; its list of columns would not hold for them
    -- a list stands in the way of a change of its columns' types, too
    select f.relation, case when c.relkind = 'r' and c.relreplident <> 'f' and not exists (
        select from vsync_internal.dependencies as d where d.relation = f.relation and d.feed_id is not null and vsync_internal.is_down(d.version_id)) then (
        select array_agg(a.attname order by a.attnum) from pg_attribute as a
        where a.attrelid = c.oid and (a.attname = any (vsync_internal.identity_columns(c.oid)) or exists (
            select from vsync_internal.feeds as g, jsonb_array_elements(g.keys) as k
            where g.relation = f.relation and g.capture = 'wal' and a.attname = k ->> 'column'))) end
    from (select distinct g.relation from vsync_internal.feeds as g where g.capture = 'wal') as f
    join pg_class as c on c.oid = f.relation
    where c.relkind = 'p' or vsync_internal.identity_columns(c.oid) is not null
$$;
comment on function vsync_internal.published() is
'what the publication must contain, columns null for all. A table without replica identity is left out: its writers would be refused';

create function vsync_internal.publication()
returns table (relation regclass, columns name[])
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select r.prrelid::regclass, (select array_agg(a.attname order by a.attnum) from pg_attribute as a
        where a.attrelid = r.prrelid and a.attnum = any (r.prattrs))
    from pg_publication as p join pg_publication_rel as r on r.prpubid = p.oid
    where p.pubname = 'vsync'
$$;
comment on function vsync_internal.publication() is 'what the publication contains';

create function vsync_internal.has_publication()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_comment text;
begin
    select coalesce(obj_description(p.oid, 'pg_publication'), '') into v_comment from pg_publication as p where p.pubname = 'vsync';
    if found and v_comment not like 'vsync: %' then
        raise exception using
            errcode = 'VS501',
            message = 'publication "vsync" belongs to somebody else',
            detail = 'Capture by WAL needs this name.',
            hint = 'alter publication vsync rename to …';
    end if;
    return v_comment is not null;
end
$$;
comment on function vsync_internal.has_publication() is 'whether our publication exists; one of that name that is not ours is an error';

create function vsync_internal.sync_publication()
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_table record;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    perform vsync_internal.lock_table('publication');
    if not exists (select from vsync_internal.feeds as f where f.capture = 'wal') then
        if exists (select from vsync_internal.wal_state) then
            perform vsync_internal.wal_drop();
        end if;
        return 0;
    end if;
    insert into vsync_internal.wal_state (one) select true where not exists (select from vsync_internal.wal_state) on conflict do nothing;
    if not vsync_internal.has_publication() then
        create publication vsync with (publish = 'insert, update, delete, truncate', publish_via_partition_root = false);
        comment on publication vsync is 'vsync: what embeddings of capture wal read';
    end if;
    for v_table in
        select relation, w.columns, w.relation is not null as wanted, p.relation is not null as present
        from vsync_internal.published() as w full join vsync_internal.publication() as p using (relation)
        where w.relation is null or p.relation is null or w.columns is distinct from p.columns
        order by relation
    loop
        if v_table.wanted then
            -- who has written the table commits first: a transaction's changes are published by what held when they were made
            execute format('lock table %s in share row exclusive mode', v_table.relation);
        end if;
        if v_table.present then
            execute format('alter publication vsync drop table %s', v_table.relation);
        end if;
        if v_table.wanted then
            execute format('alter publication vsync add table %s%s', v_table.relation,
                (select ' (' || string_agg(format('%I', c), ', ') || ')' from unnest(v_table.columns) as c));
        end if;
        v_count := v_count + 1;
    end loop;
    delete from vsync_internal.wal_relations as r where not exists (select from vsync_internal.feeds as f where f.capture = 'wal' and f.relation = r.relation);
    insert into vsync_internal.wal_relations (relation, members)
    select distinct f.relation, vsync_internal.members(f.relation) from vsync_internal.feeds as f join pg_class as c on c.oid = f.relation and c.relkind = 'p'
    where f.capture = 'wal' and not exists (select from vsync_internal.wal_relations as r where r.relation = f.relation);
    return v_count;
end
$$;
comment on function vsync_internal.sync_publication() is
'makes the publication what the feeds of capture wal need; without any, drops it and the slot. Returns how many tables changed';

create function vsync_internal.follow_wal()
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_table record;
    v_leaf regclass;
    v_now regclass[];
begin
    perform vsync_internal.begin_own_ddl();
    if not exists (select from vsync_internal.feeds as f where f.capture = 'wal') or vsync_internal.is_restored() then
        return 0;
    end if;
    for v_table in select r.* from vsync_internal.wal_relations as r join pg_class as c on c.oid = r.relation loop
        v_now := vsync_internal.members(v_table.relation);
        continue when v_now = v_table.members;
        -- the publication has a new partition at once, and one without identity would refuse its writers
        for v_leaf in select l.relid from vsync_internal.lacking_identity() as l where l.relation = v_table.relation and l.relid <> all (v_table.members) loop
            execute format('alter table %s replica identity full', v_leaf);
        end loop;
        perform vsync_internal.review(v_table.relation, case when v_now <@ v_table.members then 'O'::"char" else 'R'::"char" end);
        update vsync_internal.wal_relations as r set members = v_now where r.relation = v_table.relation;
    end loop;
    if not exists (select from vsync_internal.published() as w full join vsync_internal.publication() as p using (relation)
        where w.relation is null or p.relation is null or w.columns is distinct from p.columns) then
        return 0;
    end if;
    return vsync_internal.sync_publication();
end
$$;
comment on function vsync_internal.follow_wal() is
'after DDL: new partitions get the replica identity they need, a changed key or identity changes the publication''s columns, which would else refuse writers';

create function vsync_internal.lacking_identity()
returns table (relation regclass, relid regclass, columns text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select f.relation, l.relid, (select string_agg(k ->> 'column', ', ' order by i) from jsonb_array_elements(f.keys) with ordinality as u (k, i))
    from vsync_internal.feeds as f join pg_class as c on c.oid = f.relation cross join lateral vsync_internal.leaves(f.relation) as l (relid)
    where f.capture = 'wal' and exists (
        select from jsonb_array_elements(f.keys) as k
        where (k ->> 'column') <> all (coalesce(vsync_internal.identity_columns(l.relid)::text[], '{}')))
$$;
comment on function vsync_internal.lacking_identity() is 'tables whose replica identity does not tell the columns that lead to documents';
