-- PL/Python prefixes messages with its exception's name; this raises them clean, at the price of a subtransaction.
create function vsync_internal.embed_clean(model_id int, kind text, inputs text[])  -- noqa: PRS
returns vsync_internal.pgvector.vectors%type
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
begin
    return vsync_internal.embed_texts(model_id, kind, inputs);
exception when others then
    get stacked diagnostics v_state = returned_sqlstate, v_message = message_text,
        v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    if v_state not like 'VS%' or v_message !~ '^[A-Za-z_.]+: ' then
        raise;
    end if;
    raise exception using
        errcode = v_state,
        message = regexp_replace(v_message, '^[A-Za-z_.]+: ', ''),
        detail = v_detail,
        hint = v_hint;
end
$$;
comment on function vsync_internal.embed_clean(int, text, text[]) is 'embed_texts with errors as Postgres words them';

create function vsync.embed(model name, inputs text[])  -- noqa: PRS
returns vsync_internal.pgvector.vectors%type
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select vsync_internal.embed_clean((vsync_internal.current_model(model)).id, 'passage', inputs)
$$;
comment on function vsync.embed(name, text[]) is
'Embeds texts with the current revision of a model, as documents are embedded; null for null.
Example: select vsync.embed(''minilm'', array[''a red bicycle'', ''a blue car''])';

create function vsync.embed(model name, input text)  -- noqa: PRS
returns vsync_internal.pgvector.vector%type
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select (vsync_internal.embed_clean((vsync_internal.current_model(model)).id, 'passage', array[input]))[1]
$$;
comment on function vsync.embed(name, text) is
'Embeds one text with the current revision of a model, as documents are embedded.
Example: select vsync.embed(''minilm'', ''a red bicycle'')';
