create function vsync_internal.rule_facts(rule vsync_internal.rules, version vsync_internal.versions)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('condition', rule.condition, 'action', rule.action, 'params', rule.params) || jsonb_object_agg(r.role,
        case when r.relation is not null then jsonb_build_object('schema', c.relnamespace::regnamespace::text, 'name', c.relname, 'columns', (
            select coalesce(jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum), '[]')
            from pg_attribute as a where a.attrelid = r.relation and a.attnum > 0 and not a.attisdropped)) end)
    from (values ('root', (select e.root from vsync_internal.embeddings as e where e.name = rule.embedding)), ('relation', rule.relation),
        ('document', format('vsync_data.%I', version.data || '_document')::regclass)) as r (role, relation)
    left join pg_class as c on c.oid = r.relation
$$;
comment on function vsync_internal.rule_facts(vsync_internal.rules, vsync_internal.versions) is 'what the analysis of a rule needs to know';

create function vsync_internal.rule_relation(embedding vsync_internal.embeddings, relation text)
returns regclass
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_known regclass[] := array(
        select distinct d.relation from vsync_internal.dependencies as d join vsync_internal.versions as v on v.id = d.version_id
        where v.embedding = embedding.name and v.state <> 'dropped' order by 1);
    v_relation regclass;
begin
    begin
        v_relation := to_regclass(relation);
    exception when invalid_name or syntax_error then
        null; -- what is no name is no table either
    end;
    if relation is not null and (v_relation = any (v_known)) is not true then
        raise exception using
            errcode = 'VS602',
            message = format('params.relation "%s" is no table that the documents read', relation),
            detail = format('Embedding "%s" depends on %s.', embedding.name, array_to_string(v_known, ', ')),
            hint = vsync_internal.did_you_mean(relation, v_known::text[]);
    end if;
    return nullif(v_relation, embedding.root);
end
$$;
comment on function vsync_internal.rule_relation(vsync_internal.embeddings, text) is 'the dependency that params.relation names; null for the root';

create function vsync_internal.check_interval(params jsonb, name text)
returns interval
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_interval interval;
begin
    begin
        v_interval := (params ->> name)::interval;
    exception when data_exception then
        v_interval := null;
    end;
    if params ? name and (v_interval between (case name when 'every' then interval '1 second' else interval '1 microsecond' end) and interval '100 years') is not true then
        raise exception using
            errcode = 'VS001',
            message = format('params.%s is no time that can pass', name),
            detail = format('It is %s. It must be above zero, for "every" at least a second, and at most 100 years.', params ->> name),
            hint = format('For instance {"%s": "2 hours"}.', name);
    end if;
    return v_interval;
end
$$;
comment on function vsync_internal.check_interval(jsonb, text) is 'an interval above zero and not too long, or error VS001';

create function vsync_internal.prove_rule(rule vsync_internal.rules, version vsync_internal.versions)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set "vsync.own_ddl" = 'off'
as $$
declare
    v_state text;
    v_message text;
    v_catalog jsonb;
    v_function text;
begin
    perform vsync_internal.begin_own_ddl();
    perform set_config('timezone', vsync_internal.time_zone(), true);
    begin
        perform from vsync_internal.call_judge(version.data, vsync_internal.judge_query(version, array[rule.id]), '[]', vsync_internal.ticket(version.data));
    exception when others then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
        raise exception using
            errcode = 'VS601',
            message = format('the condition of rule "%s" cannot be asked', rule.name),
            detail = format('Of version %s of "%s": %s (%s)', version.version, version.embedding, v_message, v_state),
            hint = 'It must be one boolean expression that the embedding''s owner may evaluate; names outside pg_catalog are written with their schema.';
    end;
    v_catalog := vsync_internal.call_probe(version.data, vsync_internal.judge_query(version, array[rule.id], '''[]''::pg_catalog.jsonb'),
        vsync_internal.ticket(version.data));
    select format('%s.%s(%s)', f ->> 'schema', f ->> 'name', f ->> 'arguments') into v_function
    from jsonb_array_elements(v_catalog -> 'functions') as f
    where f ->> 'volatility' = 'v' or not coalesce((rule.params ->> 'subqueries')::boolean, false)
        and (f ->> 'kind' <> 'f' or (f ->> 'returns_set')::boolean and f ->> 'name' <> 'jsonb_to_recordset')
    order by 1 limit 1;
    if v_function is not null then
        raise exception using
            errcode = 'VS601',
            message = format('the condition of rule "%s" calls what no rule may', rule.name),
            detail = v_function,
            hint = 'A rule asks and changes nothing: its functions are immutable or stable, of one row, and return one value.';
    end if;
    -- of the query itself come the functions that read its cases
    return v_catalog -> 'session_values' <> '[]' or (rule.params -> 'subqueries')::boolean is true
        or concat(rule.sql, rule.expression) ~* '''\s*(now|today|tomorrow|yesterday)\s*'''
        or exists (select from jsonb_array_elements(v_catalog -> 'functions') as f where f ->> 'volatility' <> 'i'
            and (f ->> 'schema' <> 'pg_catalog' or f ->> 'name' not in ('jsonb_to_recordset', 'jsonb_to_record', 'jsonb_populate_record')));
end
$$;
comment on function vsync_internal.prove_rule(vsync_internal.rules, vsync_internal.versions) is
'asks a stored rule of no case, as its owner, and refuses functions that are volatile, outside of subqueries those of several rows too; else error VS601. Returns whether
its answer may change while nothing changes that it reads of a document';
