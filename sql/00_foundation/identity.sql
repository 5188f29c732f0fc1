create table vsync_internal.identity (
    system_identifier bigint not null,
    database oid not null,
    timeline int not null
);
comment on table vsync_internal.identity is 'the database this state was written in: another one means that it was restored';
comment on column vsync_internal.identity.timeline is 'of the WAL: another one means that a standby was promoted, or a backup recovered to a point in time';

create function vsync_internal.identity()
returns vsync_internal.identity
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    -- the control file learns of a promotion only with the next checkpoint
    select c.system_identifier, d.oid, case when pg_is_in_recovery() then (select i.timeline from vsync_internal.identity as i)
        else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end
    from pg_control_system() as c, pg_database as d where d.datname = current_database()
$$;
comment on function vsync_internal.identity() is 'the identity of this database';

create function vsync_internal.sign()
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from vsync_internal.identity) then
        return false;
    end if;
    insert into vsync_internal.identity select (vsync_internal.identity()).*;
    return true;
end
$$;
comment on function vsync_internal.sign() is 'writes the identity down where there is none';

create function vsync_internal.is_restored()
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    -- a restore fills the tables in any order, and a capture is never made before the identity is written
    select exists (select from vsync_internal.identity as i, vsync_internal.identity() as n
            where (i.system_identifier, i.database) is distinct from (n.system_identifier, n.database))
        or exists (select from vsync_internal.feeds) and not exists (select from vsync_internal.identity)
$$;
comment on function vsync_internal.is_restored() is 'whether a dump is being, or was, restored here and no worker has adopted it yet';

create function vsync_internal.is_promoted()
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$ select exists (select from vsync_internal.identity as i where i.timeline is distinct from (vsync_internal.identity()).timeline) $$;
comment on function vsync_internal.is_promoted() is 'whether this was another server''s standby, or a backup of it, and no worker has adopted it yet';
