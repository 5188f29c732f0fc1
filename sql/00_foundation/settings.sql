create table vsync_internal.settings (
    name text primary key,
    value text not null check (value ~ '^[0-9]{1,9}$')
);
comment on table vsync_internal.settings is 'settings that differ from their default; written by vsync.configure()';

-- A value from outside the bounds, of a restored table for instance, counts as the nearest bound.
create view vsync.settings as
select d.name,
    case when s.value is null then d.value::text else least(greatest(s.value::bigint, d.minimum), d.maximum)::text end as value,
    d.value::text as default_value, d.description, d.minimum, d.maximum
from (values
    ('threads', 0, 0, 256, 'threads of one model call, at most one a core; 0: one a core'),
    ('batch_tokens', 512, 1, 131072, 'padded tokens of one model call'),
    ('memory_limit_mb', 4096, 0, 16777216, 'address space a worker may add to what its session had; 0: no limit'),
    ('share_models', 1, 0, 1, 'sessions map one copy of a model''s weights; 0: each has its own'),
    ('claim_limit', 2048, 1, 100000, 'documents one claim takes at most'),
    ('lease_seconds', 60, 1, 86400, 'how long a claim is owned without renewal'),
    ('max_attempts', 5, 1, 1000000, 'failures of one document before it is parked'),
    ('retry_seconds', 1, 0, 86400, 'wait after the first failure; doubles with each, with jitter'),
    ('poll_ms', 250, 1, 60000, 'longest sleep of an idle worker'),
    ('document_timeout_ms', 30000, 100, 86400000, 'how long reading the documents of a claim, or a page of keys, may take'),
    ('rule_timeout_ms', 1000, 1, 600000, 'how long the rules may take for a thousand changes, or the documents of a claim'),
    ('decisions_hours', 24, 0, 87600, 'how long vsync.decisions keeps what rules decided; 0: nothing is kept')
) as d (name, value, minimum, maximum, description)
left join vsync_internal.settings as s using (name);
comment on view vsync.settings is
'settings of the installation, their defaults and bounds; change one with select vsync.configure(''threads'', ''4'')';

create function vsync_internal.setting(name text)
returns bigint
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select s.value::bigint from vsync.settings as s where s.name = setting.name);
end
$$;
comment on function vsync_internal.setting(text) is 'the value in force of one setting';

create function vsync.configure(name text, value text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_bounds text;
begin
    if not exists (select from vsync.settings as s where s.name = configure.name) then
        raise exception using
            errcode = 'VS001',
            message = format('unknown setting "%s"', coalesce(configure.name, 'null')),
            detail = 'vsync.settings lists what can be set.',
            hint = vsync_internal.did_you_mean(coalesce(configure.name, ''), array(select s.name from vsync.settings as s order by 1));
    end if;
    select format('It must be a whole number from %s to %s.', s.minimum, s.maximum)
    into v_bounds from vsync.settings as s
    where s.name = configure.name
        and not coalesce(case when configure.value ~ '^[0-9]{1,9}$' then configure.value::bigint between s.minimum and s.maximum end,
            configure.value is null);
    if found then
        raise exception using
            errcode = 'VS001',
            message = format('invalid value for setting "%s"', configure.name),
            detail = format('The value is "%s". %s', left(configure.value, 80), v_bounds),
            hint = format('select vsync.configure(%L, null) sets the default.', configure.name);
    end if;
    perform vsync_internal.configure(configure.name, configure.value);
    return (select s.value from vsync.settings as s where s.name = configure.name);
end
$$;
comment on function vsync.configure(text, text) is
'Sets a setting of the installation (null: back to its default) and returns the value in force. Superusers only.
Example: select vsync.configure(''threads'', ''2'')';

create function vsync_internal.configure(name text, value text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_superuser('change settings');
    if value is null then
        delete from vsync_internal.settings as s where s.name = configure.name;
    else
        insert into vsync_internal.settings as s values (configure.name, configure.value)
        on conflict on constraint settings_pkey do update set value = excluded.value;
    end if;
    return true;
end
$$;
comment on function vsync_internal.configure(text, text) is 'stores a setting';

create function vsync_internal.require_primary()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_subscription name;
begin
    if pg_is_in_recovery() then
        raise exception using
            errcode = 'VS007',
            message = 'this server is a standby',
            detail = 'It replays what the primary does, and takes no writes. Searching, the views and explaining work here.',
            hint = 'Connect to the primary, for example with target_session_attrs=read-write in the connection string.';
    end if;
    v_subscription := (
        select s.subname from pg_subscription_rel as r join pg_class as c on c.oid = r.srrelid join pg_subscription as s on s.oid = r.srsubid
        where c.relnamespace = 'vsync_internal'::regnamespace limit 1);
    if v_subscription is not null then
        raise exception using
            errcode = 'VS007',
            message = 'the tables of vsync still arrive from a publisher',
            detail = format('Subscription "%s" writes them; two servers would number the same things.', v_subscription),
            hint = format('After the cut-over: drop subscription %I', v_subscription);
    end if;
    return true;
end
$$;
comment on function vsync_internal.require_primary() is 'refuses what writes, on a standby and while a subscription writes vsync''s tables';

create function vsync_internal.require_superuser(what text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_primary();
    -- where the installer is none, Python is not there either, and models run outside
    if not (select r.rolsuper from pg_roles as r where r.rolname = current_user) and current_user <> vsync_internal.installer() then
        raise exception using
            errcode = 'VS002',
            message = format('only a superuser may %s', what),
            detail = format('The current role is "%s".', current_user),
            hint = 'Connect as a superuser, for example: psql -U postgres';
    end if;
    return true;
end
$$;
comment on function vsync_internal.require_superuser(text) is 'models and Python run as the server: superusers only';

create function vsync_internal.require_owner(owner name, what text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_role name;
begin
    perform vsync_internal.require_primary();
    -- what a role that was dropped leaves behind is whose installation it is
    if not exists (select from pg_roles as r where r.rolname = require_owner.owner) then
        owner := vsync_internal.installer();
    end if;
    if not pg_has_role(session_user, owner, 'member') or not pg_has_role(current_user, owner, 'member') then
        v_role := case when pg_has_role(session_user, owner, 'member') then current_user else session_user end;
        raise exception using
            errcode = 'VS002',
            message = format('permission denied to %s', what),
            detail = format('It belongs to role "%s", of which "%s" is not a member.', owner, v_role),
            hint = format('grant %I to %I', owner, v_role);
    end if;
    return true;
end
$$;
comment on function vsync_internal.require_owner(name, text) is 'the session''s role, and the current one, must be members of the owner';
