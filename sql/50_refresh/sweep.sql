create function vsync_internal.sweep(embedding name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_left vsync_internal.versions;
    v_view regclass;
    v_reader regprocedure;
    v_empty boolean;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    for v_left.data in
        select c.relname from pg_class as c
        where c.relnamespace = 'vsync_data'::regnamespace and c.relkind = 'r'
            and c.relname = vsync_internal.data_name(embedding, substring(c.relname from '_v([0-9]{1,6})$')::int)
            and not exists (select from vsync_internal.versions as v where v.data = c.relname)
    loop
        execute format('select not exists (select from vsync_data.%I)', v_left.data) into v_empty;
        continue when not v_empty;
        for v_view in
            select distinct r.ev_class from pg_depend as d join pg_rewrite as r on r.oid = d.objid join pg_class as c on c.oid = r.ev_class
            where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
                and d.refobjid = to_regclass(format('vsync_data.%I', v_left.data)) and c.relname = embedding
        loop
            execute format('drop view %s', v_view);
        end loop;
        for v_reader in
            select p.oid from pg_proc as p
            where p.pronamespace = 'vsync_data'::regnamespace and starts_with(p.proname, v_left.data || '_delta_')
        loop
            execute format('drop function %s', v_reader);
        end loop;
        perform vsync_internal.drop_objects(v_left);
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.sweep(name) is
'removes what a dump without rows left of an embedding that is not declared here: empty tables, views and functions; returns of how many versions';
