create function vsync_internal.change_source(facts text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('cross join lateral pg_catalog.jsonb_to_record(coalesce(%s, ''{}'')) as change (op pg_catalog.text, relation pg_catalog.regclass, '
        'at pg_catalog.timestamptz, documents pg_catalog.int8)', facts)
$$;
comment on function vsync_internal.change_source(text) is 'SQL: joins the row that conditions call change, of a jsonb';

create function vsync_internal.judge_query(version vsync_internal.versions, rule_ids int[], cases text default '$1', live boolean default false)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_root regclass := (select e.root from vsync_internal.embeddings as e where e.name = version.embedding);
    v_document text := format('vsync_data.%I', version.data || '_document');
    v_reads text[];
    v_whole boolean;
    v_stage text;
    v_relation regclass;
    v_rules text;
    v_numbers text;
    v_sources text;
begin
    select max(r.stage), bool_or(concat_ws(' ', r.sql, r.expression) ~* '\m(old|new)\M(?!\s*\.\s*["[:alpha:]_])'), coalesce(max(r.relation::oid)::regclass, v_root),
        string_agg(format(e'case when (%s\n) then %s end',
            r.sql || case when r.expression is null then '' else format(e'\n) and (coalesce((%s\n), null::pg_catalog.float8) is not null', r.expression) end, r.id), ', ' order by u.i),
        string_agg(format(e'case when (%s\n) then coalesce((%s\n), null::pg_catalog.float8) end', r.sql, r.expression), ', ' order by u.i) filter (where r.expression is not null),
        array(select distinct n.name from vsync_internal.rules as x, jsonb_each(x.columns) as n (name, columns)
            where x.id = any (rule_ids) and x.embedding = version.embedding and n.columns <> '[]')
    into v_stage, v_whole, v_relation, v_rules, v_numbers, v_reads
    from unnest(rule_ids) with ordinality as u (id, i)
    join vsync_internal.rules as r on r.id = u.id and r.embedding = version.embedding;
    v_sources := concat_ws(' ',
        -- columns alone are cheaper to come by than a row of the table's type
        (select string_agg(format(case when v_whole then 'cross join lateral pg_catalog.jsonb_populate_record(null::%1$s, nullif(c.vsync_%2$s, ''null'')) as %2$s'
                else 'cross join lateral (select (c.vsync_%2$s).*) as %2$s' end, v_relation, n.name), ' ')
            from unnest(array['old', 'new']) as n (name) where v_stage = 'change' and not live and n.name = any (v_reads)),
        case when (v_stage = 'document' or live) and v_reads && '{old,new}' then
            format('left join lateral (select r.* from %s as r, (select %s) as k where %s) as new on true', v_root,
                vsync_internal.key_values(vsync_internal.key_places(version.keys), 'c.vsync_key'),
                vsync_internal.key_list(version.keys, 'r.%2$I = k.k%4$s', ' and ')) end,
        case when live and 'old' = any (v_reads) then 'cross join lateral (select new.*) as old' end,
        case when 'doc' = any (v_reads) then
            format('cross join lateral pg_catalog.jsonb_populate_record(null::%s, c.vsync_doc) as doc', v_document) end,
        case when 'last' = any (v_reads) then
            format('cross join lateral (select %s (c.vsync_last ->> ''embedded_at'')::pg_catalog.timestamptz as embedded_at, (c.vsync_last ->> ''version'')::pg_catalog.int4 as version '
                'from pg_catalog.jsonb_populate_record(null::%s, c.vsync_last) as l) as last',
                (select string_agg(format('l.%I, ', a.attname), '' order by a.attnum) from pg_attribute as a
                    where a.attrelid = v_document::regclass and a.attnum > 0 and not a.attisdropped and a.attname not in ('embedded_at', 'version')), v_document) end,
        case when 'change' = any (v_reads) then
            vsync_internal.change_source('c.vsync_change') end);
    -- offset: what the filter looks at is not worked out twice; vsync_…: doc, last and change are rows, not these columns
    return format('select j.place, j.rules, j.numbers from (select c.vsync_place as place, pg_catalog.array_remove(array[%1$s]::pg_catalog.int4[], null) as rules, '
        '%2$s::pg_catalog.float8[] as numbers from (select r.place as vsync_place, r.key as vsync_key, r.old as vsync_old, r.new as vsync_new, '
        'r.doc as vsync_doc, r.last as vsync_last, r.change as vsync_change from pg_catalog.jsonb_to_recordset(%3$s) as r (place pg_catalog.int4, key pg_catalog.text, '
        'old %5$s, new %5$s, doc pg_catalog.jsonb, last pg_catalog.jsonb, change pg_catalog.jsonb)) as c %4$s offset 0) as j where j.rules <> ''{}''',
        v_rules, coalesce('array[' || v_numbers || ']', 'null'), cases, v_sources,
        case when v_stage = 'change' and not live and not v_whole then v_relation::text else 'pg_catalog.jsonb' end);
end
$$;
comment on function vsync_internal.judge_query(vsync_internal.versions, int[], text, boolean) is
'SQL that asks all these rules at once of cases, themselves SQL of a jsonb: a row for each case of which any holds. old and new are what the case brings along,
at stage document new is the root''s row as it is now. live: old and new both are the root''s row as it is now';

create function vsync_internal.check_rule_rights(version vsync_internal.versions, rule_ids int[])
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owner name := (vsync_internal.find_embedding(version.embedding)).owner;
    v_missing text;
begin
    -- old and new come from the log, which asks nobody for permission
    select case when c.relrowsecurity and not t.exempt then format('permission denied for the rows of %s', c.oid::regclass)
        else format('permission denied for column "%s" of %s', a.attname, c.oid::regclass) end
    into v_missing
    from vsync_internal.rules as r
    join vsync_internal.embeddings as e on e.name = r.embedding
    join pg_class as c on c.oid = coalesce(r.relation, e.root)
    cross join lateral (
        select bool_or(o.rolsuper or o.rolbypassrls or pg_has_role(o.oid, c.relowner, 'usage') and not c.relforcerowsecurity) as exempt
        from pg_roles as o where o.rolname = v_owner) as t
    cross join lateral (select jsonb_array_elements_text(r.columns -> 'new') union select jsonb_array_elements_text(r.columns -> 'old')) as n (name)
    join pg_attribute as a on a.attrelid = c.oid and a.attname = n.name and a.attnum > 0 and not a.attisdropped
    where r.id = any (rule_ids) and r.embedding = version.embedding
        and (c.relrowsecurity and not t.exempt or not has_schema_privilege(v_owner, c.relnamespace, 'usage')
            or not has_column_privilege(v_owner, c.oid, a.attnum, 'select'))
    limit 1;
    if found then
        raise exception using
            errcode = 'insufficient_privilege',
            message = v_missing,
            detail = format('Rules are evaluated with the rights of "%s", which owns the embedding "%s".', v_owner, version.embedding),
            hint = 'Grant the privilege again; the next evaluation uses it.';
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_rule_rights(vsync_internal.versions, int[]) is
'error 42501 where the owner may not read what rules would be given of old and new rows';

create function vsync_internal.judge(version_id int, rule_ids int[], cases jsonb)
returns table (place int, rules int[], numbers float8[])
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
set lock_timeout = '100ms' -- a lock is no rule's fault: it must be told before rule_timeout_ms is over
as $$
declare
    v_version vsync_internal.versions;
begin
    select v.* into v_version from vsync_internal.versions as v where v.id = judge.version_id;
    perform vsync_internal.check_rule_rights(v_version, rule_ids);
    perform set_config('timezone', vsync_internal.time_zone(), true);
    return query
    select j.place, j.rules, j.numbers from vsync_internal.call_judge(v_version.data,
        vsync_internal.judge_query(v_version, rule_ids), cases, vsync_internal.ticket(v_version.data)) as j;
end
$$;
comment on function vsync_internal.judge(int, int[], jsonb) is
'asks rules of cases, as their owner and read only: [{"place", "key", "old", "new", "doc", "last", "change"}]. Returns the places where
any holds, with the rules, in the order given, and the numbers of those that have an expression';

create function vsync_internal.time_zone()
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (
        select coalesce(
            (select substr(c.setting, strpos(c.setting, '=') + 1) from pg_db_role_setting as s, unnest(s.setconfig) as c (setting)
                where s.setrole = 0 and s.setdatabase = (select d.oid from pg_database as d where d.datname = current_database())
                    and lower(split_part(c.setting, '=', 1)) = 'timezone'),
            (select s.reset_val from pg_settings as s where s.name = 'TimeZone')));
end
$$;
comment on function vsync_internal.time_zone() is 'the database''s time zone, whatever the session has set: what localtime and times of day mean in rules';
