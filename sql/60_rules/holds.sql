create function vsync_internal.holds()
returns table (id bigint, embedding name, version int, rule name, revision int, relation regclass, documents bigint, sample jsonb[], state text,
    since timestamptz, decided_at timestamptz, decided_by name)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_version vsync_internal.versions;
begin
    for v_version in
        select v.* from vsync_internal.versions as v where v.id in (select h.version_id from vsync_internal.holds as h) order by v.embedding, v.version
    loop
        return query execute format($sql$
            select h.id, h.embedding, $2, r.name, h.revision, h.relation, w.documents,
                array(select %s from unnest(w.keys) as u (key), lateral (select %s) as k), h.state, h.since, h.decided_at, h.decided_by
            from vsync_internal.holds as h
            cross join lateral vsync_internal.waiting(h) as w
            left join lateral (select v.name from vsync_internal.rule_revisions as v where v.rule_id = h.rule_id and v.revision = h.revision) as r on true
            where h.version_id = $1 and (h.state <> 'waiting' or w.documents > 0) order by h.id
            $sql$, vsync_internal.key_json(v_version.keys, 'k'), vsync_internal.key_values(v_version.keys, 'u.key'))
        using v_version.id, v_version.version;
    end loop;
end
$$;
comment on function vsync_internal.holds() is 'the rows of vsync.holds';

create view vsync.holds with (security_invoker = true) as
select * from vsync_internal.holds();
comment on view vsync.holds is 'What waits for a yes under rules of action hold: a transaction''s change of one table with all documents it leads to, or one document. sample: keys of
some. state: waiting, approved or rejected. Say so with vsync.approve() and vsync.reject().
Example: select id, rule, relation, documents, sample from vsync.holds where state = ''waiting''';

create function vsync_internal.decide_hold(hold bigint, state text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold vsync_internal.holds;
    v_owner name;
begin
    perform vsync_internal.require_primary();
    perform vsync_internal.may_decide(hold);
    -- waits for a worker that is just marking what this hold covers
    select * into v_hold from vsync_internal.holds as h where h.id = decide_hold.hold for update;
    if not found then
        raise exception using
            errcode = 'VS604',
            message = format('hold %s does not exist', coalesce(hold::text, 'null')),
            detail = 'vsync.holds lists what waits.',
            hint = 'select id, embedding, rule, documents, state from vsync.holds';
    end if;
    v_owner := (vsync_internal.find_embedding(v_hold.embedding)).owner;
    perform vsync_internal.require_owner(v_owner, format('decide what waits of "%s"', v_hold.embedding));
    if v_hold.state <> 'waiting' then
        raise exception using
            errcode = 'VS604',
            message = format('hold %s is %s already', hold, v_hold.state),
            detail = format('By "%s" at %s.', v_hold.decided_by, v_hold.decided_at),
            hint = 'select id, embedding, rule, documents from vsync.holds where state = ''waiting''';
    end if;
    update vsync_internal.holds as h
    set state = decide_hold.state, decided_at = clock_timestamp(), decided_by = session_user, documents = w.documents, sample = w.keys
    from vsync_internal.waiting(v_hold) as w where h.id = v_hold.id
    returning h.documents into v_hold.documents;
    return v_hold.documents;
end
$$;
comment on function vsync_internal.decide_hold(bigint, text) is 'writes down what was said about a hold; a worker does what follows. Returns the number of documents';

create function vsync.approve(hold bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- under SET ROLE the session's own rights do not count
    perform vsync_internal.may_decide(hold);
    return vsync_internal.decide_hold(hold, 'approved');
end
$$;
comment on function vsync.approve(bigint) is
'Says yes to what waits under a hold: its documents are due now. Returns how many. Example: select vsync.approve(id) from vsync.holds where rule = ''mass_changes''';

create function vsync.reject(hold bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.may_decide(hold);
    return vsync_internal.decide_hold(hold, 'rejected');
end
$$;
comment on function vsync.reject(bigint) is
'Says no to what waits under a hold: the old vectors stay, and search calls them stale, until a document changes again. Returns how many.
Example: select vsync.reject(id) from vsync.holds where rule = ''mass_changes''';

create function vsync_internal.hold_owner(hold bigint)
returns name
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select vsync_internal.owner_of(h.embedding) from vsync_internal.holds as h where h.id = hold_owner.hold
$$;
comment on function vsync_internal.hold_owner(bigint) is 'the role that may say yes or no to a hold';

create function vsync_internal.may_decide(hold bigint)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owner name := vsync_internal.hold_owner(hold);
begin
    return v_owner is null or vsync_internal.require_owner(v_owner, 'decide what waits under this hold');
end
$$;
comment on function vsync_internal.may_decide(bigint) is 'refuses whoever is no member of the role that owns the hold''s embedding';

create function vsync_internal.settle_holds(max_keys int default 10000)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold vsync_internal.holds;
    v_marks tid[];
    v_count bigint;
begin
    select * into v_hold from vsync_internal.holds as h where not h.settled and h.state <> 'waiting' order by h.id limit 1 for update skip locked;
    if not found then
        return 0;
    end if;
    -- a page that a worker is at learns of it from the hold itself
    update vsync_internal.pages as p set verdict = v_hold.state, hold_id = null, held_until = case when v_hold.state = 'rejected' then 'infinity'::timestamptz end
    where p.id in (select w.id from vsync_internal.pages as w where w.hold_id = v_hold.id for update skip locked);
    v_marks := array(
        select w.ctid from vsync_internal.marks as w where w.hold_id = v_hold.id and w.token is null order by w.version_id, w.key limit max_keys for update);
    update vsync_internal.marks as m
    set verdict = v_hold.state, hold_id = null,
        due_at = case when v_hold.state = 'rejected' then m.due_at end, held_until = case when v_hold.state = 'rejected' then m.held_until end
    where m.verdict = 'hold' and m.ctid = any (v_marks);
    get diagnostics v_count = row_count;
    update vsync_internal.holds as h set settled = true
    where h.id = v_hold.id and not exists (select from vsync_internal.marks as m where m.hold_id = v_hold.id);
    return v_count + 1;
end
$$;
comment on function vsync_internal.settle_holds(int) is 'frees what was approved, turns away what was rejected, a page of marks at a time; returns 0 where nothing was decided';

create function vsync_internal.forget_holds()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    -- what is being decided on takes this lock, and its marks and pages come with the hold
    if not vsync_internal.try_lock_table('holds') then
        return 0;
    end if;
    delete from vsync_internal.holds as h
    where h.id in (select w.id from vsync_internal.holds as w
            where w.state = 'waiting' and not exists (select from vsync_internal.marks as m where m.hold_id = w.id)
                and not exists (select from vsync_internal.pages as p where p.hold_id = w.id or p.version_id = w.version_id and p.xid = w.xid)
            for update skip locked);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.forget_holds() is 'deletes holds under which nothing waits any more: the documents are gone, or the rule is. Returns how many';
