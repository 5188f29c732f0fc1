-- What a document's author does with the author's own rights and search_path: no SET and no SECURITY DEFINER here.
create function vsync_internal.declare_document(data name, stage name, document text, options jsonb)
returns jsonb
language plpgsql
as $$
declare
    v_state pg_catalog.text;
    v_message pg_catalog.text;
    v_detail pg_catalog.text;
    v_analysis pg_catalog.jsonb;
    v_context pg_catalog.text;
    v_before pg_catalog.text[];
    v_warnings pg_catalog.text[];
    v_done pg_catalog.bool := false;
begin
    if pg_catalog.current_setting('standard_conforming_strings') operator(pg_catalog.<>) 'on' then
        raise exception using
            errcode = 'VS001',
            message = 'standard_conforming_strings is off',
            detail = 'A document query is read as standard SQL writes strings.',
            hint = 'set standard_conforming_strings = on';
    end if;
    perform vsync_internal.raise_if_error(vsync_internal.check_document(document));
    begin
        execute pg_catalog.format('create view %I.%I as %s', stage, data operator(pg_catalog.||) '_document',
            pg_catalog.regexp_replace(document, ';\s*$', ''));
    exception when others then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail;
        raise exception using
            errcode = 'VS201',
            message = 'the document query is not valid',
            detail = pg_catalog.concat_ws(' ', v_message, v_detail,
                pg_catalog.format('(%s)', v_state)),
            hint = 'Run the query by itself in psql to see the place.';
    end;
    v_analysis := vsync_internal.raise_if_error(vsync_internal.analyse_document(vsync_internal.document_catalog(
        pg_catalog.format('%I.%I', stage, data operator(pg_catalog.||) '_document')::pg_catalog.regclass, options)
        operator(pg_catalog.||) pg_catalog.jsonb_build_object('written', document))) operator(pg_catalog.->) 'document';
    for v_message in select w from pg_catalog.jsonb_array_elements_text(v_analysis operator(pg_catalog.->) 'warnings') as w loop
        raise notice '%', v_message;
    end loop;
    v_before := vsync_internal.lasting();
    begin
        begin
            v_warnings := vsync_internal.check_readable(v_analysis, data, stage);
            perform vsync_internal.try_document(v_analysis, data, stage);
            -- what functions of the document left behind goes with this subtransaction
            v_done := true;
            raise sqlstate 'VS900';
        exception when others or query_canceled or assert_failure then
            perform vsync_internal.end_lasting(v_before);
            if not v_done or sqlstate operator(pg_catalog.<>) 'VS900' then
                raise;
            end if;
        end;
    exception when undefined_function or undefined_table or undefined_object or undefined_column or invalid_schema_name then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_context = pg_exception_context;
        raise exception using
            errcode = 'VS201',
            message = 'the document cannot be rendered with the search_path of a worker',
            detail = pg_catalog.format('%s (%s). It is rendered with search_path = pg_catalog, pg_temp.', v_message, v_state),
            hint = vsync_internal.path_hint(v_context, pg_catalog.current_setting('search_path'));
    end;
    foreach v_message in array v_warnings loop
        raise notice '%', v_message;
    end loop;
    begin
        foreach v_message in array vsync_internal.delta_ddl(v_analysis, data, stage) loop
            execute v_message;
        end loop;
    exception when syntax_error_or_access_rule_violation then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail;
        raise exception using
            errcode = 'VS201',
            message = 'a query of depends_on is not valid',
            detail = pg_catalog.concat_ws(' ', v_message, v_detail,
                pg_catalog.format('(%s)', v_state)),
            hint = 'It selects the root''s key columns from a relation called changed; tables are written with their schema.';
    end;
    execute pg_catalog.format('grant select on %I.%I to %I', stage, data operator(pg_catalog.||) '_document', vsync_internal.installer());
    return v_analysis;
end
$$;
comment on function vsync_internal.declare_document(name, name, text, jsonb) is
'creates the view of a document query, and what follows its dependencies, as the caller''s own in a schema of its own; returns the analysis';

