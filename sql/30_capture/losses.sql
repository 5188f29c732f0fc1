-- Triggers see every change but those that are made while they are disabled, or through a table that is a parent of theirs.
create view vsync_internal.capture_losses as
with recursive member as (
    -- by the catalog alone: pg_partition_tree() waits for whoever has locked a table
    select c.id, c.relation, c.relation as member from vsync_internal.captures as c join pg_catalog.pg_class as r on r.oid = c.relation
    union all
    select m.id, m.relation, i.inhrelid::regclass from member as m join pg_catalog.pg_inherits as i on i.inhparent = m.member
    join pg_catalog.pg_class as r on r.oid = i.inhrelid and r.relispartition)
select m.id as capture_id, m.relation, m.member, null::regclass as parent,
    format('%s has no enabled trigger %s: changes are not seen', m.member, 'vsync_' || e.event) as detail
from member as m
cross join (values ('insert'), ('update'), ('delete'), ('truncate')) as e (event)
where not exists (
    select from pg_catalog.pg_trigger as t
    where t.tgrelid = m.member and t.tgname = 'vsync_' || e.event and t.tgenabled in ('O', 'A')
        and t.tgfoid = to_regproc(format('vsync_data.%I', 'capture_' || m.id)))
union all
select c.id, c.relation, c.relation, i.inhparent::regclass,
    format('%s is %s %s: changes that are made through %3$s are not seen', c.relation,
        case when r.relispartition then 'a partition of' else 'a child of' end, i.inhparent::regclass)
from vsync_internal.captures as c
join pg_catalog.pg_class as r on r.oid = c.relation
join pg_catalog.pg_inherits as i on i.inhrelid = c.relation;
comment on view vsync_internal.capture_losses is 'why changes of a captured relation are not seen: a row for each trigger that cannot fire, and for each parent';

create function vsync_internal.unseen(version_id int)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_reason text := (
        select min(c.lost) from vsync_internal.captures as c
        where c.lost is not null and exists (
            select from vsync_internal.dependencies as d
            join vsync_internal.feeds as f on f.id = d.feed_id and f.capture = 'trigger'
            where d.version_id = unseen.version_id and d.relation = c.relation));
begin
    -- every search asks: the view, which looks at whether the database was restored, is read only where a name is another's
    if v_reason is null and exists (
        select from vsync_internal.document_names as n
        where n.version_id = unseen.version_id and case n.attnum
            when 0 then to_regclass(n.name) <> n.relation
            else exists (
                select from pg_attribute as a
                where a.attrelid = n.relation and a.attname = n.name and a.attnum <> n.attnum) end)
    then
        v_reason := (
            select min(format('its document names %s, which is another %s now', n.name, case when n.attnum = 0 then 'relation' else 'column' end))
            from vsync_internal.renamed_apart as n
            where n.version_id = unseen.version_id);
    end if;
    return v_reason;
end
$$;
comment on function vsync_internal.unseen(int) is 'why changes of what a version''s document names are not captured now; null where all are';

create function vsync_internal.watch_captures(relations regclass[] default null)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
set lock_timeout = '100ms'
as $$
declare
    v_capture record;
    v_trigger record;
    v_again boolean;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    if vsync_internal.is_restored() then
        return 0;
    end if;
    if relations is null then
        -- what was renamed, and is committed under its new name, may be swapped by that name
        begin
            perform vsync_internal.record_names(v.id) from vsync_internal.versions as v where v.state <> 'dropped' order by v.id;
        exception when internal_error or undefined_table or lock_not_available then
            null; -- somebody is at it
        end;
    end if;
    for v_capture in
        select c.id, c.relation, c.members, c.lost, l.detail
        from vsync_internal.captures as c
        join pg_class as r on r.oid = c.relation
        left join (select s.capture_id, min(s.detail) as detail from vsync_internal.capture_losses as s group by s.capture_id) as l on l.capture_id = c.id
        where relations is null or c.lost is not null or c.relation = any (relations) or c.members && relations
            or exists (select from pg_inherits as i where i.inhrelid = c.relation and i.inhparent = any (relations))
        order by c.id
    loop
        v_again := v_capture.lost is not null and v_capture.detail is null;
        begin
            -- vsync enables them always; whoever enabled them since, had disabled them before
            for v_trigger in
                select t.tgrelid::regclass as relation, t.tgname from pg_trigger as t
                where t.tgrelid = any (coalesce(v_capture.members, array[v_capture.relation])) and t.tgenabled = 'O'
                    and t.tgname = any ('{vsync_insert, vsync_update, vsync_delete, vsync_truncate}'::name[])
                    and t.tgfoid = to_regproc(format('vsync_data.%I', 'capture_' || v_capture.id))
            loop
                execute format('alter table %s enable always trigger %I', v_trigger.relation, v_trigger.tgname);
                v_again := v_capture.detail is null;
            end loop;
            if v_capture.lost is distinct from v_capture.detail then
                update vsync_internal.captures as c set lost = v_capture.detail where c.id = v_capture.id;
                v_count := v_count + 1;
            end if;
            if v_again then
                perform vsync_internal.review(v_capture.relation, 'M');
            end if;
        exception when lock_not_available or object_in_use or insufficient_privilege or undefined_table or undefined_object then
            null; -- the next look finds it again
        end;
    end loop;
    -- what no event trigger saw, or a lock kept it from following
    perform vsync_internal.attempt('select vsync_internal.sync_policies()') where relations is null;
    return v_count;
end
$$;
comment on function vsync_internal.watch_captures(regclass[]) is
'records which captures see no changes, or see them again: then every document that reads the relation is compared. relations: what was altered, null for all. Returns how many captures are different';
