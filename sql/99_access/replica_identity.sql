-- A publication `for all tables` makes the server refuse UPDATE and DELETE of a table without a replica identity. Tables with a primary key
-- have one. Inserts and TRUNCATE, which are all the log sees in daily work, are logged the same either way.
do $$
declare
    v_table regclass;
begin
    for v_table in
        select c.oid from pg_catalog.pg_class as c
        where c.relnamespace = 'vsync_internal'::regnamespace and c.relkind in ('r', 'p')
            and not exists (select from pg_catalog.pg_index as i where i.indrelid = c.oid and i.indisprimary)
    loop
        execute pg_catalog.format('alter table %s replica identity full', v_table);
    end loop;
end
$$;
