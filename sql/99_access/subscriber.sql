-- A database that receives all tables by logical replication: rows that installing made give way to the publisher's, and sequences, which are
-- not replicated, are raised before anything is numbered.
create function vsync_internal.give_way()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('delete from vsync_internal.%I', tg_table_name);
    return new;
end
$$;
comment on function vsync_internal.give_way() is 'lets a row that arrives by logical replication replace the only one';
create trigger give_way before insert on vsync_internal.fold_state for each row execute function vsync_internal.give_way();
alter table vsync_internal.fold_state enable replica trigger give_way;
create trigger give_way before insert on vsync_internal.secret for each row execute function vsync_internal.give_way();
alter table vsync_internal.secret enable replica trigger give_way;

create function vsync_internal.raise_sequences()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_identity record;
    v_data name;
    v_number bigint;
    v_highest bigint := greatest((select max(m.generation) from vsync_internal.marks as m), (select max(p.generation) from vsync_internal.pages as p), 0);
begin
    for v_identity in
        select a.attrelid::regclass as relation, a.attname, pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)::regclass as sequence
        from pg_attribute as a join pg_class as c on c.oid = a.attrelid
        where c.relnamespace = 'vsync_internal'::regnamespace and c.relkind = 'r' and a.attidentity <> ''
    loop
        execute format('select setval(%1$L, max(r.%2$I)) from %3$s as r having max(r.%2$I) >= (select s.last_value from %1$s as s)',
            v_identity.sequence, v_identity.attname, v_identity.relation);
    end loop;
    for v_data in
        select v.data from vsync_internal.versions as v join pg_class as c on c.relnamespace = 'vsync_data'::regnamespace and c.relname = v.data
    loop
        execute format('select max(v.token) from vsync_data.%I as v', v_data) into v_number;
        v_highest := greatest(v_highest, v_number);
    end loop;
    perform setval('vsync_internal.token', v_highest + 1) from vsync_internal.token as s where s.last_value <= v_highest;
    perform setval('vsync_internal.generation', v_highest + 1) from vsync_internal.generation as s where s.last_value <= v_highest;
    return v_highest;
end
$$;
comment on function vsync_internal.raise_sequences() is
'raises every sequence above what rows hold: numbers, fencing tokens and generations must not go backwards where rows came without them';
