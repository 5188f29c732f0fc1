create function vsync_internal.note_turn()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' then
        insert into vsync_internal.rule_turns (embedding, rule_id, begins) values (old.embedding, old.id, false);
    elsif tg_op = 'INSERT' or (old.revision, old.in_force, old.broken is null) is distinct from (new.revision, new.in_force, new.broken is null) then
        insert into vsync_internal.rule_turns (embedding, rule_id, begins) values (new.embedding, new.id, vsync_internal.is_in_force(new) and new.broken is null);
    end if;
    return null;
end
$$;
comment on function vsync_internal.note_turn() is 'leaves a turn for the workers';
create trigger note_turn after insert or update or delete on vsync_internal.rules for each row execute function vsync_internal.note_turn();

create function vsync_internal.begin_turns()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s' -- behind us wait all who ask rules
as $$
declare
    v_generation bigint;
    v_count bigint;
begin
    -- who asked the rules as they were has written down by then what they said
    perform vsync_internal.lock_table('rules', 'share row exclusive');
    v_generation := nextval('vsync_internal.generation');
    update vsync_internal.rule_turns as t set generation = v_generation where t.generation is null;
    get diagnostics v_count = row_count;
    update vsync_internal.rules as r set refresh_at = '-infinity'
    where r.action = 'refresh' and r.id in (select t.rule_id from vsync_internal.rule_turns as t where t.generation = v_generation and t.begins);
    return v_count;
exception when lock_not_available then
    return 0;
end
$$;
comment on function vsync_internal.begin_turns() is
'draws the line between what was decided before and after rules changed, for all that nobody has begun; 0 if that takes too long for now';

create function vsync_internal.attend_rules(max_keys int default 10000)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding name;
    v_count bigint := 0;
begin
    update vsync_internal.rules as r set in_force = vsync_internal.is_in_force(r)
    where r.id in (select w.id from vsync_internal.rules as w where w.in_force <> vsync_internal.is_in_force(w) order by w.id for update skip locked);
    if exists (select from vsync_internal.rule_turns) and vsync_internal.try_lock_table('turns') then
        -- all lines are drawn before anything is freed: then each document is decided on once, however many rules changed
        if exists (select from vsync_internal.rule_turns as t where t.generation is null) then
            return vsync_internal.begin_turns();
        end if;
        for v_embedding in select distinct t.embedding from vsync_internal.rule_turns as t where t.generation is not null order by 1 loop
            v_count := v_count + vsync_internal.decide_again(v_embedding, max_keys);
            exit when v_count >= max_keys;
        end loop;
    end if;
    return v_count + vsync_internal.settle_holds(max_keys);
end
$$;
comment on function vsync_internal.attend_rules(int) is
'notices rules that begin or end, has what they decided decided again, a page of marks at a time, and does what was said about holds; returns 0 where there is nothing
to do now';

create function vsync_internal.turned(embedding name)
returns table (rule_id int, generation bigint)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select u.rule_id, max(t.generation)
    from vsync_internal.rule_turns as t
    cross join lateral (
        select t.rule_id
        union
        select l.id from vsync_internal.rules as r join vsync_internal.rules as l on l.embedding = r.embedding
            and (l.priority < r.priority or l.priority = r.priority and l.name collate "C" > r.name collate "C")
        where t.begins and r.id = t.rule_id) as u (rule_id)
    where t.embedding = turned.embedding and t.generation is not null
    group by u.rule_id;
end
$$;
comment on function vsync_internal.turned(name) is 'rules of an embedding whose decisions of before a generation are looked at again';

create function vsync_internal.decide_again(embedding name, max_keys int)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_generation bigint := nextval('vsync_internal.generation');
    v_versions int[] := array(select v.id from vsync_internal.versions as v where v.embedding = decide_again.embedding and v.state <> 'dropped' order by v.id);
    v_rules int[];
    v_lines bigint[];
    v_keys text[];
    v_version_id int;
    v_turns bigint;
    v_count bigint := 0;
