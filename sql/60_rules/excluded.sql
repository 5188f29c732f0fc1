-- Whether a document is hidden is asked where it is read, in the reader's own statement: no worker need have seen the change.
-- In a function of the owner's, a definer: a condition in the view itself would run with the rights of whoever reads.
create function vsync_internal.excluding(embedding name)
returns vsync_internal.rules[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(select r from vsync_internal.rules as r where r.embedding = excluding.embedding and r.action = 'exclude' and r.enabled order by r.id);
end
$$;
comment on function vsync_internal.excluding(name) is 'the rules that may hide documents of an embedding';

create function vsync_internal.excluded_query(version vsync_internal.versions, rules vsync_internal.rules[])
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_root regclass := (select e.root from vsync_internal.embeddings as e where e.name = version.embedding);
    v_condition text;
    v_doc boolean;
    v_new boolean;
begin
    select string_agg(format(e'(%s\n)', r.sql) || case when r.valid_from is null then '' else format(' and pg_catalog.now() >= %L', r.valid_from) end
            || case when r.valid_until is null then '' else format(' and pg_catalog.now() < %L', r.valid_until) end, ' or ' order by r.id),
        bool_or(r.columns -> 'doc' <> '[]'), bool_or(r.columns -> 'new' <> '[]')
    into v_condition, v_doc, v_new from unnest(rules) as r;
    if not v_doc and not v_new then
        return format('(%s)', v_condition);
    end if;
    return format('exists (select from %s where %s and (%s))',
        concat_ws(', ', case when v_doc then format('vsync_data.%I as doc', version.data || '_document') end, case when v_new then format('%s as new', v_root) end),
        concat_ws(' and ', case when v_doc then vsync_internal.key_list(version.keys, 'doc.%1$I = $%4$s', ' and ') end,
            case when v_new then vsync_internal.key_list(version.keys, 'new.%2$I = $%4$s', ' and ') end), v_condition);
end
$$;
comment on function vsync_internal.excluded_query(vsync_internal.versions, vsync_internal.rules[]) is 'SQL that is true where any of the rules hides the document whose key is $1, $2 …';

create function vsync_internal.put_excluded(version vsync_internal.versions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set client_min_messages = 'warning' -- of what is not there to be dropped nobody is told
as $$
declare
    v_rules vsync_internal.rules[] := vsync_internal.excluding(version.embedding);
    v_any boolean := v_rules <> '{}';
    v_name text := format('vsync_data.%I', version.data || '_excluded');
    v_hides text := format('vsync_data.%I', version.data || '_hides');
    v_types text := vsync_internal.key_list(version.keys, '%3$s');
    v_alone text;
begin
    if not v_any then
        execute format('drop function if exists %1$s(%2$s), %3$s(%2$s)', v_name, v_types, v_hides);
        return false;
    end if;
    if vsync_internal.is_down(version.id) then
        -- what may be called like the document's view now is not asked
        v_rules := array(select r from unnest(v_rules) as r
            where r.columns -> 'doc' = '[]' and (r.columns -> 'new' = '[]' or not vsync_internal.root_is_gone(version.id)));
    end if;
    -- what fails hides nothing: it is asked alone then, so that the others go on
    select string_agg(vsync_internal.reading_only(format('if %s then return true; end if;', vsync_internal.excluded_query(version, array[r])),
        'exception when others then null;'), e'\n' order by r.id) into v_alone from unnest(v_rules) as r;
    execute format('create or replace function %s(%s) returns boolean language plpgsql stable security definer set search_path = pg_catalog, pg_temp set standard_conforming_strings = on '
        'set timezone = %L set datestyle = ''ISO, MDY'' set intervalstyle = ''postgres'' set row_security = off as %L',
        v_name, v_types, vsync_internal.time_zone(), format(e'#variable_conflict use_column\nbegin\n%s\nend', vsync_internal.reading_only(
            format('return coalesce(%s, false);', case when v_rules = '{}' then 'false' else vsync_internal.excluded_query(version, v_rules) end),
            format(e'exception when others then\n%s\nreturn false;', coalesce(v_alone, '')))));
    execute format('alter function %s(%s) owner to %I', v_name, v_types, vsync_internal.owner_of(version.embedding));
    -- The owner may replace it: the view calls it as search does, from a role without rights and so that nothing of it is left.
    -- Reading the locks is most of what a call costs, and it is one call a row: a session of the owner's own has nothing to fear from its code.
    execute format('create or replace function %s(%s) returns boolean language plpgsql stable security definer set search_path = pg_catalog, pg_temp as %L',
        v_hides, v_types, format(
            e'declare\n    v_owner oid;\n    v_before text[];\n    v_done boolean := false;\n    v_context text;\n    v_hides boolean;\nbegin\n'
            '    select p.proowner into v_owner from pg_proc as p join pg_proc as m on m.proowner = p.proowner\n'
            '    where p.prosecdef and p.oid = to_regprocedure(%L) and m.oid = to_regprocedure(%L);\n'
            '    if v_owner is null then\n'
            '        raise exception using errcode = ''VS002'', message = %L, detail = %L, hint = %L;\n    end if;\n'
            '    if v_owner <> quote_ident(session_user)::regrole then\n        v_before := vsync_internal.lasting();\n    end if;\n'
            '    begin\n        v_hides := %s(%s);\n        v_done := true;\n        raise sqlstate ''VS900'';\n'
            '    exception when others or query_canceled or assert_failure then\n        get stacked diagnostics v_context = pg_exception_context;\n'
            '        perform vsync_internal.end_call(v_before, v_done, sqlstate, sqlerrm, v_context);\n'
            '        if not v_done or sqlstate <> ''VS900'' then\n            raise;\n        end if;\n    end;\n    return v_hides;\nend',
            format('%s(%s)', v_name, v_types), format('vsync_data.%I(text[], text)', version.data || '_missing'), format('%s is not what vsync made', v_name),
            'What hides documents is a security definer that belongs to the owner of the document.', format('alter function %s(%s) security definer', v_name, v_types),
            v_name, vsync_internal.key_list(version.keys, '$%4$s')));
    execute format('alter function %s(%s) owner to %I', v_hides, v_types, vsync_internal.renderer());
    execute format('revoke all on function %s(%s) from public', v_name, v_types);
    execute format('grant execute on function %s(%s) to %I', v_name, v_types, vsync_internal.renderer());
    -- of whoever may read the serving view
    execute format('grant execute on function %s(%s) to public', v_hides, v_types);
    return true;
end
$$;
comment on function vsync_internal.put_excluded(vsync_internal.versions) is 'makes, or drops, the function that says which documents of a version are hidden; returns whether there is one';

create function vsync_internal.sync_excluded(embedding name)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_hides boolean := vsync_internal.excluding(embedding) <> '{}';
    v_hid boolean := exists (
        select from vsync_internal.versions as v join pg_proc as p on p.proname = (v.data || '_excluded')::name and p.pronamespace = 'vsync_data'::regnamespace
        where v.embedding = sync_excluded.embedding and v.state <> 'dropped');
begin
    perform vsync_internal.begin_own_ddl();
    if v_hid and not v_hides then
        perform vsync_internal.replace_view(embedding);
    end if;
    perform vsync_internal.put_excluded(v) from vsync_internal.versions as v where v.embedding = sync_excluded.embedding and v.state <> 'dropped';
    if v_hides and not v_hid then
        perform vsync_internal.replace_view(embedding);
    end if;
    return v_hides;
end
$$;
comment on function vsync_internal.sync_excluded(name) is 'makes serving hide what the rules exclude; returns whether any rule may hide something';

create function vsync_internal.excluded_keys(version_id int, keys text[])
returns text[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_version vsync_internal.versions := (select v from vsync_internal.versions as v where v.id = excluded_keys.version_id);
    v_keys text[] := '{}';
begin
    if vsync_internal.excluding(v_version.embedding) <> '{}' then
        perform vsync_internal.require_reader(to_regprocedure(format('vsync_data.%I(%s)', v_version.data || '_excluded',
            vsync_internal.key_list(v_version.keys, '%3$s'))), vsync_internal.owner_of(v_version.embedding));
        v_keys := vsync_internal.call_excluded(format('select array(select k.key from (select u.key, %s from pg_catalog.unnest($1) as u (key)) as k where vsync_data.%I(%s))',
            vsync_internal.key_values(vsync_internal.key_places(v_version.keys), 'u.key'), v_version.data || '_excluded',
            vsync_internal.key_list(v_version.keys, 'k.k%4$s')), keys);
    end if;
    return v_keys;
end
$$;
comment on function vsync_internal.excluded_keys(int, text[]) is 'those of the keys whose documents are hidden as this statement sees them';
