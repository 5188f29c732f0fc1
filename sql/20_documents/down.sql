-- A version whose document cannot be read, since what it read is gone or is released, keeps its definition, its vectors, and of its readers
-- one, which looks at the keys of the root alone.
create function vsync_internal.is_down(version_id int)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select from vsync_internal.progress as p where p.version_id = is_down.version_id and p.broken is not null);
end
$$;
comment on function vsync_internal.is_down(int) is 'whether a version''s document cannot be read: it is broken or released';

create function vsync_internal.shown_state(version vsync_internal.versions)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case when p.broken is null then version.state when exists (select from vsync_internal.releases as r where r.version_id = version.id) then 'released'
        else 'broken' end
    from vsync_internal.progress as p where p.version_id = version.id
$$;
comment on function vsync_internal.shown_state(vsync_internal.versions) is 'the state of a version as views show it: broken and released stand before its own';

create function vsync_internal.root_is_gone(version_id int)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return not exists (
        select from vsync_internal.versions as v
        join vsync_internal.embeddings as e on e.name = v.embedding
        join pg_class as c on c.oid = e.root
        where v.id = root_is_gone.version_id and to_regclass(format('vsync_data.%I', v.data)) is not null
            and not exists (select from jsonb_array_elements(v.keys) as k where not exists (
                select from pg_attribute as a where a.attrelid = c.oid and a.attname = k ->> 'column' and not a.attisdropped)));
end
$$;
comment on function vsync_internal.root_is_gone(int) is 'whether the root, its key or the vector table was dropped, so that not even deletes can be followed';

create function vsync_internal.check_served(version_id int)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding name;
    v_broken text;
begin
    select p.broken, v.embedding into v_broken, v_embedding from vsync_internal.progress as p join vsync_internal.versions as v on v.id = p.version_id
    where p.version_id = check_served.version_id;
    if v_broken is not null and vsync_internal.root_is_gone(version_id) then
        raise exception using
            errcode = 'VS303',
            message = format('embedding "%s" is broken', v_embedding),
            detail = format('%s: deletes cannot be followed, and what it finds may be gone.', v_broken),
            hint = format('Bring it back, then: select vsync.repair_embedding(%L)', v_embedding);
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_served(int) is 'refuses to serve a version whose root is gone';

