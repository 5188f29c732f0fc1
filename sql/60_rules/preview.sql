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
'What a rule would do to the documents as they are now, of the version that is served; nothing is changed. matching: documents for which the condition holds (a rule that reads old and new
is asked as if each row were updated without a difference); sample: up to ten keys; texts, tokens: of the matching ones that differ from what is embedded, saved, delayed
or spent; summary: the same in words. Example: select summary, sample from vsync.preview_rule(''product_search'', ''not new.published'', ''exclude'')';

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
    v_cases jsonb;
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
    matching := 0;
    texts := 0;
    begin
        v_rule := vsync_internal.store_rule(v_rule, v_embedding);
        loop
            v_keys := vsync_internal.call_keys(v_version.data, v_keys[cardinality(v_keys)], 1000, vsync_internal.ticket(v_version.data));
            exit when v_keys = '{}' or v_rule.relation is not null;
            documents := documents + cardinality(v_keys);
            v_page := vsync_internal.preview_page(v_version, v_rule, v_keys);
            v_found := v_found || v_page.keys;
            texts := texts + v_page.texts;
            v_characters := v_characters + v_page.characters;
        end loop;
        if v_rule.relation is not null then
            perform set_config('timezone', vsync_internal.time_zone(), true);
            select count(*) into matching from vsync_internal.call_judge(v_version.data, vsync_internal.judge_query(v_version, array[v_rule.id], live => true),
                jsonb_build_array(jsonb_build_object('place', 0, 'change', vsync_internal.preview_change(v_rule.relation))), vsync_internal.ticket(v_version.data));
        else
            matching := cardinality(v_found);
        end if;
        perform vsync_internal.raise('VS999', 'previewed');
    exception when sqlstate 'VS999' then
        null; -- what was stored for it is gone again
    end;
    tokens := ceil(v_characters / 4.0);
    execute format('select coalesce(jsonb_agg(%s order by u.i), ''[]'') from unnest($1) with ordinality as u (key, i), lateral (select %s) as k',
        vsync_internal.key_json(v_version.keys, 'k'), vsync_internal.key_values(v_version.keys, 'u.key')) into sample using v_found[:10];
    summary := case when v_rule.relation is not null then format('holds for %s rows of %s; of which documents they lead to, see vsync.explain_impact()', matching, v_rule.relation)
        else format('holds for %s of %s documents; ', matching, documents) || case v_rule.action
            when 'exclude' then 'they would be hidden at once, and shown again when it holds no more'
            when 'prioritize' then 'they would be embedded before others'
            when 'refresh' then format('%s texts would be embedded, about %s tokens', texts, tokens)
            else format('%s of their texts differ from what is embedded and would not be sent %s, about %s tokens', texts,
                case v_rule.action when 'skip' then 'at all' when 'defer' then 'until they are due' else 'before a yes' end, tokens) end end;
    return next;
end
$$;
comment on function vsync_internal.preview_rule(name, text, text, jsonb) is 'the row of vsync.preview_rule()';

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
    v_matching int[];
begin
    execute format($sql$
        with claimed as materialized (select u.key, u.i, %1$s from unnest($1) with ordinality as u (key, i)),
        rendered as materialized (
            select %1$s, u.content, u.further, sha256(convert_to(u.content, 'UTF8')) as hash
            from vsync_internal.call_render(%2$L, $1, vsync_internal.ticket(%2$L)) as u),
        parts as (
            select c.key, c.i, %5$s, r.hash is distinct from v.document_hash as differs, coalesce(length(r.content), 0) as length
            from claimed as c
            left join vsync_internal.marks as m on false
            left join rendered as r using (%3$s)
            left join vsync_data.%2$I as v on %4$s and v.chunk = 0)
        select jsonb_agg(jsonb_build_object('place', p.i, 'key', p.key, 'doc', p.doc::jsonb, 'last', p.last::jsonb, 'change', $2)),
            jsonb_object_agg(p.i, case when p.differs or $3 then p.length end)
        from parts as p
        $sql$,
        vsync_internal.key_values(v_places, 'u.key'), version.data, vsync_internal.key_list(v_places, '%1$I'),
        vsync_internal.key_list(version.keys, 'v.%1$I = c.k%4$s', ' and '), vsync_internal.rule_parts(version, '{doc.content,last.content}'))
    into v_cases, v_texts
    using of_keys, vsync_internal.preview_change((select e.root from vsync_internal.embeddings as e where e.name = version.embedding)),
        rule.action = 'refresh' and coalesce((rule.params ->> 'force')::boolean, false);
    perform set_config('timezone', vsync_internal.time_zone(), true);
    v_matching := array(select j.place from vsync_internal.call_judge(version.data, vsync_internal.judge_query(version, array[rule.id], live => true),
        v_cases, vsync_internal.ticket(version.data)) as j order by j.place);
    keys := array(select of_keys[u.place] from unnest(v_matching) as u (place));
    select count(v_texts ->> u.place::text), coalesce(sum((v_texts ->> u.place::text)::bigint), 0) into texts, characters from unnest(v_matching) as u (place)
    where v_texts ->> u.place::text is not null;
end
$$;
comment on function vsync_internal.preview_page(vsync_internal.versions, vsync_internal.rules, text[]) is
'of a page of documents: for which a stored rule holds, how many of these have another text than what is embedded, and how long those are';
