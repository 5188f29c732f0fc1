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
    select vsync_internal.slot(), v.id, review.op
    from vsync_internal.versions as v join vsync_internal.embeddings as e on e.name = v.embedding
    where e.root = relation and e.capture <> 'manual' and v.state <> 'dropped' and (v.whole_row or not review.whole_row);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.review(regclass, "char", boolean) is
'has the documents of a root looked at after a change that no trigger sees: op R all rows, O stored keys whose row may be gone';

create function vsync_internal.follow_partitions()
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'on'
as $$
declare
    v_capture record;
    v_now regclass[];
    v_left regclass;
    v_event text;
    v_count int := 0;
begin
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
            foreach v_event in array array['insert', 'update', 'delete', 'truncate'] loop
                execute format('drop trigger if exists %I on %s', 'vsync_' || v_event, v_left);
            end loop;
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

create function vsync_internal.follow_ddl()
returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_capture vsync_internal.captures;
    v_version vsync_internal.versions;
    v_key_columns text[];
    v_columns name[];
    v_new jsonb;
    v_renamed boolean;
begin
    -- during a restore the tables, functions and triggers come one by one
    if to_regclass('vsync_internal.captures') is null or current_setting('vsync.own_ddl', true) = 'on' then
        return;
    end if;
    perform vsync_internal.follow_partitions();
    for v_capture in
        select distinct c.* from pg_event_trigger_ddl_commands() as d
        join vsync_internal.captures as c on d.objid = c.relation
            or c.relation in (select pg_partition_root(d.objid::regclass))
        where d.classid = 'pg_class'::regclass
    loop
        exit when vsync_internal.is_restored();
        v_renamed := false;
        for v_version in
            select v.* from vsync_internal.versions as v join vsync_internal.embeddings as e on e.name = v.embedding
            where e.root = v_capture.relation and v.state <> 'dropped'
        loop
            select array_agg(a.attname::text order by u.i) into v_key_columns
            from pg_index as x, unnest(x.indkey) with ordinality as u (attnum, i)
            join pg_attribute as a on a.attrelid = v_capture.relation and a.attnum = u.attnum
            where x.indrelid = v_capture.relation and x.indisprimary and u.i <= x.indnkeyatts;
            if v_key_columns is null or cardinality(v_key_columns) <> jsonb_array_length(v_version.keys) then
                continue;
            end if;
            -- a column that is still there was not renamed, whatever the primary key is now
            v_new := (select jsonb_agg(case when exists (select from pg_attribute as a where a.attrelid = v_capture.relation
                    and a.attname = k ->> 'column' and not a.attisdropped) then k
                else jsonb_set(k, '{column}', to_jsonb(v_key_columns[i])) end order by i)
                from jsonb_array_elements(v_version.keys) with ordinality as u (k, i));
            v_columns := array(select distinct c from (
                select unnest(v_key_columns) as c
                union select a.attname from pg_rewrite as r
                join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
                    and d.refobjid = v_capture.relation and d.refobjsubid > 0
                join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                where r.ev_class = to_regclass(format('vsync_data.%I', v_version.data || '_document'))
                union select a.attname from pg_attribute as a
                where a.attrelid = v_capture.relation and a.attnum > 0 and not a.attisdropped and v_version.whole_row) as s (c) order by c);
            if v_new <> v_version.keys or v_columns <> v_version.columns then
                update vsync_internal.versions as v set keys = v_new, columns = v_columns where v.id = v_version.id;
                v_renamed := true;
            end if;
        end loop;
        if v_renamed then
            perform vsync_internal.sync_capture(v_capture.relation);
        elsif vsync_internal.install_triggers(v_capture.id, v_capture.relation) > 0 then
            -- a trigger was dropped: what happened since is unknown
            perform vsync_internal.review(v_capture.relation, 'R');
        end if;
        -- a whole row reads differently when a column comes, goes, or changes its name or type
        perform vsync_internal.review(v_capture.relation, 'R', whole_row => true);
    end loop;
end
$$;
comment on function vsync_internal.follow_ddl() is 'follows renames, attached partitions and dropped triggers of captured relations';

create function vsync_internal.notice_drop()
returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('vsync_internal.progress') is null or current_setting('vsync.own_ddl', true) = 'on' then
        return;
    end if;
    update vsync_internal.progress as p
    set broken = format('%s is gone', case
        when to_regclass(format('vsync_data.%I', v.data)) is null then format('the vector table vsync_data.%I', v.data)
        else 'the root table, or a column or function that the document reads,' end)
    from vsync_internal.versions as v
    where v.id = p.version_id and p.broken is null and v.state <> 'dropped'
        and (to_regclass(format('vsync_data.%I', v.data)) is null or to_regclass(format('vsync_data.%I', v.data || '_document')) is null);
    perform vsync_internal.follow_partitions();
end
$$;
comment on function vsync_internal.notice_drop() is 'marks embeddings broken whose table, document or vectors were dropped; follows dropped partitions';

-- Event triggers are a superuser's; without one, doctor() still finds what they would have followed.
do $$
begin
    if (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user) then
        create event trigger vsync_follow_ddl on ddl_command_end when tag in ('ALTER TABLE', 'CREATE TABLE', 'DROP TRIGGER')
            execute function vsync_internal.follow_ddl();
        create event trigger vsync_notice_drop on sql_drop execute function vsync_internal.notice_drop();
    end if;
end
$$;
