-- The WAL tells whole rows where a table's replica identity is full, and a list of columns would refuse its writers. So what no feed asks
-- for is taken out of the messages before anybody sees them. Offsets count from 0, as get_byte() does.
create function vsync_internal.wal_wanted(message bytea, columns text[])
returns boolean[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_at int := 5;
    v_end int;
    v_count int;
    v_wanted boolean[] := '{}';
begin
    -- schema and table
    for i in 1 .. 2 loop
        v_at := v_at + position('\x00'::bytea in substring(message from v_at + 1));
    end loop;
    v_count := get_byte(message, v_at + 1) * 256 + get_byte(message, v_at + 2);
    v_at := v_at + 3;
    for i in 1 .. v_count loop
        -- flags, name, type, modifier
        v_end := v_at + position('\x00'::bytea in substring(message from v_at + 2));
        v_wanted[i] := convert_from(substring(message from v_at + 2 for v_end - v_at - 1), 'UTF8') = any (columns);
        v_at := v_end + 9;
    end loop;
    return v_wanted;
end
$$;
comment on function vsync_internal.wal_wanted(bytea, text[]) is 'for each column in a Relation message of pgoutput, whether its name is among the given ones';

create function vsync_internal.wal_filter(message bytea, wanted boolean[])
returns bytea
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kept bytea := '';
    v_from int := 0;
    v_at int := 5;
    v_end int := length(message);
    v_size int;
begin
    while v_at < v_end loop
        -- kind of tuple and number of columns
        v_at := v_at + 3;
        for i in 1 .. get_byte(message, v_at - 2) * 256 + get_byte(message, v_at - 1) loop
            if get_byte(message, v_at) = 116 then
                v_size := 5 + get_byte(message, v_at + 1) * 16777216 + get_byte(message, v_at + 2) * 65536 + get_byte(message, v_at + 3) * 256
                    + get_byte(message, v_at + 4);
                if wanted[i] is not true then
                    v_kept := v_kept || substring(message from v_from + 1 for v_at - v_from) || '\x6e'::bytea;
                    v_from := v_at + v_size;
                end if;
                v_at := v_at + v_size;
            else
                v_at := v_at + 1;
            end if;
        end loop;
    end loop;
    return v_kept || substring(message from v_from + 1);
end
$$;
comment on function vsync_internal.wal_filter(bytea, boolean[]) is
'an Insert, Update or Delete message of pgoutput with null for the values of columns that are not wanted';
