-- A key travels through log and queue as one text: of one column its text form, of several a jsonb array.
-- Types from outside pg_catalog go through their output and input functions, never through casts: a cast may be
-- anybody's function, and these expressions run with the rights of the extension's owner.

create function vsync_internal.key_text(keys jsonb, alias text, name_as text default 'output')
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    -- "is distinct from null" is a test for null even of a row
    select case when count(*) = 1 then min(case when builtin then c || '::pg_catalog.text' else c_text end)
        else 'pg_catalog.jsonb_build_array('
            || string_agg(case when nested then c || '::pg_catalog.text' when builtin then c else c_text end, ', ' order by i)
            || ')::pg_catalog.text' end
    from (
        select c, format('case when %1$s is distinct from null then pg_catalog.format(''%%s'', %1$s) end', c) as c_text, builtin,
            builtin and type ~ '([[][]]|^json|^jsonb|vector)$' as nested, i -- as jsonb it would not read as its own text
        from (
            select format('%s.%I', alias, k ->> name_as) as c, (k ->> 'builtin')::boolean as builtin, k ->> 'type' as type, i
            from jsonb_array_elements(keys) with ordinality as e (k, i)) as n) as s
$$;
comment on function vsync_internal.key_text(jsonb, text, text) is 'SQL: the key text of the key columns of a row called alias';

create function vsync_internal.key_values(keys jsonb, source text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (
        select string_agg(format(
            case when builtin then '(%1$s)::%2$s%4$s as %3$I'
            else '(select x.v from pg_catalog.json_to_record(pg_catalog.json_build_object(''v'', %1$s)) as x (v %2$s))%4$s as %3$I' end,
            part, type, output, ' collate ' || collated), ', ' order by i)
        from (
            select case when jsonb_array_length(keys) = 1 then source
                else format('(%s::pg_catalog.jsonb ->> %s)', source, i - 1) end as part,
                k ->> 'type' as type, k ->> 'output' as output, (k ->> 'builtin')::boolean as builtin, i,
                k ->> 'collation' as collated -- values that it takes for equal are one key here, too
            from jsonb_array_elements(keys) with ordinality as e (k, i)) as s);
end
$$;
comment on function vsync_internal.key_values(jsonb, text) is 'SQL: select list that turns a key text back into typed key columns';

create function vsync_internal.key_list(keys jsonb, template text, separator text default ', ')
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (
        select string_agg(format(template, k ->> 'output', k ->> 'column', k ->> 'type', i), separator order by i)
        from jsonb_array_elements(keys) with ordinality as e (k, i));
end
$$;
comment on function vsync_internal.key_list(jsonb, text, text) is
'SQL: a template of format() for each key column: 1 output name, 2 column of the root, 3 type, 4 place from 1';

create function vsync_internal.key_places(keys jsonb)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (select jsonb_agg(k || jsonb_build_object('output', 'k' || i) order by i) from jsonb_array_elements(keys) with ordinality as e (k, i));
end
$$;
comment on function vsync_internal.key_places(jsonb) is 'the same key with outputs k1, k2 …: names that a query can have beside its own';

create function vsync_internal.key_json(keys jsonb, alias text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'pg_catalog.jsonb_build_object('
        || string_agg(format(case when (k ->> 'builtin')::boolean then '%L, %s.%I' else '%L, pg_catalog.format(''%%s'', %s.%I)' end,
            k ->> 'output', alias, k ->> 'output'), ', ' order by i) || ')'
    from jsonb_array_elements(keys) with ordinality as e (k, i)
$$;
comment on function vsync_internal.key_json(jsonb, text) is 'SQL: the key of a row called alias as callers see it: {"id": 42}';

create function vsync_internal.key_of(keys jsonb, key jsonb)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_names text[] := array(select k ->> 'output' from jsonb_array_elements(keys) as k);
    v_given jsonb := case when jsonb_typeof(key) = 'object' then key
        when jsonb_array_length(keys) = 1 then jsonb_build_object(v_names[1], key) end;
    v_source text;
    v_key text;
begin
    if v_given is null or not v_given ?& v_names
        or (select count(*) from jsonb_object_keys(v_given)) <> cardinality(v_names)
        or exists (select from jsonb_each(v_given) as e where jsonb_typeof(e.value) not in ('string', 'number', 'boolean')) then
        raise exception using
            errcode = 'VS304',
            message = 'the key does not fit',
            detail = format('Given: %s', coalesce(left(key::text, 200), 'null')),
            hint = format('Pass %s',
                (select jsonb_object_agg(k ->> 'output', '<' || (k ->> 'type') || '>') from jsonb_array_elements(keys) as k));
    end if;
    v_source := case when cardinality(v_names) = 1 then v_given ->> v_names[1]
        else (select jsonb_agg(v_given -> n order by i)::text from unnest(v_names) with ordinality as u (n, i)) end;
    begin
        execute format('select %s from (select %s) as k', vsync_internal.key_text(keys, 'k'), vsync_internal.key_values(keys, '$1'))
        into v_key using v_source;
    exception when data_exception then
        raise exception using
            errcode = 'VS304',
            message = 'the key does not fit',
            detail = sqlerrm,
            hint = format('Pass %s',
                (select jsonb_object_agg(k ->> 'output', '<' || (k ->> 'type') || '>') from jsonb_array_elements(keys) as k));
    end;
    return v_key;
end
$$;
comment on function vsync_internal.key_of(jsonb, jsonb) is 'the key text of a key as callers write it, or error VS304';

create function vsync_internal.operator_schema(type oid)
returns name
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select n.nspname
    from pg_opclass as c
    join pg_am as m on m.oid = c.opcmethod
    join pg_amop as e
        on e.amopfamily = c.opcfamily
        and e.amoplefttype = c.opcintype
        and e.amoprighttype = c.opcintype
    join pg_operator as o on o.oid = e.amopopr
    join pg_namespace as n on n.oid = o.oprnamespace
    where m.amname = 'btree'
    and c.opcdefault
    and e.amopstrategy = 3
    and c.opcintype = operator_schema.type
$$;
comment on function vsync_internal.operator_schema(oid) is 'the schema of a type''s own equality, null where it takes that of another type';
