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
    v_count bigint := 0;
    v_pages bigint;
    v_target record;
begin
    if not exists (select from vsync_internal.log) then
        return 0;
    end if;
    if not vsync_internal.try_lock_table('fold') then
        return 0;
    end if;
    select f.snapshot into v_last from vsync_internal.fold_state as f;
    v_now := pg_current_snapshot();
    if not exists (select from vsync_internal.log as l
        where (v_last is null or not pg_visible_in_snapshot(l.xid, v_last)) and pg_visible_in_snapshot(l.xid, v_now)) then
        return 0;
    end if;
    v_generation := nextval('vsync_internal.generation');
    for v_target in
        select v.id,
            array_agg(u.key) filter (where u.key is not null) as keys,
            min(l.captured_at) as captured_at,
            bool_or(l.op = 'T' and d.number = 0) as truncated,
            -- documents may have come, gone or changed anywhere when a table they depend on was emptied
            bool_or(l.op in ('R', 'M') and l.keys is null or l.op = 'T' and d.number > 0) as refresh,
            bool_or(l.op = 'M') as missed,
            bool_or(l.op = 'O') as orphaned, vsync_internal.is_down(v.id) as down
        from vsync_internal.log as l
        left join vsync_internal.dependencies as d on d.feed_id = l.feed_id
        join vsync_internal.versions as v on v.id = coalesce(l.version_id, d.version_id) and v.state <> 'dropped'
        left join vsync_internal.asked_dependencies() as a on l.images is not null and a.version_id = d.version_id and a.number = d.number
        left join lateral unnest(case when coalesce(d.number, 0) = 0 and a.number is null and cardinality(l.keys) < 100 then l.keys end) as u (key) on true
        where (v_last is null or not pg_visible_in_snapshot(l.xid, v_last)) and pg_visible_in_snapshot(l.xid, v_now)
        group by v.id order by v.id
    loop
        if v_target.down then
            -- its documents cannot be read: what of these keys has lost its row is looked up, the rest waits until they can
            insert into vsync_internal.pages (version_id, generation, captured_at, keys)
            select v_target.id, v_generation, v_target.captured_at, case when v_target.keys is not null then array(select distinct k from unnest(v_target.keys) as k) end
            where v_target.keys is not null or v_target.truncated or v_target.refresh or v_target.orphaned;
            if v_target.keys is not null and (v_target.truncated or v_target.refresh or v_target.orphaned) then
                insert into vsync_internal.pages (version_id, generation, captured_at) values (v_target.id, v_generation, v_target.captured_at);
            end if;
            v_count := v_count + 1;
            continue;
        end if;
        if v_target.truncated then
            -- a key being embedded right now is stored nowhere yet
            v_target.keys := v_target.keys || array(select m.key from vsync_internal.marks as m where m.version_id = v_target.id);
            insert into vsync_internal.pages (version_id, generation, captured_at) values (v_target.id, v_generation, v_target.captured_at);
            v_count := v_count + 1;
        end if;
        -- all keys of a version at once: who locks marks out of order waits for a worker that waits for it
        v_count := v_count + vsync_internal.mark(v_target.id, v_target.keys, v_generation, v_target.captured_at);
        if v_target.refresh then
            update vsync_internal.progress as p set phase = 'root', after_key = null, restarts = p.restarts + 1, missed = p.missed or v_target.missed
            where p.version_id = v_target.id;
            v_count := v_count + 1;
        elsif v_target.orphaned then
            update vsync_internal.progress as p set phase = 'vectors', after_key = null, restarts = p.restarts + 1 where p.version_id = v_target.id and p.phase <> 'root';
            v_count := v_count + 1;
        end if;
    end loop;
    insert into vsync_internal.pages (version_id, dependency, generation, captured_at, keys, lane)
    select s.version_id, s.number, v_generation, min(s.captured_at), array_agg(s.key), (max(s.place) > 1000)::int
    from (
        select t.*, row_number() over (partition by t.version_id, t.number) as place
        from (
            select d.version_id, d.number, u.key, min(l.captured_at) as captured_at
            from vsync_internal.log as l
            join vsync_internal.dependencies as d on d.feed_id = l.feed_id and d.number > 0
            join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
            left join vsync_internal.asked_dependencies() as a on l.images is not null and a.version_id = d.version_id and a.number = d.number
            cross join unnest(l.keys) as u (key)
            where a.number is null and (v_last is null or not pg_visible_in_snapshot(l.xid, v_last)) and pg_visible_in_snapshot(l.xid, v_now)
            group by d.version_id, d.number, u.key) as t) as s
    group by s.version_id, s.number, (s.place - 1) / 1000;
    get diagnostics v_pages = row_count;
    v_count := v_count + v_pages;
    insert into vsync_internal.pages (version_id, generation, captured_at, keys)
    select v.id, v_generation, l.captured_at, l.keys
    from vsync_internal.log as l
    left join vsync_internal.dependencies as d on d.feed_id = l.feed_id
    join vsync_internal.versions as v on v.id = coalesce(l.version_id, d.version_id) and v.state <> 'dropped'
    left join vsync_internal.asked_dependencies() as a on l.images is not null and a.version_id = d.version_id and a.number = d.number
    where (v_last is null or not pg_visible_in_snapshot(l.xid, v_last)) and pg_visible_in_snapshot(l.xid, v_now)
        and coalesce(d.number, 0) = 0 and a.number is null and cardinality(l.keys) >= 100;
    v_count := v_count + vsync_internal.fold_asked(v_last, v_now, v_generation);
    update vsync_internal.fold_state set snapshot = v_now;
    return greatest(v_count, 1);
