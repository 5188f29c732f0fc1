create function vsync_internal.reading_only(statements text, handler text default 'exception when sqlstate ''VS000'' then raise;')
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    -- for the time of a subtransaction: from PostgreSQL 16 on no function can be declared with it
    select format(e'begin perform pg_catalog.set_config(''transaction_read_only'', ''on'', true);\n    %s\n    %s end;', statements, handler)
$$;
comment on function vsync_internal.reading_only(text, text) is
'a PL/pgSQL block whose statements can only read, whatever they call; its handler is one that catches nothing, unless given';

create function vsync_internal.reader_pins()
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select 'language plpgsql stable security definer set search_path = pg_catalog, pg_temp set standard_conforming_strings = on '
        'set datestyle = ''ISO, MDY'' set intervalstyle = ''postgres'' set extra_float_digits = 1 set bytea_output = ''hex'' '
        'set lc_monetary = ''C'' set lc_numeric = ''C'' set lc_time = ''C'' set xmlbinary = ''base64'' set xmloption = ''content'' set row_security = off'
$$;
comment on function vsync_internal.reader_pins() is 'how a reader is declared: its owner''s rights, and the settings that its texts depend on';

create function vsync_internal.chosen(keys jsonb, source text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    -- an array of arrays would be one array of all their elements
    select format(
        case when jsonb_array_length(keys) = 1 and keys -> 0 ->> 'type' !~ '\]$'
            then '%s = any (array(select %s from (select u.key, %s from pg_catalog.unnest(%s) as u (key)) as k))'
            else '(%s) in (select %s from (select u.key, %s from pg_catalog.unnest(%s) as u (key)) as k)' end,
        vsync_internal.key_list(keys, 'd.%1$I'), vsync_internal.key_list(keys, 'k.k%4$s'),
        vsync_internal.key_values(vsync_internal.key_places(keys), 'u.key'), source)
$$;
comment on function vsync_internal.chosen(jsonb, text) is 'SQL: the condition by which a document d is rendered for the key texts of a text[]';

create function vsync_internal.reader_ddl(keys jsonb, data name)
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_pinned text := vsync_internal.reader_pins();
    v_as_owner text := v_pinned || ' set timezone = ''UTC''';
    v_columns text := vsync_internal.key_list(keys, 'd.%1$I');
    v_typed text := format('(select u.key, %s from pg_catalog.unnest(%%s) as u (key)) as k',
        vsync_internal.key_values(vsync_internal.key_places(keys), 'u.key'));
    v_document text := format('vsync_data.%I', data || '_document');
    v_further text := vsync_internal.further_columns(keys, format('vsync_data.%I', data || '_document')::regclass, 'd');
    v_chosen text := vsync_internal.chosen(keys, '$1');
    v_statements text[];
begin
    -- $n and not names: the document may have an output of any name
    v_statements := array[
        format('create function vsync_data.%I(keys text[], ticket text) returns table (key text, content text, further jsonb) %s as %L', data || '_render', v_as_owner, format(
            e'#variable_conflict use_column\nbegin\n    perform vsync_internal.admit($2, %L);\n'
            '    return query select %s, d.content::pg_catalog.text, %s from %s as d where %s;\nend', data,
            vsync_internal.key_text(keys, 'd'), v_further, v_document,
            v_chosen)),
        format('create function vsync_data.%I(after_key text, max_keys int, ticket text) returns text[] %s as %L', data || '_keys', v_as_owner, format(
            e'begin\n    perform vsync_internal.admit($3, %5$L);\n    if $1 is null then\n'
            '        return array(select %1$s from (select %2$s from %3$s as d order by %2$s limit $2) as s);\n'
            '    end if;\n    return array(select %1$s from (select %2$s from %3$s as d where (%2$s) > (select %4$s) order by %2$s limit $2) as s);\nend',
            vsync_internal.key_text(keys, 's'), v_columns, v_document, vsync_internal.key_values(keys, '$1'), data)),
        format('create or replace function vsync_data.%I(keys text[], ticket text) returns text[] %s as %L', data || '_missing', v_as_owner, format(
            e'begin\n    perform vsync_internal.admit($2, %L);\n    return array(select k.key from %s where not exists (select from %s as d where %s));\nend', data,
            format(v_typed, '$1'), v_document, vsync_internal.key_list(keys, 'd.%1$I = k.k%4$s', ' and '))),
        format('create function vsync_data.%I(ticket text) returns bigint %s as %L', data || '_count', v_as_owner, format(
            e'begin\n    perform vsync_internal.admit($1, %L);\n    return (select pg_catalog.count(*) from %s as d);\nend', data, v_document)),
        format('create function vsync_data.%I(after_key text, max_keys int, ticket text) returns table (key text, hash bytea) %s as %L', data || '_hashes', v_as_owner, format(
            e'#variable_conflict use_column\nbegin\n    perform vsync_internal.admit($3, %6$L);\n    if $2 is null then\n'
            '        return query select %1$s, %2$s from %3$s as d;\n'
            '    elsif $1 is null then\n        return query select %1$s, %2$s from %3$s as d order by %4$s limit $2;\n'
            '    else\n        return query select %1$s, %2$s from %3$s as d where (%4$s) > (select %5$s) order by %4$s limit $2;\n    end if;\nend',
            vsync_internal.key_text(keys, 'd'),
            'pg_catalog.sha256(pg_catalog.convert_to(nullif(d.content::pg_catalog.text collate pg_catalog."C", ''''), ''UTF8''))',
            v_document, v_columns, vsync_internal.key_values(keys, '$1'), data)),
        -- in the time zone of its caller
        format('create function vsync_data.%I(query text, argument text, ticket text) returns text[] %s as %L',
            data || '_tuples', v_pinned, format(
            e'declare\n    v_tuples pg_catalog.text[];\nbegin\n    perform vsync_internal.admit($3, %L);\n    %s\n    return v_tuples;\nend',
            data, vsync_internal.reading_only('execute $1 into v_tuples using $2;'))),
        format('create function vsync_data.%I(query text, cases jsonb, ticket text) returns table (place int, rules int[], numbers float8[]) %s as %L',
            data || '_judge', v_pinned, format(
            e'begin\n    perform vsync_internal.admit($3, %L);\n    %s\nend', data, vsync_internal.reading_only('return query execute $1 using $2;'))),
        -- as a view, which is parsed and not run: yet the input of a literal may run the owner's code
        format('create function vsync_data.%I(query text, ticket text) returns jsonb %s as %L', data || '_probe', replace(v_pinned, ' stable ', ' '), format(
            e'declare\n    v_catalog pg_catalog.jsonb;\nbegin\n    perform vsync_internal.admit($2, %1$L);\n'
            '    execute pg_catalog.concat(%3$L, $1);\n'
            '    v_catalog := vsync_internal.document_catalog(%4$L);\n'
            '    drop view pg_temp.%2$I;\n    return v_catalog;\nend', data, data || '_probe',
            format('create temp view %I as ', data || '_probe'), format('pg_temp.%I', data || '_probe')))];
    return v_statements || array(
        select format('%s on function vsync_data.%I %s', a.what, data || f.suffix, a.whom)
        from unnest(vsync_internal.reader_suffixes()) as f (suffix),
            (values ('revoke all', 'from public'), ('grant execute', format('to %I', vsync_internal.renderer()))) as a (what, whom));
end
$$;
comment on function vsync_internal.reader_ddl(jsonb, name) is
'statements that create what reads documents: security definer and created by the embedding''s owner, so with that role''s rights; each
opens only to the version''s ticket';

create function vsync_internal.reader_suffixes()
returns text[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$ select array['_render', '_keys', '_missing', '_count', '_hashes', '_tuples', '_judge', '_probe'] $$;
comment on function vsync_internal.reader_suffixes() is 'what the names of a version''s functions in vsync_data end on';

create function vsync_internal.further_columns(keys jsonb, document regclass, alias text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- a cast to JSON may be anybody's function: types from outside pg_catalog go through their output function, as keys do
    select coalesce('(select pg_catalog.to_jsonb(f.*) from (select ' || string_agg(format(
        case when t.typnamespace = 'pg_catalog'::regnamespace then '%1$s.%2$I' else 'case when not (%1$s.%2$I is null) then pg_catalog.format(''%%s'', %1$s.%2$I) end as %2$I' end,
        alias, a.attname), ', ' order by a.attnum) || ') as f)', 'null::pg_catalog.jsonb')
    from pg_attribute as a join pg_type as t on t.oid = a.atttypid
    where a.attrelid = document and a.attnum > 0 and not a.attisdropped and a.attname <> 'content'
        and a.attname <> all (array(select k ->> 'output' from jsonb_array_elements(keys) as k))
$$;
comment on function vsync_internal.further_columns(jsonb, regclass, text) is
'SQL: the columns of a document beside its key and content, as a jsonb object; null where there are none';
