create function vsync.preview_rule(embedding name, condition text, action text, params jsonb default '{}')
returns table (documents bigint, matching bigint, sample jsonb, texts bigint, tokens bigint, summary text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_owner((vsync_internal.find_embedding(embedding)).owner, format('preview rules of "%s"', embedding));
    return query select p.* from vsync_internal.preview_rule(embedding, condition, action, params) as p;
end
$$;
comment on function vsync.preview_rule(name, text, text, jsonb) is
'What a rule would do to the documents as they are now, of the version that is served; nothing is changed. matching: documents for which the condition
holds; of a rule with params.relation those that the rows lead to for which it holds (a rule that reads old and new is asked as if each row were updated without a
difference); sample: up to ten keys; texts, tokens: of the matching ones that differ from what is embedded, saved, delayed or spent; summary: the same in words.
Example: select summary, sample from vsync.preview_rule(''product_search'', ''not new.published'', ''exclude'')';

create function vsync_internal.preview_rule(embedding name, condition text, action text, params jsonb)
returns table (documents bigint, matching bigint, sample jsonb, texts bigint, tokens bigint, summary text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_version vsync_internal.versions := vsync_internal.serving_version(embedding);
    v_rule vsync_internal.rules;
    v_led record;
    v_keys text[];
    v_page record;
    v_found text[] := '{}';
    v_characters bigint := 0;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('preview rules of "%s"', embedding));
    v_rule.id := -pg_backend_pid();
    v_rule.name := format('(preview %s)', pg_backend_pid());
    v_rule.embedding := embedding;
    v_rule.condition := coalesce(condition, '');
    v_rule.action := coalesce(action, '');
    v_rule.params := coalesce(params, '{}');
    v_rule.priority := 0;
    v_rule.enabled := true;
    v_rule.revision := 0;
    documents := 0;
    texts := 0;
    begin
        v_rule := vsync_internal.store_rule(v_rule, v_embedding);
        v_led := vsync_internal.preview_led(v_version, v_rule);
        loop
            if v_rule.relation is null then
                v_keys := vsync_internal.call_keys(v_version.data, v_keys[cardinality(v_keys)], 1000, vsync_internal.ticket(v_version.data));
                documents := documents + cardinality(v_keys);
            else
                v_keys := v_led.keys[:1000];
                v_led.keys := v_led.keys[1001:];
            end if;
            exit when v_keys = '{}';
            v_page := vsync_internal.preview_page(v_version, v_rule, v_keys);
            v_found := v_found || v_page.keys;
            texts := texts + v_page.texts;
            v_characters := v_characters + v_page.characters;
        end loop;
        if v_rule.relation is not null then
            documents := vsync_internal.call_count(v_version.data, vsync_internal.ticket(v_version.data));
        end if;
        raise exception using errcode = 'VS999', message = 'previewed';
    exception when sqlstate 'VS999' then
        null; -- what was stored for it is gone again
    end;
    matching := cardinality(v_found);
    tokens := ceil(v_characters / 4.0);
    execute format('select coalesce(jsonb_agg(%s order by u.i), ''[]'') from unnest($1) with ordinality as u (key, i), lateral (select %s) as k',
        vsync_internal.key_json(v_version.keys, 'k'), vsync_internal.key_values(v_version.keys, 'u.key')) into sample using v_found[:10];
    summary := case when v_rule.relation is null then format('holds for %s of %s documents; ', matching, documents)
            else format('holds for %s rows of %s, which lead to %s of %s documents; ', v_led.number, v_rule.relation, matching, documents) end
        || case v_rule.action
            when 'exclude' then 'they would be hidden at once, and shown again when it holds no more'
            when 'prioritize' then 'they would be embedded before others'
            when 'refresh' then format('%s texts would be embedded, about %s tokens', texts, tokens)
            else format('%s of their texts differ from what is embedded and would not be sent %s, about %s tokens', texts,
                case v_rule.action when 'skip' then 'at all' when 'defer' then 'until they are due' else 'before a yes' end, tokens) end
        || case when v_rule.params ? 'over' then format('; only of a change that leads to more than %s documents', v_rule.params ->> 'over') else '' end;
    return next;
end
$$;
comment on function vsync_internal.preview_rule(name, text, text, jsonb) is 'the row of vsync.preview_rule()';

create function vsync_internal.preview_led(version vsync_internal.versions, rule vsync_internal.rules, out number bigint, out keys text[])
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    v_dependency vsync_internal.dependencies;
    v_tuples text[];
begin
    keys := '{}';
    perform set_config('timezone', vsync_internal.time_zone(), true);
    for v_dependency in
        select d.* from vsync_internal.dependencies as d where d.version_id = version.id and d.relation = rule.relation order by d.number
    loop
        v_tuples := vsync_internal.call_tuples(version.data, format(
            e'select array(select %s from %s as new cross join lateral (select new.*) as old %s where (%s\n)%s)', vsync_internal.key_text(v_dependency.keys, 'new', 'column'),
            rule.relation, vsync_internal.change_source('$1::pg_catalog.jsonb'), rule.sql,
            case when rule.expression is not null then format(e' and (coalesce((%s\n), null::pg_catalog.float8) is not null)', rule.expression) end),
            vsync_internal.preview_change(rule.relation)::text, vsync_internal.ticket(version.data));
        number := cardinality(v_tuples);
        keys := keys || vsync_internal.followed(version, v_dependency.number, array(select distinct u.tuple from unnest(v_tuples) as u (tuple) where u.tuple is not null));
    end loop;
    keys := array(select distinct u.key from unnest(keys) as u (key) order by 1);
end
$$;
comment on function vsync_internal.preview_led(vsync_internal.versions, vsync_internal.rules) is
'of a rule on a dependency: for how many of its rows it holds, and the keys of documents that these lead to';

create function vsync_internal.preview_change(relation regclass)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select jsonb_build_object('op', 'update', 'relation', relation::oid::text, 'at', now(), 'documents', 1) $$;
comment on function vsync_internal.preview_change(regclass) is 'the change that a preview supposes: one row is updated';

create function vsync_internal.preview_page(version vsync_internal.versions, rule vsync_internal.rules, of_keys text[], out keys text[], out texts bigint, out characters bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    v_places jsonb := vsync_internal.key_places(version.keys);
    v_cases jsonb;
    v_texts jsonb;
    v_documents int[];
    v_matching int[];
begin
    execute format($sql$
        with claimed as materialized (select u.key, u.i, %1$s from unnest($1) with ordinality as u (key, i)),
        rendered as materialized (
            select %1$s, u.content, u.further, sha256(convert_to(u.content, 'UTF8')) as hash
            from vsync_internal.call_render(%2$L, $1, vsync_internal.ticket(%2$L)) as u),
        parts as (
            select c.key, c.i, %5$s, r.hash is distinct from v.document_hash as differs, coalesce(length(r.content), 0) as length, r.hash is not null as is_document
            from claimed as c
            left join (select w.*, w as mark from vsync_internal.marks as w where false) as m on true
            cross join (select false as moved) as p
            left join rendered as r using (%3$s)
            left join vsync_data.%2$I as v on %4$s and v.chunk = 0)
        select jsonb_agg(jsonb_build_object('place', p.i, 'key', p.key, 'doc', p.doc::jsonb, 'last', p.last::jsonb, 'change', $2)),
            jsonb_object_agg(p.i, case when p.differs or $3 then p.length end), array_agg(p.i) filter (where p.is_document)
        from parts as p
        $sql$,
        vsync_internal.key_values(v_places, 'u.key'), version.data, vsync_internal.key_list(v_places, '%1$I'),
        vsync_internal.key_list(version.keys, 'v.%1$I = c.k%4$s', ' and '), vsync_internal.rule_parts(version, '{doc.content,last.content}'))
    into v_cases, v_texts, v_documents
    using of_keys, vsync_internal.preview_change((select e.root from vsync_internal.embeddings as e where e.name = version.embedding)),
        rule.action = 'refresh' and coalesce((rule.params ->> 'force')::boolean, false);
    perform set_config('timezone', vsync_internal.time_zone(), true);
    v_matching := case when rule.relation is not null then v_documents
        else array(select j.place from vsync_internal.call_judge(version.data, vsync_internal.judge_query(version, array[rule.id], live => true),
            v_cases, vsync_internal.ticket(version.data)) as j) end;
    keys := array(select of_keys[u.place] from unnest(v_matching) as u (place) order by u.place);
    select count(v_texts ->> u.place::text), coalesce(sum((v_texts ->> u.place::text)::bigint), 0) into texts, characters from unnest(v_matching) as u (place)
    where v_texts ->> u.place::text is not null;
end
$$;
comment on function vsync_internal.preview_page(vsync_internal.versions, vsync_internal.rules, text[]) is
'of a page of documents: for which a stored rule holds (of keys that a dependency''s rows lead to, which are documents), how many of these have another text than what is embedded, and how long those are';
