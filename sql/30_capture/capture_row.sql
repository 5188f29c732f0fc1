create function vsync_internal.primary_key(relation regclass)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_agg(jsonb_build_object('column', a.attname, 'output', a.attname,
        'builtin', t.typnamespace = 'pg_catalog'::regnamespace) order by u.i)
    from pg_index as x, unnest(x.indkey::int2[]) with ordinality as u (attnum, i)
    join pg_attribute as a on a.attrelid = primary_key.relation and a.attnum = u.attnum
    join pg_type as t on t.oid = a.atttypid
    where x.indrelid = primary_key.relation and x.indisprimary and u.i <= x.indnkeyatts
$$;
comment on function vsync_internal.primary_key(regclass) is 'the primary key of a relation as key columns, null where it has none';

create function vsync_internal.image(columns name[], alias text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select format('row(%s)::record', string_agg(format('%s.%I', alias, c), ', ' order by i)) from unnest(columns) with ordinality as u (c, i) $$;
comment on function vsync_internal.image(name[], text) is
'SQL: the watched columns of a row, to be compared as images: equal values may still render differently (1.0 and 1.00)';

create function vsync_internal.differs(feed vsync_internal.feeds)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- of these types equal values have one image, and comparing them costs less
    select concat_ws(' or ', string_agg(format('o.%1$I is distinct from n.%1$I', a.attname), ' or ' order by a.attnum) filter (where x.exact),
        vsync_internal.image(array_agg(a.attname order by a.attnum) filter (where not x.exact), 'o') || ' *<> '
        || vsync_internal.image(array_agg(a.attname order by a.attnum) filter (where not x.exact), 'n'))
    from pg_attribute as a
    left join pg_collation as l on l.oid = a.attcollation,
        lateral (select a.atttypid = any ('{int2,int4,int8,oid,bool,uuid,date,timestamp,timestamptz,text,varchar,bytea}'::regtype[])
            and coalesce(l.collisdeterministic, true)) as x (exact)
    where a.attrelid = feed.relation and a.attname = any (feed.columns) and not a.attisdropped
$$;
comment on function vsync_internal.differs(vsync_internal.feeds) is 'SQL: whether the watched columns of an old row o and a new row n have different images';
