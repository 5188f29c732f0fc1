create function vsync_internal.decided_keys(keys text[], decisions vsync_internal.decision[])
returns table (key text, verdict text, rule_id int, hold_id bigint, held_until timestamptz, decided bigint, priority float8, image text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select distinct on (1) u.key collate "C", u.verdict, u.rule_id, u.hold_id, u.held_until, u.decided, coalesce(u.priority, 0), u.image
    from unnest(decided_keys.keys, decided_keys.decisions) as u (key, verdict, rule_id, hold_id, held_until, decided, priority, image) order by 1;
end
$$;
comment on function vsync_internal.decided_keys(text[], vsync_internal.decision[]) is 'each key once, with what was decided of it, in the order in which marks are locked';

create function vsync_internal.unmarked(version_id int, keys text[])
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
-- a plan made while the queue was empty must do when it is full
set enable_seqscan = off
as $$
declare
    v_first text collate "C";
    v_last text collate "C";
begin
    select min(u.key collate "C"), max(u.key collate "C") into v_first, v_last from unnest(unmarked.keys) as u (key);
    return not exists (select from vsync_internal.marks as m where m.version_id = unmarked.version_id and m.key between v_first and v_last);
end
$$;
comment on function vsync_internal.unmarked(int, text[]) is
'whether there is no mark from the first of some keys to the last: a quick look for which no single key is looked up';

-- When changes of one document meet: a waiting hold before what is to be embedded, that before defer, and that before skip. Whatever else
-- holds it back (a rejected hold, a rule of stage document that skips or excludes) gives way to every newer change.
create function vsync_internal.mark(
    version_id int, keys text[], generation bigint, captured_at timestamptz, lane int default 0, decisions vsync_internal.decision[] default null)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_count bigint;
begin
    -- In key order, as every statement that locks several marks. Where many keys come to where none is, nothing has to be joined; few are not worth
    -- a subtransaction.
    if cardinality(mark.keys) >= 200 and vsync_internal.unmarked(mark.version_id, mark.keys) then
        begin
            insert into vsync_internal.marks (version_id, key, generation, since, lane, captured_at, verdict, rule_id, hold_id, held_until, decided, priority, image)
            select mark.version_id, k.key, mark.generation, mark.generation, mark.lane, mark.captured_at,
                k.verdict, k.rule_id, k.hold_id, k.held_until, k.decided, k.priority, k.image
            from vsync_internal.decided_keys(mark.keys, mark.decisions) as k;
            get diagnostics v_count = row_count;
            return v_count;
        exception when unique_violation then
            -- someone else marked one of them meanwhile
        end;
    end if;
    with marked as (
        insert into vsync_internal.marks as m (version_id, key, generation, since, lane, captured_at,
            verdict, rule_id, hold_id, held_until, decided, priority, image)
        select mark.version_id, k.key, mark.generation, mark.generation, mark.lane, mark.captured_at,
            k.verdict, k.rule_id, k.hold_id, k.held_until, k.decided, k.priority, k.image
        from vsync_internal.decided_keys(mark.keys, mark.decisions) as k
        on conflict on constraint marks_pkey do update
        set generation = excluded.generation, lane = least(m.lane, excluded.lane), due_at = null, attempts = 0,
            captured_at = case when m.token is null then least(m.captured_at, excluded.captured_at) else excluded.captured_at end,
            (verdict, rule_id, hold_id, held_until, decided, image, also, priority) = (
                select case when k.keeps and (m.verdict <> 'approved' or excluded.verdict = 'refresh') then m.verdict when not k.keeps then excluded.verdict end,
                    case when k.keeps or d.defers then m.rule_id else excluded.rule_id end,
                    case when k.keeps then m.hold_id else excluded.hold_id end,
                    case when k.keeps or d.defers then m.held_until else excluded.held_until end,
                    case when j.joins then least(m.decided, excluded.decided) when k.keeps then m.decided else excluded.decided end,
                    -- what nobody held back is embedded, should it come to light again below a hold, or beside a refresh
                    case when not p.plain or i.image = '{}' then i.image when i.image is not null then (i.image::jsonb || '{"plain": true}')::text
                        when 'refresh' in (m.verdict, excluded.verdict) then '{}' end,
                    case when j.joins then
                        case when m.rule_id <> excluded.rule_id then m.also || case when k.keeps then excluded.rule_id else m.rule_id end else m.also end end,
                    case when c.covered then excluded.priority else greatest(m.priority, excluded.priority) end
                -- a claim that embeds it covers all that came before: what comes now stands alone
                from (select m.token is not null and m.generation = m.claimed and not m.looking as covered) as c,
                    lateral (select not c.covered and case
                        -- a schedule is no change: what is held back is looked at again, and the rules compete
                        when excluded.verdict = 'refresh' then m.verdict not in ('refresh', 'exclude')
                        when m.verdict = 'refresh' then excluded.verdict is null or m.image is not null and excluded.strength < 3
                        else m.strength > excluded.strength or m.strength = excluded.strength and (m.verdict = 'hold'
                            or m.verdict = 'defer' and m.held_until <= excluded.held_until) end is true as keeps) as k,
                    lateral (select not c.covered and (m.strength in (1, 2, 4) and excluded.strength in (1, 2, 4)
                        or m.verdict = 'refresh' and excluded.verdict = 'refresh') as joins) as j,
                    -- who had deferred it does not defer it for longer
                    lateral (select not c.covered and excluded.verdict is null and (m.verdict is null or m.verdict = 'defer') as defers) as d,
                    -- one row changed several times is decided on again as a whole; of several rows that is not possible
                    lateral (select case when excluded.image is null or c.covered or m.image is null then case when k.keeps then m.image else excluded.image end
                        when m.image::jsonb ? 'old' and not m.image::jsonb ? 'tuple' and not excluded.image::jsonb ? 'tuple'
                            then (excluded.image::jsonb || jsonb_build_object('old', m.image::jsonb -> 'old'))::text
                        when m.strength = excluded.strength then case when m.image = excluded.image then m.image else '{}' end
                        when k.keeps then m.image else excluded.image end as image) as i,
                    lateral (select not c.covered and case
                        when excluded.strength = 4 then m.strength = 3 or m.verdict = 'refresh' and m.image is not null or k.keeps and m.image::jsonb ? 'plain'
                        when excluded.verdict = 'refresh' then m.verdict is null or m.verdict = 'refresh' and m.image is not null
                        when m.verdict = 'refresh' then k.keeps
                        else m.strength = 4 and (excluded.strength = 3 or m.image::jsonb ? 'plain') end is true as plain) as p)
        returning 1)
    select count(*) into v_count from marked;
    return v_count;
end
$$;
comment on function vsync_internal.mark(int, text[], bigint, timestamptz, int, vsync_internal.decision[]) is
'marks keys as possibly stale, with what rules decided of each where they were asked; a change revives what was parked and leaves a claim in place';

create function vsync_internal.hold_back(token bigint, version_id int, keys text[])
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_marks tid[] := array(select o.mark from vsync_internal.owned(hold_back.version_id, hold_back.keys, hold_back.token) as o);
    v_count bigint;
begin
    update vsync_internal.marks as m
    set token = null, claimed = null, attempts = 0, error = null, lane = 0, due_at = case when m.generation = m.claimed then m.held_until end
    where m.ctid = any (v_marks);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.hold_back(bigint, int, text[]) is
'ends the claim of keys whose text differs and which a rule holds back; one that changed meanwhile is looked at again';
