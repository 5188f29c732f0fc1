create function vsync_internal.adopt()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not vsync_internal.is_restored() and not vsync_internal.is_promoted() or not vsync_internal.try_lock_table('fold') then
        return false;
    end if;
    if not vsync_internal.is_restored() then
        -- transaction ids live on, and log and queue with them
        update vsync_internal.identity as i set timeline = (vsync_internal.identity()).timeline where vsync_internal.is_promoted();
        if not found then
            return false;
        end if;
        update vsync_internal.progress set phase = 'root', after_key = null, restarts = restarts + 1, retry_at = null;
        return true;
    end if;
    perform vsync_internal.raise_sequences();
    -- transaction ids of another cluster mean nothing here; every row is looked at again instead
    delete from vsync_internal.log;
    delete from vsync_internal.pages;
    delete from vsync_internal.leases;
    delete from vsync_internal.marks;
    delete from vsync_internal.holds where state = 'waiting';
    update vsync_internal.fold_state set snapshot = null;
    update vsync_internal.progress set phase = 'root', after_key = null, restarts = restarts + 1, retry_at = null;
    -- no snapshot here is older than the restore
    update vsync_internal.versions set retired_xid = null where retired_xid is not null;
    delete from vsync_internal.identity;
    perform vsync_internal.sign();
    delete from vsync_internal.wal_state;
    update vsync_internal.secret set value = uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
    -- numbers of another database
    perform vsync_internal.store_document(v.id) from vsync_internal.versions as v where to_regclass(format('vsync_data.%I', v.data || '_document')) is not null;
    update vsync_internal.versions as v set stored = (v.stored - 'relations') || jsonb_build_object('key_numbers', (
        select jsonb_agg(a.attnum order by i) from jsonb_array_elements(v.keys) with ordinality as k (k, i)
        join pg_attribute as a on a.attrelid = e.root and a.attname = k.k ->> 'column'))
    from vsync_internal.embeddings as e where e.name = v.embedding and vsync_internal.is_down(v.id);
    perform vsync_internal.put_missing(v) from vsync_internal.versions as v where vsync_internal.is_down(v.id);
    perform vsync_internal.add_version_locks(v.id) from vsync_internal.versions as v where v.state <> 'dropped';
    -- columns have other numbers here; where one had taken over the name of another, that is forgotten
    delete from vsync_internal.document_names where attnum > 0;
    delete from vsync_internal.document_texts;
    perform vsync_internal.record_names(v.id) from vsync_internal.versions as v where v.state <> 'dropped' order by v.id;
    -- what was attached since the restore was not followed
    perform vsync_internal.install_triggers(c.id, c.relation) from vsync_internal.captures as c
    where exists (select from pg_class as r where r.oid = c.relation);
    return true;
end
$$;
comment on function vsync_internal.adopt() is
'notices that this database was restored from another, or its server promoted: every document is compared. After a restore log and queue
are emptied first. Returns whether it did';

create function vsync_internal.falls_due_at(version vsync_internal.versions)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return least(
        (select min(m.due_at) from vsync_internal.marks as m where m.version_id = version.id and m.due_at > now() and m.due_at < 'infinity'),
        (select min(u.at) from vsync_internal.rules as r, unnest(array[r.valid_from, r.valid_until, r.refresh_at]) as u (at)
            where r.embedding = version.embedding and r.enabled and u.at > now() and u.at < 'infinity'));
end
$$;
comment on function vsync_internal.falls_due_at(vsync_internal.versions) is
'when, after now, what waits for its time is due, a rule begins or ends, or its schedule comes round; null: never';

create function vsync_internal.duties(embedding name default null)
returns table (version_id int, model_id int, model_spec jsonb, chunk jsonb, fresh boolean, backlog boolean, backfilling boolean, wants_index boolean,
    falls_due_in float8)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select v.id, v.model_id, m.spec, v.chunk,
        exists (select from vsync_internal.marks as q where q.version_id = v.id and q.lane = 0 and q.due_at is null and q.token is null)
            or exists (select from vsync_internal.marks as q where q.version_id = v.id and q.due_at <= now()),
        exists (select from vsync_internal.marks as q where q.version_id = v.id and q.lane > 0 and q.due_at is null and q.token is null),
        p.phase <> 'done' and vsync_internal.wal_ready(v.id), vsync_internal.wants_index(v),
        extract(epoch from vsync_internal.falls_due_at(v) - clock_timestamp())::float8
    from vsync_internal.versions as v
    join vsync_internal.progress as p on p.version_id = v.id
    join vsync_internal.models as m on m.id = v.model_id
    where v.state <> 'dropped' and v.following and not v.paused and p.broken is null and vsync_internal.is_due(p.retry_at)
        and (duties.embedding is null or v.embedding = duties.embedding)
    order by v.state = 'active' desc, v.id;
end
$$;
comment on function vsync_internal.duties(name) is 'what there is to do, a row a live version; what has no due mark, backfill or index to build costs three index probes.
falls_due_in: seconds until something of it is due by time alone, null where nothing will be';

create function vsync_internal.notice_missing_worker(embedding name)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if vsync_internal.count_workers() > 0 then
        return false;
    end if;
    raise notice using
        message = format('no worker is running: the documents of "%s" are embedded once one does', embedding),
        hint = 'call vsync.work(), or run: vsync worker';
    return true;
end
$$;
comment on function vsync_internal.notice_missing_worker(name) is 'says so where there is nobody to fill an embedding; returns whether it did';

create function vsync_internal.outstanding(upto bigint, embedding name default null)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return exists (
        select from vsync_internal.versions as v
        join vsync_internal.progress as p on p.version_id = v.id
        where v.state <> 'dropped' and v.following and not v.paused and p.broken is null and vsync_internal.is_due(p.retry_at)
            and (outstanding.embedding is null or v.embedding = outstanding.embedding)
            and (p.phase <> 'done' and vsync_internal.wal_ready(v.id) or vsync_internal.wants_index(v)
                or exists (select from vsync_internal.pages as g where g.version_id = v.id and g.generation <= upto
                    and vsync_internal.is_due(g.retry_at))
                or exists (select from vsync_internal.marks as m where m.version_id = v.id and m.since <= upto
                    and (m.due_at is null or m.attempts = 0 and m.due_at is distinct from m.held_until or m.due_at <= clock_timestamp()))));
end
$$;
comment on function vsync_internal.outstanding(bigint, name) is 'whether work up to a generation is left, other workers'' claims included; failures waiting for their next attempt and what rules hold back are not';

create function vsync_internal.folded_since(snapshot pg_snapshot)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return not exists (
        select from vsync_internal.log as l
        where pg_visible_in_snapshot(l.xid, folded_since.snapshot)
            and not coalesce(pg_visible_in_snapshot(l.xid, (select f.snapshot from vsync_internal.fold_state as f)), false))
        and not exists (select from vsync_internal.rule_turns)
        and not exists (select from vsync_internal.holds as h where not h.settled and h.state <> 'waiting');
end
$$;
comment on function vsync_internal.folded_since(pg_snapshot) is 'whether every change visible in the snapshot has been folded, and what changed of rules and holds has been followed';

create function vsync_internal.watermark()
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return nextval('vsync_internal.generation');
end
$$;
comment on function vsync_internal.watermark() is 'a generation above every one given so far';
