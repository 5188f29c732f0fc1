create function vsync.register_model(name name, source text, options jsonb default '{}')
returns name
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer jsonb;
    v_spec jsonb;
    v_last vsync_internal.models;
begin
    perform vsync_internal.require_primary();
    perform vsync_internal.require_superuser('register models');
    if coalesce(register_model.name, '') = '' then
        raise exception using
            errcode = 'VS001',
            message = 'a model needs a name',
            detail = format('name is %s', coalesce(quote_literal(register_model.name), 'null')),
            hint = 'select vsync.register_model(''minilm'', ''file:///dir'')';
    end if;
    perform vsync_internal.notice_long_name(register_model.name);
    if source is null then
        raise exception using
            errcode = 'VS001',
            message = 'a model needs a source',
            detail = 'source is null',
            hint = 'Use file:///path/of/directory, a directory on the server.';
    end if;
    perform vsync_internal.check_object(options, 'options');
    v_answer := vsync_internal.raise_if_error(vsync_internal.inspect_model(source, coalesce(options, '{}')));
    v_spec := v_answer -> 'spec';
    if v_answer ->> 'assumed' is not null then
        raise notice 'pooling "%" is assumed for model "%"', v_answer ->> 'assumed', register_model.name
            using detail = 'The directory does not say how the vectors of tokens become one vector: 1_Pooling/config.json is missing.',
            hint = 'Look the pooling up in the model''s documentation and pass it, for example options => ''{"pooling": "cls"}''.';
    end if;
    perform vsync_internal.lock_row('model', register_model.name);
    select * into v_last from vsync_internal.models as m
    where m.name = register_model.name order by m.revision desc limit 1;
    if v_last.sha256 = v_spec ->> 'sha256' and v_last.spec = v_spec then
        return register_model.name;
    end if;
    insert into vsync_internal.models (name, revision, source, spec, sha256, dimensions, max_tokens, probe)
    values (register_model.name, coalesce(v_last.revision, 0) + 1, source, v_spec, v_spec ->> 'sha256',
        (v_spec ->> 'dimensions')::int, (v_spec ->> 'max_tokens')::int,
        array(select jsonb_array_elements_text(v_answer -> 'probe')::real));
    return register_model.name;
end
$$;
comment on function vsync.register_model(name, text, jsonb) is
'Registers an ONNX text embedder from a directory of the server in Hugging Face layout and returns its name. The files are
hashed and a probe text is embedded; the same files again change nothing, other files make a new revision. Superusers only.
Options: pooling (mean, cls, max, lasttoken, mean_sqrt_len, weightedmean, none), max_tokens, normalize, query_prefix, passage_prefix, file,
dimensions: how many of each vector are kept, of a model trained for that (Matryoshka).
Example: select vsync.register_model(''minilm'', ''file:///srv/models/minilm'')';

create function vsync_internal.current_model(name name)
returns vsync_internal.models
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_model vsync_internal.models;
    v_known text[];
begin
    select * into v_model from vsync_internal.models as m
    where m.name = current_model.name order by m.revision desc limit 1;
    if not found then
        v_known := (select array_agg(distinct m.name::text) from vsync_internal.models as m);
        raise exception using
            errcode = 'VS101',
            message = format('model "%s" does not exist', coalesce(current_model.name, 'null')),
            detail = format('Registered: %s.', coalesce(array_to_string(v_known, ', '), 'none')),
            hint = coalesce(substring(vsync_internal.did_you_mean(current_model.name, v_known) from '^Did you mean [^?]*\? '), '')
                || format('select vsync.register_model(%L, ''file:///path/to/model'')', coalesce(current_model.name, 'minilm'));
    end if;
    return v_model;
end
$$;
comment on function vsync_internal.current_model(name) is 'the newest revision of a model, or error VS101';

create function vsync_internal.model_spec(model_id int)
returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select m.spec from vsync_internal.models as m where m.id = model_id
$$;
comment on function vsync_internal.model_spec(int) is 'what the engine needs to load a model';
