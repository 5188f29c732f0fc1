create function vsync_internal.require_reader(reader regprocedure, owner name)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_proc as p where p.oid = reader and (not p.prosecdef or pg_get_userbyid(p.proowner) <> owner)) then
        raise exception using
            errcode = 'VS002',
            message = format('%s is not what vsync made', reader),
            detail = format('What reads documents is a security definer that belongs to "%s", who owns the embedding.', owner),
            hint = format('alter function %1$s security definer; alter function %1$s owner to %2$I', reader, owner);
    end if;
    return true;
end
$$;
comment on function vsync_internal.require_reader(regprocedure, name) is
'refuses to call a function of an owner''s that would run with the rights of its caller, or of somebody who does not own the embedding';

create function vsync_internal.check_readers(data name)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform vsync_internal.require_reader(p.oid::regprocedure, o.owner)
    from (select v.id, vsync_internal.owner_of(v.embedding) as owner from vsync_internal.versions as v where v.data = check_readers.data) as o
    cross join lateral (
        values ('_render', 'text[], text'), ('_keys', 'text, integer, text'), ('_missing', 'text[], text'), ('_count', 'text'),
            ('_hashes', 'text, integer, text'), ('_tuples', 'text, text, text'), ('_judge', 'text, jsonb, text'), ('_probe', 'text, text')
        union all
        select '_delta_' || d.number, 'text[], text, integer, text' from vsync_internal.dependencies as d where d.version_id = o.id) as r (suffix, arguments)
    join pg_proc as p on p.pronamespace = 'vsync_data'::regnamespace and p.proname = (data || r.suffix)::name and oidvectortypes(p.proargtypes) = r.arguments
    where not p.prosecdef or pg_get_userbyid(p.proowner) <> o.owner;
    if exists (select from pg_class as c join pg_proc as p on p.proowner <> c.relowner
        where c.relnamespace = 'vsync_data'::regnamespace and c.relname = (data || '_document')::name
            and not exists (select from vsync_internal.versions as v where v.data = check_readers.data and vsync_internal.is_down(v.id))
            and p.oid = to_regprocedure(format('vsync_data.%I(text[], text)', data || '_missing'))) then
        raise exception using
            errcode = 'VS002',
            message = format('the view vsync_data.%I belongs to somebody else', data || '_document'),
            detail = 'What reads documents would read it with the rights of the embedding''s owner.',
            hint = format('drop view vsync_data.%I', data || '_document');
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_readers(name) is 'refuses a version whose readers are not what vsync made';

create function vsync_internal.stamp(data name)
returns text
language plpgsql
stable
parallel restricted
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (
        select encode(sha256(s.value || convert_to(format('%s %s %s', pg_backend_pid(), extract(epoch from now()), data), 'UTF8')), 'hex')
        from vsync_internal.secret as s);
end
$$;
comment on function vsync_internal.stamp(name) is 'what a ticket of a version says, in this session until the transaction ends. Granted to nobody';

create function vsync_internal.ticket(data name)
returns text
language plpgsql
stable
parallel restricted
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.check_readers(data);
    return vsync_internal.stamp(data);
end
$$;
comment on function vsync_internal.ticket(name) is
'what opens the readers of one version, in this session until the transaction ends; none is given where a reader is not what vsync made. Granted to nobody';

create function vsync_internal.admit(ticket text, data name)
returns boolean
language plpgsql
stable
parallel restricted
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- an error and never an empty answer, which would delete vectors
    if (ticket = vsync_internal.stamp(data)) is not true then
        raise exception using
            errcode = 'VS002',
            message = format('permission denied to call what reads the documents of "%s"', data),
            detail = 'Only vsync calls it, with a ticket that is good for one version and one transaction.',
            hint = format('select * from vsync_data.%I', data || '_document');
    end if;
    return true;
end
$$;
comment on function vsync_internal.admit(text, name) is 'what a reader of documents calls first: refuses who was not given its ticket';

create function vsync_internal.let_readers_run(owner name)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if owner = vsync_internal.installer() or exists (
        select from pg_proc as p, aclexplode(p.proacl) as a
        where p.oid = 'vsync_internal.admit(text,name)'::regprocedure and a.grantee = (select r.oid from pg_roles as r where r.rolname = owner)) then
        return false;
    end if;
    -- two grants on one object at a time are an error
    perform vsync_internal.lock_table('grants');
    execute format('grant usage on schema vsync, vsync_internal, vsync_data to %I', owner);
    execute format('grant execute on function vsync_internal.admit(text, name), vsync.text_change(text, text) to %I', owner);
    return true;
end
$$;
comment on function vsync_internal.let_readers_run(name) is
'grants an owner what its readers call, so that they go on when it is no member of vsync_admin any more';

create function vsync_internal.let_readers_end(owner name)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if owner = vsync_internal.installer() or not exists (select from pg_roles as r where r.rolname = let_readers_end.owner)
        or exists (select from vsync_internal.embeddings as e where vsync_internal.owner_of(e.name) = let_readers_end.owner) then
        return false;
    end if;
    perform vsync_internal.lock_table('grants');
    execute format('revoke usage on schema vsync, vsync_internal, vsync_data from %I', owner);
    execute format('revoke execute on function vsync_internal.admit(text, name), vsync.text_change(text, text) from %I', owner);
    return true;
end
$$;
comment on function vsync_internal.let_readers_end(name) is 'takes the grants back from a role that owns no embedding any more, so that it can be dropped';
