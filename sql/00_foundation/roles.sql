-- Roles are cluster-wide and outlive the extension. vsync_sandbox owns nothing and is granted to nobody: owners' code is called from it.
-- It may call what reads documents, which opens only to a ticket.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['vsync_reader', 'vsync_operator', 'vsync_admin', 'vsync_sandbox'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
            execute pg_catalog.format('create role %I nologin', v_role);
        end if;
    end loop;
    -- who may not grant them finds them granted by another database's installer
    if not pg_catalog.pg_has_role('vsync_operator', 'vsync_reader', 'member') then
        grant vsync_reader to vsync_operator;
    end if;
    if not pg_catalog.pg_has_role('vsync_admin', 'vsync_operator', 'member') then
        grant vsync_operator to vsync_admin;
    end if;
end
$$;
