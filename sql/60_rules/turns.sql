-- When a rule begins, ends or changes, what it decided, and what was decided below it, is decided again. Whoever changes a rule leaves a
-- turn behind; validity that begins or passes is noticed by a worker, which flips in_force and so leaves one too.
create table vsync_internal.rule_turns (
    id bigint generated always as identity primary key,
    embedding name not null,
    rule_id int not null,
    begins boolean not null,
    generation bigint
);
comment on table vsync_internal.rule_turns is 'rules that began, ended or changed, and whose decisions a worker has to look at again';
comment on column vsync_internal.rule_turns.begins is 'what lower rules hold back is looked at too';
comment on column vsync_internal.rule_turns.generation is 'marks from here on were decided by the rules as they are now; null: nobody has begun';

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

create function vsync_internal.begin_turn(turn vsync_internal.rule_turns)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s' -- behind us wait all who ask rules
as $$
begin
    -- who asked the rules as they were has written down by then what they said
    perform pg_advisory_xact_lock(hashtext('vsync'), hashtext('rules'));
    update vsync_internal.rule_turns as t set generation = nextval('vsync_internal.generation') where t.id = turn.id;
    update vsync_internal.rules as r set refresh_at = '-infinity' where r.id = turn.rule_id and r.action = 'refresh' and turn.begins;
    return true;
exception when lock_not_available then
    return false;
end
$$;
comment on function vsync_internal.begin_turn(vsync_internal.rule_turns) is 'draws the line between what was decided before and after a rule changed; false if that takes too long for now';

create function vsync_internal.attend_rules(max_keys int default 10000)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_turn vsync_internal.rule_turns;
    v_rules int[];
    v_count bigint;
begin
    update vsync_internal.rules as r set in_force = vsync_internal.is_in_force(r)
    where r.id in (select w.id from vsync_internal.rules as w where w.in_force <> vsync_internal.is_in_force(w) order by w.id for update skip locked);
    select * into v_turn from vsync_internal.rule_turns as t order by t.id limit 1 for update skip locked;
    if not found then
        return vsync_internal.settle_holds(max_keys);
    end if;
    if v_turn.generation is null then
        perform vsync_internal.begin_turn(v_turn);
        return 1;
    end if;
    select v_turn.rule_id || array_agg(l.id) into v_rules
    from vsync_internal.rules as r join vsync_internal.rules as l on l.embedding = r.embedding
        and (l.priority < r.priority or l.priority = r.priority and l.name collate "C" > r.name collate "C")
    where r.id = v_turn.rule_id and v_turn.begins;
    v_count := vsync_internal.decide_again(v_turn.embedding, coalesce(v_rules, array[v_turn.rule_id]), v_turn.generation, max_keys);
    if v_count < max_keys and not exists (
        select from vsync_internal.marks as m join vsync_internal.versions as v on v.id = m.version_id and v.embedding = v_turn.embedding
        where m.token is not null and m.looking and m.generation < v_turn.generation) then
        delete from vsync_internal.rule_turns as t where t.id = v_turn.id;
    end if;
    return v_count + 1;
end
$$;
comment on function vsync_internal.attend_rules(int) is
'notices rules that begin or end, has what they decided decided again, a page of marks at a time, and does what was said about holds; returns 0 where there is nothing to do';

create function vsync_internal.decide_again(embedding name, rule_ids int[], generation bigint, max_keys int)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_generation bigint := nextval('vsync_internal.generation');
    v_keys text[];
    v_version_id int;
    v_count bigint := 0;
begin
    for v_version_id in
        select v.id from vsync_internal.versions as v where v.embedding = decide_again.embedding and v.state <> 'dropped' order by v.id
    loop
        v_keys := array(select m.key from vsync_internal.marks as m
            where m.version_id = v_version_id and m.verdict in ('skip', 'defer', 'hold', 'exclude') and m.token is null and m.generation < decide_again.generation
                and (m.rule_id = any (rule_ids) or m.also && rule_ids)
            order by m.key limit max_keys - v_count for update);
        with changes as (
            delete from vsync_internal.marks as m where m.version_id = v_version_id and m.key = any (v_keys) and m.image is not null and m.image <> '{}'
            returning m.key, m.captured_at, m.image::jsonb as image),
        facts as (
            select distinct c.image ->> 'op' as op, (c.image ->> 'at')::timestamptz as at, (c.image ->> 'xid')::xid8 as xid, (c.image ->> 'documents')::bigint as documents,
                (c.image ->> 'dependency')::int as dependency, coalesce(c.image ->> 'tuple', c.key) as key,
                jsonb_build_object('old', c.image -> 'old', 'new', c.image -> 'new')::text as image
            from changes as c)
        insert into vsync_internal.pages (version_id, dependency, generation, captured_at, keys, images, op, xid, documents)
        select v_version_id, f.dependency, v_generation, f.at, array_agg(f.key), array_agg(f.image), f.op::"char", f.xid, f.documents
        from facts as f group by f.dependency, f.at, f.op, f.xid, f.documents;
        update vsync_internal.marks as m
        set verdict = null, rule_id = null, hold_id = null, held_until = null, image = null, also = null, due_at = null, generation = v_generation
        where m.version_id = v_version_id and m.key = any (v_keys);
        v_count := v_count + cardinality(v_keys);
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.decide_again(name, int[], bigint, int) is
'frees marks older than a generation that any of the rules holds back: changes that were decided on become pages, about which rules are asked again, the rest is
rendered. Returns how many';

create function vsync_internal.refreshes_due()
returns table (id int, params jsonb, delay float8)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select r.id, r.params, extract(epoch from (now() + (r.params ->> 'every')::interval) - now())::float8
    from vsync_internal.rules as r where r.action = 'refresh' and r.refresh_at <= clock_timestamp() and r.broken is null and vsync_internal.is_in_force(r)
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
