create function vsync_internal.repair_capture(embedding name)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_relations regclass[];
    v_trigger record;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    perform vsync_internal.require_owner(v_embedding.owner, format('repair the capture of "%s"', embedding));
    -- what was renamed meanwhile has other names in the triggers
    perform vsync_internal.reanalyse(v.id) from vsync_internal.versions as v join vsync_internal.progress as p on p.version_id = v.id
    where v.embedding = repair_capture.embedding and v.state <> 'dropped' and p.broken is null;
    v_relations := array(
        select distinct d.relation from vsync_internal.dependencies as d join vsync_internal.versions as v on v.id = d.version_id
        where v.embedding = repair_capture.embedding and v.state <> 'dropped' order by 1);
    if v_embedding.capture = 'trigger' then
        perform vsync_internal.check_trigger_rights(v_embedding.owner, v_relations);
    end if;
    perform vsync_internal.sync_capture(c.relation) from vsync_internal.captures as c
    where c.relation = any (v_relations) and to_regproc(format('vsync_data.%I', 'capture_' || c.id)) is null;
    for v_trigger in
        select t.tgrelid::regclass as relation, t.tgname from pg_trigger as t
        where t.tgrelid = any (select m from unnest(v_relations) as r (relation), unnest(vsync_internal.members(r.relation)) as m)
            and t.tgname in ('vsync_insert', 'vsync_update', 'vsync_delete', 'vsync_truncate') and t.tgenabled <> 'A'
    loop
        execute format('alter table %s enable always trigger %I', v_trigger.relation, v_trigger.tgname);
        v_count := v_count + 1;
    end loop;
    select v_count + coalesce(sum(vsync_internal.install_triggers(c.id, c.relation)), 0) into v_count
    from vsync_internal.captures as c where c.relation = any (v_relations);
    perform vsync_internal.watch_captures(v_relations);
    if not vsync_internal.has_view(embedding) and to_regclass(v_embedding.root::text) is not null then
        perform vsync_internal.replace_view(embedding);
    end if;
    perform vsync_internal.refresh(embedding, null);
    return v_count;
end
$$;
comment on function vsync_internal.repair_capture(name) is 'follows what was renamed unseen, repairs triggers and the serving view, and refreshes';

create function vsync.repair_capture(embedding name)
returns int
language sql
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.repair_capture(embedding) $$;
comment on function vsync.repair_capture(name) is
'Puts missing or disabled capture triggers of an embedding back, and its serving view, follows renames that no event trigger saw, and compares every document.
Returns how many triggers were repaired.
Example: select vsync.repair_capture(''product_search'')';
