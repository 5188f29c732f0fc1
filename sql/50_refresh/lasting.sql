create function vsync_internal.lasting()
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select concat_ws(' ', 'statement', row(s.name, s.statement, s.prepare_time, s.parameter_types, s.from_sql)) from pg_prepared_statements as s
        union all
        select concat_ws(' ', 'lock', row(l.classid, l.objid, l.objsubid, l.mode))
        from pg_locks as l where l.locktype = 'advisory' and l.granted and l.pid = pg_backend_pid());
end
$$;
comment on function vsync_internal.lasting() is 'what this session has that no rollback ends: prepared statements and advisory locks';

create function vsync_internal.end_lasting(before text[])
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name text;
    v_lock record;
begin
    if vsync_internal.lasting() = before then
        return false;
    end if;
    for v_name in
        select s.name from pg_prepared_statements as s
        where concat_ws(' ', 'statement', row(s.name, s.statement, s.prepare_time, s.parameter_types, s.from_sql)) <> all (before)
    loop
        execute format('deallocate %I', v_name);
    end loop;
    loop
        -- a lock may have been taken several times
        perform case
            when l.objsubid = 1 and l.mode = 'ShareLock' then pg_advisory_unlock_shared(l.classid::bigint << 32 | l.objid::bigint)
            when l.objsubid = 1 then pg_advisory_unlock(l.classid::bigint << 32 | l.objid::bigint)
            when l.mode = 'ShareLock' then pg_advisory_unlock_shared(l.classid::int, l.objid::int)
            else pg_advisory_unlock(l.classid::int, l.objid::int) end
        from pg_locks as l
        where l.locktype = 'advisory' and l.granted and l.pid = pg_backend_pid()
            and concat_ws(' ', 'lock', row(l.classid, l.objid, l.objsubid, l.mode)) <> all (before);
        exit when not found;
    end loop;
    for v_lock in
        select m.part[1]::bigint as classid, m.part[2]::bigint as objid, m.part[3] = '1' as is_one, m.part[4] = 'ShareLock' as is_shared
        from unnest(before) as b (line), regexp_match(b.line, '^lock [(]([0-9]+),([0-9]+),([0-9]+),([A-Za-z]+)[)]$') as m (part)
        where m.part is not null and b.line <> all (vsync_internal.lasting())
    loop
        if not (case
            when v_lock.is_one and v_lock.is_shared then pg_try_advisory_lock_shared(v_lock.classid << 32 | v_lock.objid)
            when v_lock.is_one then pg_try_advisory_lock(v_lock.classid << 32 | v_lock.objid)
            when v_lock.is_shared then pg_try_advisory_lock_shared(v_lock.classid::oid::int, v_lock.objid::oid::int)
            else pg_try_advisory_lock(v_lock.classid::oid::int, v_lock.objid::oid::int) end)
        then
            raise exception using
                errcode = 'VS002',
                message = 'code of an embedding''s owner released an advisory lock of this session',
                detail = format('Another session has taken it since: %s, %s.', v_lock.classid, v_lock.objid),
                hint = 'select * from pg_locks where locktype = ''advisory''';
        end if;
    end loop;
    return true;
end
$$;
comment on function vsync_internal.end_lasting(text[]) is
'takes from this session the prepared statements and advisory locks that it did not have before, and takes back the locks that it had; returns whether there were any';

-- Some SQLSTATEs say that the session has to stop. Raised by an owner's code they would stop a worker, and all embeddings with it.
-- A shutdown cannot be caught, so what is caught here was raised. Only a cancel can be real: PL/pgSQL tells where RAISE raised it,
-- a foreign table or dblink that it comes from elsewhere.
create function vsync_internal.end_call(before text[], done boolean, state text, message text, context text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_path text;
begin
    if before is not null then
        perform vsync_internal.end_lasting(before);
    end if;
    if not done and (state = '57014' and (split_part(context, e'\n', 1) like '%RAISE' or context ~ 'remote SQL command|dblink')
        or state <> '57014' and state like '57%' or state in ('53300', '25P03', '25006', 'VS207')) then
        raise exception using
            errcode = '38000',
            message = end_call.message,
            detail = format('Code of the embedding''s owner raised it as %s.', state);
    end if;
    if not done and state in ('42883', '42P01', '42704') then
        v_path := vsync_internal.path_of(vsync_internal.pathless(context), end_call.message);
    end if;
    if v_path is not null then
        raise exception using
            errcode = 'VS207',
            message = end_call.message,
            detail = 'Documents and rules run with search_path = pg_catalog, pg_temp.',
            hint = vsync_internal.path_hint(context, v_path);
    end if;
    return done;
end
$$;
comment on function vsync_internal.end_call(text[], boolean, text, text, text) is
'what follows a call of owner code: nothing of it is left in the session, and no error of it passes for an error of the session';
