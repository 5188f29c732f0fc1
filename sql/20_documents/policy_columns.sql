-- Row-level security decides on the root's row as it is now, and a text shows the row as it was embedded. Each vector therefore says what the columns
-- that decide were worth when its text was rendered, and is shown only while they are worth the same.
create function vsync_internal.policy_columns(relation regclass)
returns smallint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array_agg(a.attnum order by a.attnum)
    from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid = relation and c.relrowsecurity and exists (
        select from pg_policy as p
        where p.polrelid = c.oid and p.polcmd in ('r', '*') and (p.polqual::text ~ ':varattno 0 ' or exists (
            select from pg_depend as d where d.classid = 'pg_policy'::regclass and d.objid = p.oid
                and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid = a.attnum)))
$$;
comment on function vsync_internal.policy_columns(regclass) is
'numbers of the columns of a table that its policies for reading read, of a policy on the whole row all; null where there are none, or row-level security is off';

create function vsync_internal.policy_value(type oid, reference text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- No setting of a session may show in it: not of a worker's, not of a reader's. A cast to text of a type from outside pg_catalog may be anybody's.
    select case when t.typtype = 'e' or coalesce(nullif(t.typelem, 0), t.oid) = any ('{bool,"\"char\"",name,text,varchar,bpchar,int2,int4,int8,oid,numeric,uuid,inet,cidr,macaddr,'
            'macaddr8,bit,varbit,json,jsonb,xml}'::regtype[]::oid[]) then format('%s::pg_catalog.text', reference)
        when t.typsend <> 0 and t.typtype in ('b', 'r', 'm') and n.nspname = 'pg_catalog'
            then format('pg_catalog.encode(%s(%s), ''hex'')', t.typsend, reference)
        else format('pg_catalog.format(''%%s'', %s)', reference) end
    from pg_type as d join pg_type as t on t.oid = coalesce(nullif(d.typbasetype, 0), d.oid) join pg_namespace as n on n.oid = t.typnamespace
    where d.oid = type
$$;
comment on function vsync_internal.policy_value(oid, text) is 'SQL: a text that tells values of a type apart, the same in every session';

create function vsync_internal.made_of(relation regclass, alias text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format('pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws('','', %s), ''UTF8''))', string_agg(
        format('pg_catalog.quote_nullable(%s)', vsync_internal.policy_value(a.atttypid, format('%s.%I', alias, a.attname))), ', ' order by a.attnum))
    from pg_attribute as a where a.attrelid = relation and a.attnum = any (vsync_internal.policy_columns(relation))
    having count(*) > 0
$$;
comment on function vsync_internal.made_of(regclass, text) is
'SQL: a hash of the columns that decide who may read a row; null where none do';
