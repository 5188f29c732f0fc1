create function vsync_internal.period(embedding vsync_internal.embeddings, name text, otherwise interval)
returns interval
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select coalesce((embedding.options ->> name)::interval, otherwise) $$;
comment on function vsync_internal.period(vsync_internal.embeddings, text, interval) is 'an interval among an embedding''s options';

create function vsync_internal.is_seen(version vsync_internal.versions)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_stat_get_activity(null) as a
        where a.backend_xmin is not null and version.retired_xid is not null and age(a.backend_xmin) >= age(version.retired_xid::xid)
            and a.pid <> pg_backend_pid())
        -- until this transaction commits, every snapshot has the version being served
        or version.retired_xid = pg_current_xact_id_if_assigned()
$$;
comment on function vsync_internal.is_seen(vsync_internal.versions) is 'whether a session holds a snapshot in which the version may still be the one that is served';

create function vsync_internal.remove_version(version vsync_internal.versions)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_relations regclass[] := array(
        select distinct d.relation from vsync_internal.dependencies as d where d.version_id = version.id order by 1);
begin
    perform vsync_internal.begin_own_ddl();
    -- a fold that has seen the version adds its marks before they are deleted here
    perform vsync_internal.lock_table('fold');
    if (vsync_internal.running_experiment(version.embedding)).challenger = version.version then
        perform vsync_internal.end_experiment(version.embedding);
    end if;
    update vsync_internal.versions as v set state = 'dropped', following = false where v.id = version.id;
    perform vsync_internal.replace_view(version.embedding);
    perform vsync_internal.drop_objects(version);
    perform vsync_internal.forget(array[version.id]);
    delete from vsync_internal.dependencies as d where d.version_id = version.id;
    perform vsync_internal.forget_names(version.id);
    delete from vsync_internal.progress as p where p.version_id = version.id;
    perform vsync_internal.sync_capture(r) from unnest(v_relations) as r;
    return version.version;
end
$$;
comment on function vsync_internal.remove_version(vsync_internal.versions) is 'takes a version out of the view and drops what it made; its row stays, as history';

create function vsync.drop_version(embedding name, version int)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_owner(e.owner, format('drop a version of "%s"', e.name)) from vsync.embeddings as e where e.name = drop_version.embedding;
    return vsync_internal.drop_version(embedding, version);
end
$$;
comment on function vsync.drop_version(name, int) is
'Drops a version with its vectors; never the active one, nor the one that a rollback would serve. Returns its number.
Example: select vsync.drop_version(''product_search'', 1)';

create function vsync_internal.drop_version(embedding name, version int)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_version vsync_internal.versions;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('drop a version of "%s"', embedding));
    perform vsync_internal.lock_row('embedding', embedding);
    v_version := vsync_internal.find_version(embedding, version);
    if v_version.id = (vsync_internal.serving_version(embedding)).id then
        raise exception using
            errcode = 'VS404',
            message = format('version %s of "%s" is being served', version, embedding),
            detail = 'The active version cannot be dropped.',
            hint = format('Serve another one first: select version, state from vsync.versions where embedding = %L', embedding);
    end if;
    if version = vsync_internal.rollback_target(embedding) and v_version.following then
        raise exception using
            errcode = 'VS404',
            message = format('version %s of "%s" is what a rollback would serve', version, embedding),
            detail = format('It was retired at %s and is kept for its rollback window.', v_version.retired_at),
            hint = format('select vsync.end_rollback(%L), then drop it', embedding);
    end if;
    if vsync_internal.is_seen(v_version) then
        raise exception using
            errcode = 'VS404',
            message = format('version %s of "%s" may still be seen', version, embedding),
            detail = 'A session holds a snapshot from before the version was retired, or this transaction retired it.',
            hint = 'select pid, xact_start, query from pg_stat_activity where backend_xmin is not null order by xact_start';
    end if;
    return vsync_internal.remove_version(v_version);
end
$$;
comment on function vsync_internal.drop_version(name, int) is 'refuses what is or may be served, drops the rest';