create function vsync_internal.give(statements text[], owner name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_statement text;
    v_before oid[] := array(select p.oid from pg_proc as p where p.pronamespace = 'vsync_data'::regnamespace);
    v_function regprocedure;
    v_lend boolean := owner <> vsync_internal.installer()
        and not exists (select from pg_roles as r where r.rolname = vsync_internal.installer() and r.rolsuper);
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    foreach v_statement in array statements loop
        execute v_statement;
    end loop;
    -- who is no superuser gives only to a role that may create there
    if v_lend then
        execute format('grant create on schema vsync_data to %I', owner);
    end if;
    for v_function in
        select p.oid from pg_proc as p where p.pronamespace = 'vsync_data'::regnamespace and p.oid <> all (v_before)
    loop
        execute format('alter function %s owner to %I', v_function, owner);
        v_count := v_count + 1;
    end loop;
    if v_lend then
        execute format('revoke create on schema vsync_data from %I', owner);
    end if;
    return v_count;
end
$$;
comment on function vsync_internal.give(text[], name) is 'creates functions in vsync_data and gives those that are new to a role; returns how many';

create function vsync_internal.name_of(relation regclass)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select case when exists (select from pg_class as c where c.oid = relation) then relation::text else 'pg_catalog.pg_class' end $$;
comment on function vsync_internal.name_of(regclass) is 'SQL: the name of a relation, of one that is gone the name of another, whose number differs';

create function vsync_internal.policy_form(version vsync_internal.versions)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('columns', (select jsonb_agg(format('%s %s', a.attnum, format_type(a.atttypid, a.atttypmod)) order by a.attnum)
            from pg_attribute as a where a.attrelid = e.root and a.attnum = any (vsync_internal.policy_columns(e.root))),
        'text', md5(concat_ws(' ', e.root, vsync_internal.made_of(e.root, 'r'), vsync_internal.key_list(version.keys, '%2$I'))),
        -- who may read single columns only is not refused for those that decide
        'shared', exists (select from pg_attribute as a join jsonb_array_elements(version.keys) as k on a.attname = k ->> 'column'
            where a.attrelid = e.root and a.attacl is not null))
    from vsync_internal.embeddings as e where e.name = version.embedding and vsync_internal.policy_columns(e.root) is not null
$$;
comment on function vsync_internal.policy_form(vsync_internal.versions) is
'what the policy of a version''s vector table has to be made for; null where no column of the root decides who may read a row';

create function vsync_internal.put_moved(version vsync_internal.versions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_root regclass := (select e.root from vsync_internal.embeddings as e where e.name = version.embedding);
    v_moved text := format('vsync_data.%I(%s)', version.data || '_moved', vsync_internal.key_list(version.keys, '%3$s'));
    v_made text := vsync_internal.made_of(v_root, 'r');
begin
    perform vsync_internal.begin_own_ddl();
    if v_made is null then
        execute format('drop function if exists %s', v_moved);
        return false;
    end if;
    -- as text, which stands in the way of no change of the root; it tells nothing but that a worker has to look at a key
    execute format('create or replace function %s returns boolean language plpgsql stable security definer set search_path = pg_catalog, pg_temp as %L', v_moved,
        format(e'begin\n    return exists (select from vsync_data.%I as v left join %s as r on %s where %s and v.made_from is distinct from %s);\nend',
            version.data, v_root, vsync_internal.key_list(version.keys, 'r.%2$I = v.%1$I', ' and '),
            vsync_internal.key_list(version.keys, 'v.%1$I = $%4$s', ' and '), v_made));
    execute format('grant execute on function %s to public', v_moved);
    return true;
end
$$;
comment on function vsync_internal.put_moved(vsync_internal.versions) is
'makes the function that tells, for whoever may not read the columns that decide, whether they have changed since a text was rendered; returns whether any decide';

create function vsync_internal.put_policy(version vsync_internal.versions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
set client_min_messages = 'warning' -- of what is not there to be dropped nobody is told
as $$
declare
    v_root regclass := (select e.root from vsync_internal.embeddings as e where e.name = version.embedding);
    v_name text := vsync_internal.name_of(v_root);
    v_down boolean := vsync_internal.is_down(version.id);
    v_visible text := format('vsync_data.%I', version.data || '_visible');
    v_types text := vsync_internal.key_list(version.keys, '%3$s');
    v_form jsonb := vsync_internal.policy_form(version);
    v_moved text := format(' and not vsync_data.%I', version.data || '_moved');
begin
    perform vsync_internal.begin_own_ddl();
    if to_regclass(format('vsync_data.%I', version.data)) is null then
        return false;
    end if;
    update vsync_internal.versions as v set policy = v_form where v.id = version.id and v.policy is distinct from v_form;
    execute format('drop policy if exists visible_in_root on vsync_data.%I', version.data);
    perform vsync_internal.put_moved(version);
    if not v_down then
        -- Whoever may not read the root is denied here too, and row-level security of the root, once on, decides row by row.
        execute format('create policy visible_in_root on vsync_data.%1$I for select using (not (select row_security_active(%2$L::regclass)) '
            'or exists (select from %3$s as r where %4$s%5$s)%6$s)', version.data, v_root, v_root,
            vsync_internal.key_list(version.keys, format('r.%%2$I = %s.%%1$I', replace(format('%I', version.data), '%', '%%')), ' and '),
            case when not (v_form ->> 'shared')::boolean then format(' and %I.made_from = %s', version.data, vsync_internal.made_of(v_root, 'r')) end,
            case when (v_form ->> 'shared')::boolean then format('%s(%s)', v_moved, vsync_internal.key_list(version.keys, '%1$I')) end);
        execute format('drop function if exists %s(%s)', v_visible, v_types);
        return true;
    end if;
    -- as text, which stands in the way of no change of the root
    execute format('create or replace function %s(%s) returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as %L', v_visible, v_types, format(
        e'begin\n    if to_regclass(%1$L)::oid is distinct from %2$s::oid then return false; end if;\n'
        '    if not has_table_privilege(%2$s::oid, ''select'') and not (%3$s) then\n'
        '        raise insufficient_privilege using message = ''permission denied for table ''%1$L; end if;\n'
        '    if not row_security_active(%2$s::oid) then return true; end if;\n    return exists (select from %1$s as r where %4$s)%5$s;\n'
        'exception when undefined_table or undefined_column or undefined_function then return false;\nend',
        v_name, v_root::oid, vsync_internal.key_list(version.keys, format('has_column_privilege(%s::oid, %%2$L, ''select'')', v_root::oid), ' and '),
        vsync_internal.key_list(version.keys, 'r.%2$I = $%4$s', ' and '),
        case when v_form is not null then format('%s(%s)', v_moved, vsync_internal.key_list(version.keys, '$%4$s')) end));
    execute format('grant execute on function %s(%s) to public', v_visible, v_types);
    execute format('create policy visible_in_root on vsync_data.%I for select using (%s(%s))', version.data, v_visible, vsync_internal.key_list(version.keys, '%1$I'));
    return true;
end
$$;
comment on function vsync_internal.put_policy(vsync_internal.versions) is
'makes the policy by which who may not see a row of the root does not see its vectors, nor a text from before the row became one that they see; while the document cannot be read, in a form that does not depend on
the root''s columns';

create function vsync_internal.put_missing(version vsync_internal.versions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_root regclass := (select e.root from vsync_internal.embeddings as e where e.name = version.embedding);
    v_name text := vsync_internal.name_of(v_root);
begin
    perform vsync_internal.begin_own_ddl();
    -- the root by name and number: another table of its name is not looked at; a type that cannot be compared leaves deletes to the resume
    execute format('create or replace function vsync_data.%I(keys text[], ticket text) returns text[] %s set timezone = ''UTC'' as %L', version.data || '_missing',
        vsync_internal.reader_pins(), format(
        e'begin\n    perform vsync_internal.admit($2, %1$L);\n    if pg_catalog.to_regclass(%2$L)::pg_catalog.oid is distinct from %3$s::pg_catalog.oid then\n'
        '        return ''{}'';\n    end if;\n'
        '    return array(select k.key from (select u.key, %4$s from pg_catalog.unnest($1) as u (key)) as k where not exists (select from %2$s as d where %5$s));\n'
        'exception when undefined_table or undefined_column or undefined_function then\n    return ''{}'';\nend',
        version.data, v_name, v_root::oid, vsync_internal.key_values(vsync_internal.key_places(version.keys), 'u.key'),
        vsync_internal.key_list(version.keys, 'd.%2$I = k.k%4$s', ' and ')));
    return true;
end
$$;
comment on function vsync_internal.put_missing(vsync_internal.versions) is
'the reader that stays while a document cannot be read: which of its keys have no row in the root. No view or type takes it along';

create function vsync_internal.take_down(version_id int, reason text, release boolean default false)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
set client_min_messages = 'warning' -- of what is not there to be dropped nobody is told
as $$
declare
    v_version vsync_internal.versions := (select v from vsync_internal.versions as v where v.id = take_down.version_id);
    v_reader regprocedure;
    v_relation regclass;
begin
    perform vsync_internal.begin_own_ddl();
    update vsync_internal.progress as p set broken = reason, resume_at = null, resume_failures = 0 where p.version_id = take_down.version_id;
    update vsync_internal.dependencies as d set feed_id = null
    where d.version_id = take_down.version_id and (d.number > 0 or vsync_internal.root_is_gone(take_down.version_id));
    -- each reads by name what somebody else may give that name
    for v_reader in
        select p.oid from pg_proc as p, (
            select unnest(vsync_internal.reader_suffixes())
            union all select '_delta_' || d.number from vsync_internal.dependencies as d where d.version_id = v_version.id) as f (suffix)
        where p.pronamespace = 'vsync_data'::regnamespace and p.proname = v_version.data || f.suffix and f.suffix <> '_missing'
    loop
        execute format('drop function %s', v_reader);
    end loop;
    perform vsync_internal.put_missing(v_version);
    begin
        execute format('drop view if exists vsync_data.%I', v_version.data || '_document');
    exception when dependent_objects_still_exist then
        -- who releases is told; a statement of somebody else's that breaks the document goes on
        if release then
            raise;
        end if;
    end;
    if release or not exists (select from pg_policy as o where o.polrelid = to_regclass(format('vsync_data.%I', v_version.data))) then
        perform vsync_internal.put_policy(v_version);
    end if;
    perform vsync_internal.put_excluded(v_version);
    for v_relation in select distinct d.relation from vsync_internal.dependencies as d where d.version_id = take_down.version_id order by 1 loop
        perform vsync_internal.sync_capture(v_relation);
    end loop;
    -- a row may have gone whose mark was not worked off
    insert into vsync_internal.log (slot, version_id, op) values (vsync_internal.slot(), take_down.version_id, 'O');
    return true;
end
$$;
comment on function vsync_internal.take_down(int, text, boolean) is
'takes down what reads a version''s document; definition and vectors stay, and deletes of the root''s rows are followed. release: what depends on the root''s types, too';
