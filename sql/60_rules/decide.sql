create function vsync_internal.undecided(max_keys int)
returns table (id bigint, version_id int, dependency int, relation oid, xid text, documents bigint, keys text[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_first vsync_internal.pages;
begin
    select * into v_first from vsync_internal.pages as p
    where p.images is not null and (p.retry_at is null or p.retry_at <= clock_timestamp()) and not vsync_internal.is_down(p.version_id)
    order by p.lane, p.id limit 1 for update skip locked;
    if not found then
        return;
    end if;
    -- small changes are decided on together
    return query
    with locked as materialized (
        select p.* from vsync_internal.pages as p
        where p.images is not null and p.version_id = v_first.version_id and p.dependency is not distinct from v_first.dependency
            and (p.retry_at is null or p.retry_at <= clock_timestamp())
        order by p.lane, p.id limit max_keys for update skip locked),
    summed as (
        select l.*, sum(cardinality(l.keys)) over (order by l.lane, l.id) - cardinality(l.keys) as before from locked as l)
    select s.id, s.version_id, s.dependency, d.relation::oid, s.xid::text, s.documents, s.keys
    from summed as s join vsync_internal.dependencies as d on d.version_id = s.version_id and d.number = coalesce(s.dependency, 0)
    where s.before < max_keys order by s.lane, s.id;
end
$$;
comment on function vsync_internal.undecided(int) is
'pages of one version and one of its tables about which rules have to be asked, about max_keys changes, locked until the transaction ends';

create function vsync_internal.page_cases(page_ids bigint[], first int, beyond int, told boolean)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select ('[' || string_agg('{"place":' || c.place || coalesce(',"change":' || c.change::text, '') || ',' || substr(c.image, 2), ',') || ']')::jsonb
    from (
        select p.before + u.i - 1 as place, u.image, f.change
        from (
            select o.*, sum(cardinality(o.keys)) over (order by g.i) - cardinality(o.keys) as before
            from unnest(page_ids) with ordinality as g (id, i) join vsync_internal.pages as o on o.id = g.id) as p
        join vsync_internal.dependencies as d on d.version_id = p.version_id and d.number = coalesce(p.dependency, 0)
        cross join lateral (select case when told then json_build_object('op', case p.op when 'I' then 'insert' when 'U' then 'update' else 'delete' end,
            'relation', d.relation::oid::text, 'at', p.captured_at, 'documents', p.documents) end) as f (change)
        cross join unnest(p.images) with ordinality as u (image, i)) as c
    where c.place >= first and c.place < beyond
$$;
comment on function vsync_internal.page_cases(bigint[], int, int, boolean) is
'what rules are asked of pages: their changes from place `first` on, counted through all of them from 0. told: with what is known of each change';

create function vsync_internal.judge_pages(version_id int, rule_ids int[], page_ids bigint[], first int, beyond int)
returns table (place int, rules int[], numbers float8[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
#variable_conflict use_column
begin
    return query
    select j.place, j.rules, j.numbers from vsync_internal.judge(version_id, rule_ids, vsync_internal.page_cases(page_ids, first, beyond,
        exists (select from vsync_internal.rules as r where r.id = any (rule_ids) and r.columns -> 'change' <> '[]'))) as j;
end
$$;
comment on function vsync_internal.judge_pages(int, int[], bigint[], int, int) is 'asks rules of the changes of pages, see judge() and page_cases()';

create function vsync_internal.count_change(version_id int, dependency int, xid text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_data name := (select v.data from vsync_internal.versions as v where v.id = count_change.version_id);
    v_tuples text[];
    v_keys text[];
    v_after text;
    v_count bigint := 0;
    v_message text;
begin
    v_tuples := array(select distinct u.key from vsync_internal.pages as p, unnest(p.keys) as u (key)
        where p.version_id = count_change.version_id and p.dependency = count_change.dependency and p.xid = count_change.xid::xid8);
    loop
        v_keys := vsync_internal.call_delta(v_data, dependency, v_tuples, v_after, 100000, vsync_internal.ticket(v_data));
        v_count := v_count + cardinality(v_keys);
        exit when cardinality(v_keys) < 100000;
        v_after := v_keys[100000];
    end loop;
    update vsync_internal.pages as p set documents = v_count
    where p.id in (select w.id from vsync_internal.pages as w
        where w.version_id = count_change.version_id and w.dependency = count_change.dependency and w.xid = count_change.xid::xid8 and w.images is not null
        for update skip locked);
    return v_count;
exception when others then
    -- as when it is followed: tried again later
    get stacked diagnostics v_message = message_text;
    update vsync_internal.progress as p set last_error = v_message, last_error_at = clock_timestamp() where p.version_id = count_change.version_id;
    return null;
end
$$;
comment on function vsync_internal.count_change(int, int, text) is
'how many documents a transaction''s changes of a dependency lead to, found along its path; null where that fails';

create function vsync_internal.put_off(page_ids bigint[], message text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    update vsync_internal.pages as p
    set attempts = p.attempts + 1, retry_at = clock_timestamp() + 2 ^ least(p.attempts, 8) * interval '1 second' where p.id = any (page_ids);
    get diagnostics v_count = row_count;
    update vsync_internal.progress as p set last_error = put_off.message, last_error_at = clock_timestamp()
    where p.version_id in (select g.version_id from vsync_internal.pages as g where g.id = any (page_ids)) and put_off.message is not null;
    return v_count;
end
$$;
comment on function vsync_internal.put_off(bigint[], text) is 'leaves pages that could not be decided on alone for a while, the longer the more often. message: why, where that is not written down yet';

create function vsync_internal.hold_of(page vsync_internal.pages, rule_id int, revision int, out id bigint, out state text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- one hold for all of a transaction's change: who says yes to it says so to what is still being found
    select h.id, h.state into hold_of.id, hold_of.state from vsync_internal.holds as h
    where h.version_id = page.version_id and h.xid = page.xid and h.rule_id = hold_of.rule_id and h.revision = hold_of.revision
        and h.relation = (select d.relation from vsync_internal.dependencies as d where d.version_id = page.version_id and d.number = coalesce(page.dependency, 0))
    for share;
    if found then
        return;
    end if;
    insert into vsync_internal.holds as h (embedding, version_id, rule_id, revision, relation, xid)
    select v.embedding, v.id, hold_of.rule_id, hold_of.revision, d.relation, page.xid
    from vsync_internal.versions as v join vsync_internal.dependencies as d on d.version_id = v.id and d.number = coalesce(page.dependency, 0)
    where v.id = page.version_id
    returning h.id, h.state into hold_of.id, hold_of.state;
end
$$;
comment on function vsync_internal.hold_of(vsync_internal.pages, int, int) is 'the hold that a page''s change waits under, made where there is none';

create function vsync_internal.decide(page_ids bigint[], decisions jsonb)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_group record;
    v_holds jsonb := '{}';
    v_generation bigint := nextval('vsync_internal.generation');
    v_imaged boolean := decisions @? '$[*] ? (@.verdict == "skip" || @.verdict == "defer" || @.verdict == "hold")';
    v_count bigint := 0;
begin
    if decisions @? '$[*] ? (@.verdict == "hold")' then
        -- one at a time: two workers with pages of one transaction make one hold
        perform vsync_internal.lock_table('holds');
        select coalesce(jsonb_object_agg(concat(h.page, ' ', h.rule_id), jsonb_build_object('id', (h.hold).id, 'state', (h.hold).state)), '{}') into v_holds
        from (select w.page, w.rule_id, vsync_internal.hold_of(p, w.rule_id, w.revision) as hold
            from (select distinct u.page, d.rule_id, d.revision from jsonb_to_recordset(decisions) as d (pages bigint[], verdict text, rule_id int, revision int), unnest(d.pages) as u (page)
                where d.verdict = 'hold' order by 1, 2 offset 0) as w
            join vsync_internal.pages as p on p.id = w.page) as h;
    end if;
    for v_group in
        with decided as materialized (
            select u.page, u.place, d.rule_id, d.priority, (v_holds -> concat(u.page, ' ', d.rule_id) ->> 'id')::bigint as hold_id,
                case when d.verdict = 'hold' then coalesce(nullif(v_holds -> concat(u.page, ' ', d.rule_id) ->> 'state', 'waiting'), 'hold') else d.verdict end as verdict,
                coalesce(d.held_until, case when d.verdict in ('skip', 'hold') then 'infinity'::timestamptz end) as held_until
            from jsonb_to_recordset(decisions) as d (pages bigint[], places int[], verdict text, rule_id int, revision int, held_until timestamptz, priority float8),
                unnest(d.pages, d.places) as u (page, place)),
        changed as materialized (
            select p.id, p.version_id, p.dependency, p.lane, p.generation, p.captured_at, p.xid, p.op, p.documents, u.key collate "C" as key, u.image, u.i
            from vsync_internal.pages as p, unnest(p.keys, case when v_imaged then p.images end) with ordinality as u (key, image, i) where p.id = any (page_ids)),
        -- of one key the older first
        repeated as materialized (
            select c.id, c.i, row_number() over (partition by c.key order by c.captured_at, c.id, c.i) as nth
            from changed as c where c.key in (select t.key from changed as t group by t.key having count(*) > 1))
        select c.dependency, c.version_id, c.lane, coalesce(r.nth, 1) as nth, max(c.generation) as generation, min(c.captured_at) as captured_at,
            array_agg(c.key) as keys, array_agg(c.xid) as xids,
            array_agg(case when d.page is not null then row(d.verdict, d.rule_id, d.hold_id, d.held_until, v_generation, d.priority,
                case when d.verdict in ('skip', 'defer', 'hold') then format('{"op": "%s", "at": %s, "xid": "%s", "documents": %s, %s%s', c.op, to_json(c.captured_at), c.xid,
                    coalesce(c.documents::text, 'null'), case when c.dependency is not null then format('"dependency": %s, "tuple": %s, ', c.dependency, to_json(c.key)) end,
                    substr(c.image, 2)) end)::vsync_internal.decision end) as decisions
        from changed as c
        left join repeated as r on r.id = c.id and r.i = c.i
        left join decided as d on d.page = c.id and d.place = c.i
        group by c.dependency, c.version_id, c.lane, coalesce(r.nth, 1) order by 4, c.lane
    loop
        if v_group.dependency is null then
            v_count := v_count + vsync_internal.mark(v_group.version_id, v_group.keys, v_group.generation, v_group.captured_at, v_group.lane, v_group.decisions);
        else
            -- what waits can be decided on again, a row at a time: so each has a page of its own
            insert into vsync_internal.pages (version_id, dependency, generation, captured_at, lane, keys, xid, verdict, rule_id, hold_id, held_until, decided, priority, image)
            select v_group.version_id, v_group.dependency, v_group.generation, v_group.captured_at, v_group.lane, array_agg(u.key), u.xid,
                u.verdict, u.rule_id, u.hold_id, u.held_until, u.decided, coalesce(u.priority, 0), u.image
            from unnest(v_group.keys, v_group.xids, v_group.decisions) as u (key, xid, verdict, rule_id, hold_id, held_until, decided, priority, image)
            group by u.xid, u.verdict, u.rule_id, u.hold_id, u.held_until, u.decided, coalesce(u.priority, 0), u.image;
            v_count := v_count + cardinality(v_group.keys);
        end if;
    end loop;
    delete from vsync_internal.pages as p where p.id = any (page_ids);
    return v_count;
end
$$;
comment on function vsync_internal.decide(bigint[], jsonb) is
'writes down what rules decided of pages, [{"pages", "places", "verdict", "rule_id", "revision", "held_until", "priority"}], the rest as usual: of documents
their marks, of a dependency''s tuples pages to be followed, whose marks inherit it';
