create view vsync_internal.doctor_23_sandbox as
select 'sandbox' as name, 'error' as level, format('role %s is a member of %s: code of owners runs as vsync_sandbox, which must have no rights and no members', m.member, m.role) as detail,
    format('revoke %s from %s', m.role, m.member) as remediation
from (select a.member::regrole, a.roleid::regrole as role from pg_catalog.pg_auth_members as a
    where (select r.oid from pg_catalog.pg_roles as r where r.rolname = 'vsync_sandbox') in (a.roleid, a.member)
        and pg_catalog.pg_get_userbyid(a.member) <> vsync_internal.installer()) as m
union all
select 'sandbox', 'warning', format('role %s may grant %s to others, vsync_sandbox included', m.member::regrole, m.roleid::regrole),
    format('revoke admin option for %s from %s', m.roleid::regrole, m.member::regrole)
from pg_catalog.pg_auth_members as m join pg_catalog.pg_roles as r on r.oid = m.member
where m.admin_option and m.roleid::regrole::text in ('vsync_reader', 'vsync_operator', 'vsync_admin') and not r.rolsuper and r.rolname <> vsync_internal.installer()
union all
select 'sandbox', 'error', format('role vsync_sandbox is %s', x.what), 'alter role vsync_sandbox nosuperuser nologin nocreaterole nocreatedb noreplication nobypassrls'
from pg_catalog.pg_roles as r, lateral (select concat_ws(', ', case when r.rolsuper then 'superuser' end, case when r.rolcanlogin then 'login' end,
    case when r.rolcreaterole then 'createrole' end, case when r.rolcreatedb then 'createdb' end, case when r.rolreplication then 'replication' end,
    case when r.rolbypassrls then 'bypassrls' end) as what) as x
where r.rolname = 'vsync_sandbox' and x.what <> ''
union all
select 'sandbox', 'error', format('%s is not what vsync made: it is not called', p.oid::regprocedure),
    format('alter function %1$s security definer; alter function %1$s owner to %2$I', p.oid::regprocedure, vsync_internal.owner_of(v.embedding))
from vsync_internal.versions as v
cross join lateral (select unnest(vsync_internal.reader_suffixes() || array['_excluded'])
    union all select '_delta_' || d.number from vsync_internal.dependencies as d where d.version_id = v.id and d.number > 0) as s (suffix)
join pg_catalog.pg_proc as p on p.pronamespace = 'vsync_data'::regnamespace and p.proname = (v.data || s.suffix)::name
where v.state <> 'dropped' and (not p.prosecdef or pg_catalog.pg_get_userbyid(p.proowner) <> vsync_internal.owner_of(v.embedding));
comment on view vsync_internal.doctor_23_sandbox is 'members and memberships of the role that owner code runs as, and readers that were replaced';
