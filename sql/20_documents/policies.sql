create function vsync_internal.fill_made(version vsync_internal.versions, max_documents int default 10000)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_root regclass := (select e.root from vsync_internal.embeddings as e where e.name = version.embedding and e.capture = 'trigger');
    v_large boolean;
begin
    if v_root is null or not exists (select from vsync_internal.progress as p where p.version_id = version.id and p.phase = 'done' and p.broken is null) then
        return false;
    end if;
    execute format('select exists (select from vsync_data.%I as v where v.chunk = 0 offset $1)', version.data) into v_large using max_documents;
    if v_large then
        return false;
    end if;
    -- what waits for nothing has the text that its row has now. One statement, since all of this is true in one snapshot
    execute format($sql$
        update vsync_data.%1$I as v set made_from = %2$s
        from %3$s as r
        where %4$s and v.made_from is distinct from %2$s
            and not exists (select from vsync_internal.marks as m where m.version_id = $1 and m.key = %5$s)
            and not exists (select from vsync_internal.pages as p where p.version_id = $1)
            and not exists (select from vsync_internal.log as l
                where not coalesce(pg_visible_in_snapshot(l.xid, (select f.snapshot from vsync_internal.fold_state as f)), false)
                    and (l.version_id = $1 or l.feed_id in (select d.feed_id from vsync_internal.dependencies as d where d.version_id = $1)))
        $sql$, version.data, vsync_internal.made_of(v_root, 'r'), v_root, vsync_internal.key_list(version.keys, 'v.%1$I = r.%2$I', ' and '),
        vsync_internal.key_text(version.keys, 'v'))
    using version.id;
    return vsync_internal.hidden_by_policy(version.id) = 0;
end
$$;
comment on function vsync_internal.fill_made(vsync_internal.versions, int) is
'says at once of a small version''s vectors what they were made from, where their text is not about to change; returns whether that was all of them';

create function vsync_internal.hidden_by_policy(version_id int)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions := (select v from vsync_internal.versions as v where v.id = hidden_by_policy.version_id);
    v_root regclass := (select e.root from vsync_internal.embeddings as e where e.name = v_version.embedding);
    v_made text := vsync_internal.made_of(v_root, 'r');
    v_count bigint;
begin
    if v_made is null or to_regclass(format('vsync_data.%I', v_version.data)) is null then
        return 0;
    end if;
    execute format('select count(*) from vsync_data.%I as v join %s as r on %s where v.chunk = 0 and v.made_from is distinct from %s',
        v_version.data, v_root, vsync_internal.key_list(v_version.keys, 'v.%1$I = r.%2$I', ' and '), v_made) into v_count;
    return v_count;
end
$$;
comment on function vsync_internal.hidden_by_policy(int) is
'documents that nobody sees under row-level security, since their text may be one that who sees the row could not read';

create function vsync_internal.sync_policies(root regclass default null)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_version vsync_internal.versions;
    v_root regclass;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    for v_version in
        select v.* from vsync_internal.versions as v join vsync_internal.embeddings as e on e.name = v.embedding
        join pg_class as c on c.oid = e.root
        where v.state <> 'dropped' and (sync_policies.root is null or e.root = sync_policies.root)
            and to_regclass(format('vsync_data.%I', v.data)) is not null and v.policy is distinct from vsync_internal.policy_form(v)
        order by v.id
    loop
        v_root := (select e.root from vsync_internal.embeddings as e where e.name = v_version.embedding);
        -- who has written the table commits first: from then on these columns are captured
        execute format('lock table %s in share row exclusive mode', v_root);
        perform vsync_internal.put_policy(v_version);
        perform vsync_internal.sync_capture(v_root);
        v_count := v_count + 1;
        continue when v_version.policy -> 'columns' is not distinct from vsync_internal.policy_form(v_version) -> 'columns'
            or vsync_internal.policy_columns(v_root) is null or vsync_internal.is_down(v_version.id) or vsync_internal.fill_made(v_version);
        insert into vsync_internal.log (slot, version_id, op) values (vsync_internal.slot(), v_version.id, 'R');
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.sync_policies(regclass) is
'follows the policies of roots: their columns are captured, vectors say what these were, and who reads vectors is asked for it; returns how many versions had to change';
