-- Event triggers are a superuser's. Without those that follow DDL, doctor() still finds what they would have followed.
do $$
begin
    if (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user) then
        create event trigger vsync_follow_ddl on ddl_command_end
            when tag in ('ALTER TABLE', 'CREATE TABLE', 'DROP TRIGGER', 'CREATE VIEW', 'ALTER VIEW', 'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER TYPE',
                'CREATE POLICY', 'ALTER POLICY', 'GRANT', 'REVOKE')
            execute function vsync_internal.follow_ddl();
        create event trigger vsync_notice_drop on sql_drop execute function vsync_internal.notice_drop();
        create event trigger vsync_before_drop_extension on ddl_command_start
            when tag in ('DROP EXTENSION') execute function vsync_internal.before_drop_extension();
        create event trigger vsync_guard_functions on ddl_command_end
            when tag in ('ALTER FUNCTION', 'ALTER PROCEDURE', 'ALTER ROUTINE', 'CREATE FUNCTION', 'CREATE PROCEDURE')
            execute function vsync_internal.guard_functions();
        create event trigger vsync_guard_dropped_functions on sql_drop
            when tag in ('DROP FUNCTION', 'DROP PROCEDURE', 'DROP ROUTINE', 'DROP OWNED')
            execute function vsync_internal.guard_functions();
    end if;
end
$$;
