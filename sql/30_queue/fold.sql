create function vsync_internal.mark(version_id int, keys text[], generation bigint, captured_at timestamptz, lane int default 0)
returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $$
    -- in key order, as every statement that locks several marks
    with marked as (
        insert into vsync_internal.marks as m (version_id, key, generation, since, lane, captured_at)
        select mark.version_id, k.key, mark.generation, mark.generation, mark.lane, mark.captured_at
        from (select distinct u.key collate "C" as key from unnest(mark.keys) as u (key) order by 1) as k
        on conflict on constraint marks_pkey do update
        set generation = excluded.generation, lane = least(m.lane, excluded.lane), due_at = null, attempts = 0,
            captured_at = case when m.token is null then least(m.captured_at, excluded.captured_at) else excluded.captured_at end
        returning 1)
    select count(*) from marked
$$;
comment on function vsync_internal.mark(int, text[], bigint, timestamptz, int) is
'marks keys as possibly stale; a change revives what was parked and leaves a claim in place';

create function vsync_internal.fold()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_last pg_snapshot;
    v_now pg_snapshot;
    v_generation bigint;
    v_direct boolean;
    v_count bigint := 0;
    v_target record;
begin
    if not exists (select from vsync_internal.log) then
        return 0;
    end if;
    if not pg_try_advisory_xact_lock(hashtext('vsync'), hashtext('fold')) then
        return 0;
    end if;
    select f.snapshot into v_last from vsync_internal.fold_state as f;
    v_now := pg_current_snapshot();
    if not exists (select from vsync_internal.log as l
        where (v_last is null or not pg_visible_in_snapshot(l.xid, v_last)) and pg_visible_in_snapshot(l.xid, v_now)) then
        return 0;
    end if;
    v_generation := nextval('vsync_internal.generation');
    select coalesce(sum(cardinality(l.keys)), 0) < 20000 into v_direct from vsync_internal.log as l
    where (v_last is null or not pg_visible_in_snapshot(l.xid, v_last)) and pg_visible_in_snapshot(l.xid, v_now);
    for v_target in
        select v.id,
            array_agg(u.key) filter (where u.key is not null) as keys,
            min(l.captured_at) as captured_at, bool_or(l.op = 'T') as truncated, bool_or(l.op = 'R' and l.keys is null) as refresh,
            bool_or(l.op = 'O') as orphaned
        from vsync_internal.log as l
        left join vsync_internal.captures as c on c.id = l.capture_id
        join vsync_internal.embeddings as e on e.root = c.relation or l.version_id is not null
        join vsync_internal.versions as v on v.embedding = e.name and v.state <> 'dropped' and (l.version_id is null or v.id = l.version_id)
        left join lateral unnest(case when v_direct or cardinality(l.keys) < 100 then l.keys end) as u (key) on true
        where (v_last is null or not pg_visible_in_snapshot(l.xid, v_last)) and pg_visible_in_snapshot(l.xid, v_now)
            and (c.id is null or e.capture <> 'manual')
        group by v.id order by v.id
    loop
        if v_target.keys is not null then
            v_count := v_count + vsync_internal.mark(v_target.id, v_target.keys, v_generation, v_target.captured_at);
        end if;
        if v_target.refresh then
            update vsync_internal.progress as p set phase = 'root', after_key = null where p.version_id = v_target.id;
            v_count := v_count + 1;
        elsif v_target.orphaned then
            update vsync_internal.progress as p set phase = 'vectors', after_key = null where p.version_id = v_target.id and p.phase <> 'root';
            v_count := v_count + 1;
        end if;
        if v_target.truncated then
            -- a key being embedded right now is stored nowhere yet
            v_count := v_count + 1 + vsync_internal.mark(v_target.id,
                array(select m.key from vsync_internal.marks as m where m.version_id = v_target.id),
                v_generation, v_target.captured_at);
            insert into vsync_internal.pages (version_id, generation, captured_at) values (v_target.id, v_generation, v_target.captured_at);
        end if;
    end loop;
    if not v_direct then
        insert into vsync_internal.pages (version_id, generation, captured_at, keys)
        select v.id, v_generation, l.captured_at, l.keys
        from vsync_internal.log as l
        left join vsync_internal.captures as c on c.id = l.capture_id
        join vsync_internal.embeddings as e on e.root = c.relation or l.version_id is not null
        join vsync_internal.versions as v on v.embedding = e.name and v.state <> 'dropped' and (l.version_id is null or v.id = l.version_id)
        where (v_last is null or not pg_visible_in_snapshot(l.xid, v_last)) and pg_visible_in_snapshot(l.xid, v_now)
            and cardinality(l.keys) >= 100 and (c.id is null or e.capture <> 'manual');
        get diagnostics v_count = row_count;
    end if;
    update vsync_internal.fold_state set snapshot = v_now;
    return greatest(v_count, 1);
end
$$;
comment on function vsync_internal.fold() is
'turns what was committed since the last fold into marks, one folder at a time; large changes become pages. Returns 0 if idle';

create function vsync_internal.expand(max_keys int default 10000)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_page vsync_internal.pages;
    v_version vsync_internal.versions;
    v_keys text[];
    v_count bigint := 0;
begin
    while v_count < max_keys loop
        select * into v_page from vsync_internal.pages as p order by p.id limit 1 for update skip locked;
        exit when not found;
        if v_page.keys is not null then
            v_count := v_count + vsync_internal.mark(v_page.version_id, v_page.keys, v_page.generation, v_page.captured_at);
            delete from vsync_internal.pages as p where p.id = v_page.id;
            continue;
        end if;
        select * into v_version from vsync_internal.versions as v where v.id = v_page.version_id;
        begin
            v_keys := vsync_internal.stored_keys(v_version, v_page.after_key, max_keys);
        exception when undefined_table or null_value_not_allowed then
            -- the vectors were dropped: nothing is stored
            v_keys := '{}';
        end;
        v_count := v_count + 1 + vsync_internal.mark(v_page.version_id, v_keys, v_page.generation, v_page.captured_at);
        if cardinality(v_keys) < max_keys then
            delete from vsync_internal.pages as p where p.id = v_page.id;
        else
            update vsync_internal.pages as p set after_key = v_keys[cardinality(v_keys)] where p.id = v_page.id;
        end if;
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.expand(int) is 'marks the keys of waiting pages, about max_keys of them; returns 0 if none wait';
