-- Every owner's readers may be called from vsync_sandbox, and so by what any owner planted: a reader opens only to a ticket, which says
-- that vsync itself called it, in this transaction. Nothing is written, so that an audit in one snapshot can give one too.
create table vsync_internal.secret (
    one boolean primary key default true check (one),
    value bytea not null
);
comment on table vsync_internal.secret is 'what tickets are made with: every database has its own, no dump of the extension takes it along, and nobody may read it';
insert into vsync_internal.secret (value)
values (pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) operator(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid()));

create function vsync_internal.ticket(data name)
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
comment on function vsync_internal.ticket(name) is
'what opens the readers of one version, in this session until the transaction ends. Granted to nobody';

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
    if (ticket = vsync_internal.ticket(data)) is not true then
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
    perform pg_advisory_xact_lock(hashtext('vsync'), hashtext('grants'));
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
    if owner = vsync_internal.installer() or exists (select from vsync_internal.embeddings as e where vsync_internal.owner_of(e.name) = let_readers_end.owner) then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('vsync'), hashtext('grants'));
    execute format('revoke usage on schema vsync, vsync_internal, vsync_data from %I', owner);
    execute format('revoke execute on function vsync_internal.admit(text, name), vsync.text_change(text, text) from %I', owner);
    return true;
end
$$;
comment on function vsync_internal.let_readers_end(name) is 'takes the grants back from a role that owns no embedding any more, so that it can be dropped';
