-- DROP EXTENSION locks one table after the other, in an order of its own, while writers, readers and workers hold some and want others.
create function vsync_internal.lock_all()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
set lock_timeout = '10ms'
as $$
declare
    v_end timestamptz := clock_timestamp() + interval '10 s';
    v_relation regclass;
    v_kind "char";
begin
    perform vsync_internal.begin_own_ddl();
    loop
        begin
            for v_relation, v_kind in
                select c.oid, c.relkind from pg_class as c
                where c.relkind in ('r', 'p', 'v') and (c.relnamespace = any (array['vsync_internal', 'vsync_data']::regnamespace[])
                    or c.oid in (select r.relation from vsync_internal.captures as r) or c.oid = 'vsync.settings'::regclass
                    or c.relkind = 'v' and exists (select from vsync_internal.embeddings as e where e.name = c.relname
                        and (select t.relnamespace from pg_class as t where t.oid = e.root) = c.relnamespace))
                order by 1
            loop
                -- LOCK TABLE on a view goes on to what the view reads, as its owner: to catalogs of the whole cluster
                execute format(case v_kind when 'v' then 'alter view %s reset (check_option)'
                    else 'lock table %s in access exclusive mode nowait' end, v_relation);
            end loop;
            return true;
        exception when lock_not_available or undefined_table then
            -- what was locked is free again: who waits while holding something can be waited for in a circle
            if clock_timestamp() > v_end then
                return false;
            end if;
        end;
        perform pg_sleep(0.01);
    end loop;
end
$$;
comment on function vsync_internal.lock_all() is
'locks everything that goes with the extension, all or nothing, for the rest of the transaction; false where that could not be had within ten seconds';

create function vsync_internal.before_drop_extension()
returns event_trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- it runs before PostgreSQL asks whether the caller may drop anything
    if not exists (select from pg_namespace as n where n.nspname = 'vsync_internal' and pg_has_role(n.nspowner, 'usage')) then
        return;
    end if;
    -- which extension it is, only the statement tells; one that vsync needs takes it along
    if to_regclass('vsync_internal.captures') is not null and current_query() ~* '\m(vsync|vector|plpython3u)\M' then
        perform vsync_internal.lock_all();
    end if;
end
$$;
comment on function vsync_internal.before_drop_extension() is 'lets DROP EXTENSION begin when it need not wait for anybody any more';
