create function vsync_internal.review(relation regclass, op "char", whole_row boolean default false)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    -- through the log: a worker may hold the progress of a version while it waits for the table that is being altered
    insert into vsync_internal.log (slot, version_id, op)
    select vsync_internal.slot(), d.version_id, case when min(d.number) = 0 or review.op <> 'O' then review.op else 'R' end
    from vsync_internal.dependencies as d
    where d.relation = review.relation and d.feed_id is not null and (d.whole_row or not review.whole_row)
    group by d.version_id;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.review(regclass, "char", boolean) is
'has documents looked at after a change of a table that no trigger sees: op R all of them, M all and they are stale until then, O stored keys whose row of the root may be gone';

create function vsync_internal.follow_partitions()
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_capture record;
    v_now regclass[];
    v_left regclass;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    perform vsync_internal.follow_wal();
    for v_capture in
        select c.id, c.relation, c.members from vsync_internal.captures as c join pg_class as r on r.oid = c.relation and r.relkind = 'p'
    loop
        -- what a parallel restore loads shows up between two statements, and listing its partitions would lock them
        exit when vsync_internal.is_restored();
        v_now := vsync_internal.members(v_capture.relation);
        continue when v_now = v_capture.members;
        for v_left in
            select c.oid from unnest(v_capture.members) as m (oid) join pg_class as c on c.oid = m.oid where m.oid <> all (v_now)
        loop
            perform vsync_internal.drop_triggers(v_left);
        end loop;
        perform vsync_internal.install_triggers(v_capture.id, v_capture.relation);
        perform vsync_internal.review(v_capture.relation, case when v_now <@ v_capture.members then 'O'::"char" else 'R'::"char" end);
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.follow_partitions() is
'notices partitions that were attached, detached or dropped since; returns the number of captures concerned';

create function vsync_internal.follow_schema(root regclass)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_view record;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    for v_view in
        select distinct c.oid::regclass as view, n.nspname, e.name
        from vsync_internal.embeddings as e
        join vsync_internal.versions as v on v.embedding = e.name and v.state <> 'dropped'
        join pg_class as t on t.oid = e.root
        join pg_namespace as n on n.oid = t.relnamespace
        join pg_depend as d on d.refclassid = 'pg_class'::regclass and d.refobjid = to_regclass(format('vsync_data.%I', v.data))
        join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
        join pg_class as c on c.oid = w.ev_class and c.relkind = 'v' and c.relname = e.name
        where e.root = follow_schema.root and not exists (select from pg_class as o where o.relname = e.name and o.relnamespace = n.oid)
    loop
        execute format('alter view %s set schema %I', v_view.view, v_view.nspname);
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.follow_schema(regclass) is
'moves the serving views of a root beside it, where no relation has their name; returns how many';

create function vsync_internal.follow_ddl()
returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_relation regclass;
    v_capture vsync_internal.captures;
    v_version_id int;