create function vsync_internal.try_document(analysis jsonb, data name, stage name)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO, MDY' set intervalstyle = 'postgres'
as $$
declare
    v_message text;
    v_state text;
begin
    execute format('select count(d.content::text) from %I.%I as d where (%s) in (select %s from %s as r limit 10)',
        stage, data || '_document', vsync_internal.key_list(analysis -> 'keys', 'd.%1$I'), vsync_internal.key_list(analysis -> 'keys', 'r.%2$I'),
        (analysis ->> 'root_oid')::oid::regclass);
    return true;
exception
    when undefined_function or undefined_table or undefined_object or undefined_column or invalid_schema_name then
        raise;
    when others then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
        raise warning using
            message = 'a document cannot be rendered',
            detail = format('%s (%s)', v_message, v_state),
            hint = 'It waits among the failures until its row is another: select * from vsync.failures';
        return false;
end
$$;
comment on function vsync_internal.try_document(jsonb, name, name) is
'renders a few rows of a new document with the settings of a worker, as the caller, who owns it; of a row that fails for its own values it warns';

create function vsync_internal.pathless(context text)
returns regprocedure
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- PL/pgSQL tells a signature as the session that compiled it would write it, SQL a name
    v_named text := substring(context from 'PL/pgSQL function ((?!vsync)[^\n]*?\)) line');
    v_name text := coalesce(substring(context from 'SQL function "([^"\n]*)"'), trim('"' from substring(v_named from '([^.(]+)[(]')));
begin
    return (
        select p.oid from pg_proc as p
        join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname not in ('pg_catalog', 'vsync_internal', 'vsync', 'vsync_data', 'information_schema')
            and (p.oid::regprocedure::text = v_named or p.proname = v_name)
            and coalesce(p.proconfig::text, '') not like '%search_path%'
            -- of several with the name it may be another role's
            and (p.oid::regprocedure::text = v_named or (select count(*) from pg_proc as o where o.proname = v_name) = 1)
        limit 1);
end
$$;
comment on function vsync_internal.pathless(text) is 'the innermost function of an error''s context, where it has no search_path of its own';

create function vsync_internal.path_of(function regprocedure, message text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with schema as (
        -- safe: nobody but the function's owner and superusers makes anything there
        select n.oid, n.nspname, n.oid = f.pronamespace as is_own,
            (n.nspowner = f.proowner or r.rolsuper or r.rolname = 'pg_database_owner')
            and not exists (select from aclexplode(n.nspacl) as a where a.privilege_type = 'CREATE' and a.grantee not in (n.nspowner, f.proowner)) as is_safe
        from pg_proc as f, pg_namespace as n join pg_roles as r on r.oid = n.nspowner
        where f.oid = path_of.function and n.nspname !~ '^(pg_|vsync)'),
    missing as (
        select array_remove(array[substring(message from '"([^".]+)"'), substring(message from '(?:^| )([^ ".]+)[(]')], null) as names),
    found as (
        select s.oid from schema as s, missing as m
        where s.is_safe and (exists (select from pg_proc as p where p.pronamespace = s.oid and p.proname = any (m.names))
            or exists (select from pg_class as c where c.relnamespace = s.oid and c.relname = any (m.names))
            or exists (select from pg_type as t where t.typnamespace = s.oid and t.typname = any (m.names))))
    select string_agg(quote_ident(s.nspname), ', ' order by not s.is_own, s.nspname) from schema as s
    where exists (select from found) and (s.is_own or s.oid in (select f.oid from found as f))
$$;
comment on function vsync_internal.path_of(regprocedure, text) is
'a search_path with which a function finds what an error''s message says is missing: its own schema, and those that hold something of that name and where no
other role creates anything; null where none does';

create function vsync_internal.path_hint(context text, path text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(format('alter function %s set search_path = %s', vsync_internal.pathless(context), path),
        'Give the function that names it a path of its own: alter function … set search_path = …')
$$;
comment on function vsync_internal.path_hint(text, text) is 'the statement by which a function finds what it names under any search_path';