end
$$;
comment on function vsync_internal.fold() is
'turns what was committed since the last fold into marks, one folder at a time; large changes and those of dependencies become pages. Returns 0 if idle';

create function vsync_internal.inherited(page vsync_internal.pages, number int)
returns vsync_internal.decision[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state text;
begin
    if page.verdict is null and page.priority = 0 then
        return null;
    end if;
    if page.verdict = 'hold' then
        -- who approves waits for us, or we for him
        select h.state into v_state from vsync_internal.holds as h where h.id = page.hold_id for share;
        page.verdict := case when v_state = 'waiting' then 'hold' else coalesce(v_state, 'approved') end;
    end if;
    return array_fill(row(page.verdict, page.rule_id, case when page.verdict in ('hold', 'rejected') then page.hold_id end,
        case when page.verdict <> 'approved' then page.held_until end, page.decided, page.priority, page.image)::vsync_internal.decision, array[number]);
end
$$;
comment on function vsync_internal.inherited(vsync_internal.pages, int) is 'what was decided of a page, as often as it has keys; null where nothing was';

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
begin
    select * into v_page from vsync_internal.pages as p where p.images is null and vsync_internal.is_due(p.retry_at)
    order by p.lane, p.id limit 1 for update skip locked;
    if not found then
        select * into v_page from vsync_internal.pages as p where p.images is not null and vsync_internal.is_due(p.retry_at) and vsync_internal.is_down(p.version_id)
        order by p.lane, p.id limit 1 for update skip locked;
        if not found then
            return 0;
        end if;
    end if;
    if vsync_internal.is_down(v_page.version_id) then
        return vsync_internal.follow_deletes(v_page, max_keys);
    end if;
    if v_page.dependency is not null then
        return vsync_internal.follow(v_page, max_keys);
    end if;
    if v_page.keys is not null then
        delete from vsync_internal.pages as p where p.id = v_page.id;
        return greatest(1, vsync_internal.mark(v_page.version_id, v_page.keys, v_page.generation, v_page.captured_at, v_page.lane,
            vsync_internal.inherited(v_page, cardinality(v_page.keys))));
    end if;
    select * into v_version from vsync_internal.versions as v where v.id = v_page.version_id;
    begin
        v_keys := vsync_internal.stored_keys(v_version, v_page.after_key, max_keys);
    exception when undefined_table or null_value_not_allowed then
        -- the vectors were dropped: nothing is stored
        v_keys := '{}';
    end;
    if cardinality(v_keys) < max_keys then
        delete from vsync_internal.pages as p where p.id = v_page.id;
    else
        update vsync_internal.pages as p set after_key = v_keys[cardinality(v_keys)] where p.id = v_page.id;
    end if;
    return 1 + vsync_internal.mark(v_page.version_id, v_keys, v_page.generation, v_page.captured_at, case when v_page.verdict is null then 0 else 1 end,
        vsync_internal.inherited(v_page, cardinality(v_keys)));
end
$$;
comment on function vsync_internal.expand(int) is 'marks the keys of a waiting page, max_keys at most where it has no end; returns 0 if none waits. One page a transaction: the next one''s keys are in no order with its own';

create function vsync_internal.is_of_the_version(sqlstate text)
returns boolean
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select left(sqlstate, 2) in ('08', '0A', '28', '3D', '3F', '42', '53', '55', '58', 'HV') or sqlstate = 'VS207' $$;
comment on function vsync_internal.is_of_the_version(text) is
'whether an error is likely to meet every document of a version until its cause is mended; refresh/failure.py has the same list';

create function vsync_internal.overran(since timestamptz)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- the worker's alarm was set a moment before
    return clock_timestamp() - since > 0.9 * vsync_internal.setting('document_timeout_ms') * interval '1 millisecond';
end
$$;
comment on function vsync_internal.overran(timestamptz) is
'whether a cancel of what reads documents since then is likely to be that of document_timeout_ms, and not that of somebody who stops the worker';

create function vsync_internal.follow(page vsync_internal.pages, max_keys int)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_data name := (select v.data from vsync_internal.versions as v where v.id = page.version_id);
    v_most int := max_keys * 20;
    v_half int := cardinality(page.keys) / 2;
    v_keys text[];
    v_message text;
    v_sqlstate text;
    v_since timestamptz := clock_timestamp();
    v_wait interval;
begin
    begin
        v_keys := vsync_internal.call_delta(v_data, page.dependency, page.keys, page.after_key, v_most, vsync_internal.ticket(v_data));
    exception when others or query_canceled then
        get stacked diagnostics v_message = message_text, v_sqlstate = returned_sqlstate;
        if v_sqlstate = '57014' and not vsync_internal.overran(v_since) then
            raise;
        end if;
        update vsync_internal.progress as p set last_error = v_message, last_error_at = clock_timestamp() where p.version_id = page.version_id;
        -- a lock, a privilege, a table that is gone: the other pages of the version would wait or fail as well
        v_wait := case when v_sqlstate = '57014' then clock_timestamp() - v_since
            when vsync_internal.is_of_the_version(v_sqlstate) then interval '5 seconds' end;
        if v_sqlstate = '57014' or v_wait is null then
            if v_half > 0 and page.after_key is null then
                insert into vsync_internal.pages (version_id, dependency, generation, captured_at, keys, lane, xid, priority, verdict, rule_id, hold_id,
                    held_until, decided, image)
                select page.version_id, page.dependency, page.generation, page.captured_at, h.keys, page.lane,
                    page.xid, page.priority, page.verdict, page.rule_id, page.hold_id, page.held_until, page.decided, page.image
                from (values (page.keys[:v_half]), (page.keys[v_half + 1:])) as h (keys);
                delete from vsync_internal.pages as p where p.id = page.id;
            else
                update vsync_internal.pages as p
                set attempts = p.attempts + 1, retry_at = clock_timestamp() + 2 ^ least(p.attempts, 8) * interval '1 second' where p.id = page.id;
            end if;
        end if;
        if v_wait is not null then
            update vsync_internal.pages as p set retry_at = greatest(p.retry_at, clock_timestamp() + v_wait)
            where p.id = any (array(select g.id from vsync_internal.pages as g
                where g.version_id = page.version_id and g.dependency is not null for update skip locked));
        end if;
        return 1;
    end;
    if cardinality(v_keys) <= 1000 then
        perform vsync_internal.mark(page.version_id, v_keys, page.generation, page.captured_at, page.lane,
            vsync_internal.inherited(page, cardinality(v_keys)));
    else
        -- in the order of the marks, whose places then do not lie among each other
        insert into vsync_internal.pages (version_id, generation, captured_at, keys, priority, verdict, rule_id, hold_id, held_until, decided, image)
        select page.version_id, page.generation, page.captured_at, o.keys[i : i + 999],
            page.priority, page.verdict, page.rule_id, page.hold_id, page.held_until, page.decided, page.image
        from (select array(select u.key from unnest(v_keys) as u (key) order by u.key collate "C") as keys offset 0) as o, generate_series(1, cardinality(v_keys), 1000) as i;
    end if;
    if cardinality(v_keys) < v_most then
        delete from vsync_internal.pages as p where p.id = page.id;
    else
        update vsync_internal.pages as p set after_key = v_keys[v_most], lane = 1, attempts = 0, retry_at = null where p.id = page.id;
    end if;
    return 1 + cardinality(v_keys);
end
$$;
comment on function vsync_internal.follow(vsync_internal.pages, int) is
'finds the documents that a dependency''s changed tuples lead to: marks a few, leaves many as pages of keys. What fails is tried again by halves, then later';