create function vsync_internal.unfollow(version vsync_internal.versions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.lock_table('fold');
    update vsync_internal.versions as v set following = false where v.id = version.id;
    update vsync_internal.dependencies as d set feed_id = null where d.version_id = version.id;
    perform vsync_internal.forget(array[version.id]);
    perform vsync_internal.sync_capture(d.relation) from (
        select distinct d.relation from vsync_internal.dependencies as d where d.version_id = version.id order by 1) as d;
    return true;
end
$$;
comment on function vsync_internal.unfollow(vsync_internal.versions) is 'lets no change reach a version any more';

create function vsync_internal.follow_again(version vsync_internal.versions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update vsync_internal.versions as v set paused = false where v.id = version.id and v.paused;
    if found then
        -- what waited is a backlog by now: fresh changes go first, and the gate counts it
        update vsync_internal.marks as m set lane = 1
        from (select w.key from vsync_internal.marks as w where w.version_id = version.id and w.lane = 0 order by w.key for update) as w
        where m.version_id = version.id and m.key = w.key;
    end if;
    if not version.following then
        if (select e.capture from vsync_internal.embeddings as e where e.name = version.embedding) = 'trigger' then
            perform vsync_internal.check_trigger_rights(vsync_internal.owner_of(version.embedding),
                array(select distinct d.relation from vsync_internal.dependencies as d where d.version_id = version.id order by 1));
        end if;
        -- what it missed is found by looking at every document
        update vsync_internal.versions as v
        set following = true, state = case when v.id = (vsync_internal.serving_version(v.embedding)).id then v.state else 'building' end
        where v.id = version.id;
        update vsync_internal.progress as p set phase = 'root', after_key = null, restarts = p.restarts + 1 where p.version_id = version.id;
        perform vsync_internal.sync_capture(d.relation) from (
            select distinct d.relation from vsync_internal.dependencies as d where d.version_id = version.id order by 1) as d;
    end if;
    return version.paused or not version.following;
end
$$;
comment on function vsync_internal.follow_again(vsync_internal.versions) is
'ends a pause, and has changes reach a version again that did not follow, whose backfill starts over. Returns whether anything changed';

create function vsync_internal.end_rollback(embedding name)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_target int;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('end the rollback window of "%s"', embedding));
    perform vsync_internal.lock_row('embedding', embedding);
    v_target := vsync_internal.rollback_target(embedding);
    return v_target is not null and vsync_internal.unfollow(vsync_internal.find_version(embedding, v_target));
end
$$;
comment on function vsync_internal.end_rollback(name) is 'the rollback target follows no more';

create function vsync.end_rollback(embedding name)
returns boolean
language sql
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.end_rollback(embedding) $$;
comment on function vsync.end_rollback(name) is
'Ends the rollback window now: the version served before follows changes no more and may be dropped. Returns whether there was one.
Example: select vsync.end_rollback(''product_search'')';

create function vsync_internal.pause_version(embedding name, version int, paused boolean)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_version vsync_internal.versions;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('pause or resume a version of "%s"', embedding));
    perform vsync_internal.lock_row('embedding', embedding);
    v_version := vsync_internal.find_version(embedding, version);
    if paused then
        update vsync_internal.versions as v set paused = true where v.id = v_version.id;
        return not v_version.paused;
    end if;
    return vsync_internal.follow_again(v_version);
end
$$;
comment on function vsync_internal.pause_version(name, int, boolean) is 'pauses or resumes; returns whether anything changed';

create function vsync.pause_version(embedding name, version int)
returns boolean
language sql
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.pause_version(embedding, version, true) $$;
comment on function vsync.pause_version(name, int) is
'Leaves a version alone until resume_version: its changes are kept and wait. Returns whether it was running. Example: select vsync.pause_version(''product_search'', 2)';

create function vsync.resume_version(embedding name, version int)
returns boolean
language sql
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.pause_version(embedding, version, false) $$;
comment on function vsync.resume_version(name, int) is
'Goes on with a paused version; one whose rollback window is over follows changes again and catches up. Returns whether there was anything to resume.
Example: select vsync.resume_version(''product_search'', 2)';

create function vsync_internal.settle_version(version vsync_internal.versions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms' -- readers queue behind who waits for the view
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(version.embedding);
    v_ends timestamptz := version.retired_at + case when version.following then vsync_internal.period(v_embedding, 'rollback_window', '7 days')
        else vsync_internal.period(v_embedding, 'retention', '30 days') end;
    v_message text;
begin
    if version.state = 'building' then
        if exists (select from vsync_internal.marks as m where m.version_id = version.id and m.lane = 2 and m.attempts = 0)
            or exists (select from vsync_internal.pages as p where p.version_id = version.id) or vsync_internal.wants_index(version) then
            return false;
        end if;
        update vsync_internal.versions as v set state = 'ready' where v.id = version.id and v.state = 'building';
        return found;
    end if;
    if v_ends > clock_timestamp() or not version.following and vsync_internal.is_seen(version)
        or (vsync_internal.running_experiment(version.embedding)).challenger = version.version
        or not vsync_internal.try_lock_row('embedding', version.embedding) then
        return false;
    end if;
    -- it may have been rolled back to before the lock was ours
    if not exists (select from vsync_internal.versions as v
        where v.id = version.id and v.state = 'retired' and v.following = version.following and v.retired_at = version.retired_at)
        or version.id = (vsync_internal.serving_version(version.embedding)).id then
        return false;
    end if;
    if version.following then
        return vsync_internal.unfollow(version);
    end if;
    return vsync_internal.remove_version(version) is not null;
exception when lock_not_available then
    return false;
when others then
    -- what depends on its table, for instance: the other versions go on
    get stacked diagnostics v_message = message_text;
    update vsync_internal.progress as p set last_error = v_message, last_error_at = clock_timestamp() where p.version_id = version.id;
    return false;
end
$$;
comment on function vsync_internal.settle_version(vsync_internal.versions) is 'moves one version on where it is time; what hinders it is kept as its last error';

create function vsync_internal.settle_versions()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
    v_count bigint := 0;
begin
    -- REASSIGN OWNED gives a role the readers, and fires no event trigger
    perform vsync_internal.let_readers_run(r.rolname)
    from pg_roles as r where r.rolname in (select vsync_internal.owner_of(e.name) from vsync_internal.embeddings as e);
    for v_version in
        select v.* from vsync_internal.versions as v join vsync_internal.progress as p on p.version_id = v.id
        where v.state = 'building' and p.phase = 'done' and p.broken is null or v.state = 'retired' order by v.id
    loop
        v_count := v_count + vsync_internal.settle_version(v_version)::int;
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.settle_versions() is
'moves versions on: ready when their backlog is done, following no more after the rollback window, dropped after options.retention (30 days). Returns how many';