begin
    select array_agg(t.rule_id), array_agg(t.generation) into v_rules, v_lines from vsync_internal.turned(embedding) as t;
    -- what is not followed yet
    update vsync_internal.pages as p
    set images = array_fill(jsonb_build_object('old', p.image::jsonb -> 'old', 'new', p.image::jsonb -> 'new')::text, array[cardinality(p.keys)]),
        op = (p.image::jsonb ->> 'op')::"char", documents = (p.image::jsonb ->> 'documents')::bigint, after_key = null, attempts = 0, retry_at = null,
        verdict = null, rule_id = null, hold_id = null, held_until = null, decided = null, priority = 0, image = null
    where p.id in (select w.id from vsync_internal.pages as w join unnest(v_rules, v_lines) as l (rule_id, line) on l.rule_id = w.rule_id and w.decided < l.line
        where w.version_id = any (v_versions) and w.dependency is not null and w.verdict in ('skip', 'defer', 'hold') for update of w skip locked);
    get diagnostics v_count = row_count;
    foreach v_version_id in array v_versions loop
        v_keys := array(select m.key from vsync_internal.marks as m
            where m.version_id = v_version_id and m.verdict in ('skip', 'defer', 'hold', 'exclude') and m.token is null
                and exists (select from unnest(v_rules, v_lines) as l (rule_id, line) where m.decided < l.line and (m.rule_id = l.rule_id or l.rule_id = any (m.also)))
            order by m.key limit greatest(0, max_keys - v_count) for update);
        with changes as (
            select m.key, m.image::jsonb as image from vsync_internal.marks as m
            where m.version_id = v_version_id and m.key = any (v_keys) and m.image is not null and m.image <> '{}'),
        gone as (
            delete from vsync_internal.marks as m where m.version_id = v_version_id and m.key in (select c.key from changes as c where not c.image ? 'plain')),
        facts as (
            select distinct c.image ->> 'op' as op, (c.image ->> 'at')::timestamptz as at, (c.image ->> 'xid')::xid8 as xid, (c.image ->> 'documents')::bigint as documents,
                (c.image ->> 'dependency')::int as dependency, coalesce(c.image ->> 'tuple', c.key) as key,
                jsonb_build_object('old', c.image -> 'old', 'new', c.image -> 'new')::text as image
            from changes as c)
        insert into vsync_internal.pages (version_id, dependency, generation, captured_at, keys, images, op, xid, documents, lane)
        select v_version_id, f.dependency, v_generation, f.at, array_agg(f.key), array_agg(f.image), f.op::"char", f.xid, f.documents, (count(*) >= 100)::int
        from facts as f group by f.dependency, f.at, f.op, f.xid, f.documents;
        update vsync_internal.marks as m
        set verdict = null, rule_id = null, hold_id = null, held_until = null, decided = null, image = null, also = null, due_at = null, generation = v_generation
        where m.version_id = v_version_id and m.key = any (v_keys);
        v_count := v_count + cardinality(v_keys);
    end loop;
    -- what a claim has, and what is still being marked, comes free later
    delete from vsync_internal.rule_turns as t
    where t.embedding = decide_again.embedding and t.generation is not null and not exists (
        select from unnest(v_rules, v_lines) as l (rule_id, line), vsync_internal.marks as m
        where m.version_id = any (v_versions) and m.verdict in ('skip', 'defer', 'hold', 'exclude') and m.decided < l.line
            and (m.rule_id = l.rule_id or l.rule_id = any (m.also))
        union all
        select from unnest(v_rules, v_lines) as l (rule_id, line), vsync_internal.pages as p
        where p.version_id = any (v_versions) and p.rule_id = l.rule_id and p.decided < l.line and p.verdict in ('skip', 'defer', 'hold'));
    get diagnostics v_turns = row_count;
    return v_count + v_turns;
end
$$;
comment on function vsync_internal.decide_again(name, int) is
'frees marks that rules held back before these changed: changes that were decided on become pages, about which rules are asked again, the rest is rendered. Forgets the
turns of rules when that is done. Returns how much it did';

create function vsync_internal.refreshes_due()
returns table (id int, params jsonb, delay float8)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select r.id, r.params, extract(epoch from (now() + (r.params ->> 'every')::interval) - now())::float8
    from vsync_internal.rules as r where r.action = 'refresh' and r.refresh_at <= clock_timestamp() and r.broken is null and vsync_internal.is_in_force(r);
end
$$;
comment on function vsync_internal.refreshes_due() is 'rules of action refresh that begin, or whose schedule has come round. delay: seconds of params.every';

create function vsync_internal.refresh_by_rule(rule_id int, following timestamptz)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding name;
    v_count bigint;
begin
    update vsync_internal.rules as r set refresh_at = refresh_by_rule.following
    where r.id = (select w.id from vsync_internal.rules as w where w.id = refresh_by_rule.rule_id and w.refresh_at <= clock_timestamp() for update skip locked)
    returning r.embedding into v_embedding;
    -- whatever is stored is looked at: the rule is asked of each when it is rendered
    insert into vsync_internal.pages (version_id, generation, captured_at, verdict, rule_id)
    select v.id, nextval('vsync_internal.generation'), clock_timestamp(), 'refresh', refresh_by_rule.rule_id
    from vsync_internal.versions as v where v.embedding = v_embedding and v.state <> 'dropped' and v.following order by v.id;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.refresh_by_rule(int, timestamptz) is
'has an embedding''s documents looked at for a refresh rule, whose next time is `following` (null: none); returns for how many versions';