begin
    -- during a restore the tables, functions and triggers come one by one
    if to_regclass('vsync_internal.captures') is null or vsync_internal.is_own_ddl() then
        return;
    end if;
    if tg_tag in ('CREATE POLICY', 'ALTER POLICY', 'GRANT', 'REVOKE') then
        perform vsync_internal.attempt('select vsync_internal.sync_policies()') where not vsync_internal.is_restored();
        return;
    end if;
    perform vsync_internal.attempt('select vsync_internal.follow_partitions()');
    for v_capture in select c.* from vsync_internal.captures as c where tg_tag = 'DROP TRIGGER' loop
        exit when vsync_internal.is_restored();
        if vsync_internal.attempt(format('select vsync_internal.install_triggers(%s, %L)', v_capture.id, v_capture.relation::oid)) > 0 then
            -- what happened since is unknown
            perform vsync_internal.review(v_capture.relation, 'R');
        end if;
    end loop;
    perform vsync_internal.attempt(format('select vsync_internal.follow_schema(%L)', e.root::oid)) from (
        select distinct e.root from pg_event_trigger_ddl_commands() as d join vsync_internal.embeddings as e on e.root = d.objid
        where d.classid = 'pg_class'::regclass and not vsync_internal.is_restored()) as e;
    for v_relation in
        select distinct f.relation from pg_event_trigger_ddl_commands() as d
        join vsync_internal.feeds as f on d.objid = f.relation or f.relation in (select pg_partition_root(d.objid::regclass))
        where d.classid = 'pg_class'::regclass
    loop
        exit when vsync_internal.is_restored();
        for v_version_id in
            select distinct d.version_id from vsync_internal.dependencies as d
            join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
            where d.relation = v_relation order by 1
        loop
            perform vsync_internal.attempt(format('select vsync_internal.try_reanalyse(%s)::int', v_version_id));
            -- what gets another name now may be swapped by that name before a worker looks
            perform vsync_internal.attempt(format('select vsync_internal.record_names(%s)', v_version_id));
        end loop;
        -- what rules read may have another name now: the writer's trigger function must not name it
        perform vsync_internal.attempt(format('select vsync_internal.sync_capture(%L)', v_relation::oid)) where exists (
            select from vsync_internal.feeds as f, lateral vsync_internal.wanted_columns(f) as w
            where f.relation = v_relation and (f.columns, f.images) is distinct from (w.columns, w.images));
        -- a whole row reads differently when a column comes, goes, or changes its name or type
        perform vsync_internal.review(v_relation, 'R', whole_row => true);
    end loop;
    perform vsync_internal.attempt(format('select vsync_internal.sync_policies(%L)', e.root::oid)) from (
        select distinct e.root from pg_event_trigger_ddl_commands() as d join vsync_internal.embeddings as e on e.root = d.objid
        where d.classid = 'pg_class'::regclass and not vsync_internal.is_restored()) as e;
    for v_version_id in
        select distinct r.id from pg_event_trigger_ddl_commands() as d, vsync_internal.readers_of(d.classid, d.objid) as r (id)
        where d.command_tag in ('CREATE VIEW', 'ALTER VIEW', 'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER TYPE') order by 1
    loop
        exit when vsync_internal.is_restored();
        perform vsync_internal.attempt(format('select vsync_internal.follow_definition(%s)::int', v_version_id));
    end loop;
    perform vsync_internal.attempt(format('select vsync_internal.watch_captures(%L::oid[]::regclass[])', array(
        select distinct d.objid from pg_event_trigger_ddl_commands() as d where d.classid = 'pg_class'::regclass)))
    where tg_tag in ('ALTER TABLE', 'CREATE TABLE');
end
$$;
comment on function vsync_internal.follow_ddl() is
'follows renames, attached partitions, dropped triggers and policies of captured relations, and views, functions and types that are replaced';

create function vsync_internal.notice_drop()
returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('vsync_internal.progress') is null or vsync_internal.is_own_ddl() then
        return;
    end if;
    perform vsync_internal.attempt(format('select vsync_internal.take_down(%s, %L)::int', l.id, l.reason)) from (
        select v.id, format('%s is gone', case
            when to_regclass(format('vsync_data.%I', v.data)) is null then format('the vector table vsync_data.%I', v.data)
            else 'a table, column or function that the document reads' end) as reason
        from vsync_internal.versions as v join vsync_internal.progress as p on p.version_id = v.id
        where p.broken is null and v.state <> 'dropped'
            and (to_regclass(format('vsync_data.%I', v.data)) is null or to_regclass(format('vsync_data.%I', v.data || '_document')) is null)
        order by v.id) as l;
    update vsync_internal.dependencies as d set feed_id = null
    where d.feed_id is not null and vsync_internal.is_down(d.version_id) and vsync_internal.root_is_gone(d.version_id);
    -- a trigger function that names a column which is gone would stop every writer
    perform vsync_internal.attempt(format('select vsync_internal.sync_capture(%L)', f.relation::oid))
    from (select distinct f.relation from vsync_internal.feeds as f join pg_class as c on c.oid = f.relation
        where not exists (select from vsync_internal.dependencies as d where d.feed_id = f.id)
            or exists (select from unnest(f.columns) as u (name) where not exists (
                select from pg_attribute as a where a.attrelid = f.relation and a.attname = u.name and not a.attisdropped))
        order by 1) as f;
    perform vsync_internal.attempt('select vsync_internal.sync_policies()') where exists (
        select from pg_event_trigger_dropped_objects() as d where d.object_type in ('policy', 'table column')) and not vsync_internal.is_restored();
    perform vsync_internal.attempt('select vsync_internal.follow_partitions()');
    perform vsync_internal.attempt(format('select vsync_internal.watch_captures(array[%s]::regclass[])', l.relations))
    from (select string_agg(c.relation::oid::text, ', ') as relations from vsync_internal.captures as c
        where to_regproc(format('vsync_data.%I', 'capture_' || c.id)) is null) as l
    where l.relations is not null;
end
$$;
comment on function vsync_internal.notice_drop() is 'takes down versions whose table, document or vectors were dropped; follows dropped partitions';
