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
    foreach v_message in array vsync_internal.check_readable(v_analysis, data, stage) loop
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
