create function vsync_internal.find_rule(name name)
returns vsync_internal.rules
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rule vsync_internal.rules;
begin
    select * into v_rule from vsync_internal.rules as r where r.name = find_rule.name;
    if not found then
        raise exception using
            errcode = 'VS603',
            message = format('rule "%s" does not exist', coalesce(find_rule.name, 'null')),
            detail = 'select name from vsync.rules lists them.',
            hint = vsync_internal.did_you_mean(coalesce(find_rule.name, ''), array(select r.name::text from vsync_internal.rules as r order by 1));
    end if;
    return v_rule;
end
$$;
comment on function vsync_internal.find_rule(name) is 'a rule by name, or error VS603';

create function vsync_internal.may_change_rule(name name)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding name := (vsync_internal.find_rule(name)).embedding;
begin
    return vsync_internal.require_owner((vsync_internal.find_embedding(v_embedding)).owner, format('change rules of "%s"', v_embedding));
end
$$;
comment on function vsync_internal.may_change_rule(name) is 'refuses whoever is no member of the role that owns the rule''s embedding';

create function vsync_internal.store_rule(rule vsync_internal.rules, embedding vsync_internal.embeddings, anew boolean default true)
returns vsync_internal.rules
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions := vsync_internal.serving_version(rule.embedding);
    v_analysis jsonb;
begin
    -- a broken rule can be taken out of force as it is
    if anew then
        perform vsync_internal.check_object(rule.params, 'params');
        perform vsync_internal.check_interval(rule.params, p.name) from (values ('for'), ('every')) as p (name);
        rule.relation := vsync_internal.rule_relation(embedding, rule.params ->> 'relation');
        v_analysis := vsync_internal.raise_if_error(vsync_internal.analyse_rule(vsync_internal.rule_facts(rule, v_version))) -> 'rule';
        rule.stage := v_analysis ->> 'stage';
        rule.sql := v_analysis ->> 'sql';
        rule.expression := v_analysis ->> 'expression';
        rule.columns := v_analysis -> 'columns';
    end if;
    insert into vsync_internal.rules (id, name, embedding, condition, action, params, priority, valid_from, valid_until, enabled, revision, stage, relation, sql,
        expression, columns, broken, in_force, changed_at)
    values (rule.id, rule.name, rule.embedding, rule.condition, rule.action, rule.params, rule.priority, rule.valid_from, rule.valid_until, rule.enabled,
        rule.revision, rule.stage, rule.relation, rule.sql, rule.expression, rule.columns, null, vsync_internal.is_in_force(rule), clock_timestamp())
    on conflict (id) do update
    set condition = excluded.condition, action = excluded.action, params = excluded.params, priority = excluded.priority, valid_from = excluded.valid_from,
        valid_until = excluded.valid_until, enabled = excluded.enabled, revision = excluded.revision, stage = excluded.stage, relation = excluded.relation,
        sql = excluded.sql, expression = excluded.expression, columns = excluded.columns, broken = null, in_force = excluded.in_force,
        changed_at = excluded.changed_at;
    if anew then
        rule.drifts := (select bool_or(vsync_internal.prove_rule(rule, v)) from vsync_internal.versions as v where v.embedding = rule.embedding and v.state <> 'dropped');
        update vsync_internal.rules as r set drifts = rule.drifts where r.id = rule.id;
    end if;
    return rule;
end
$$;
comment on function vsync_internal.store_rule(vsync_internal.rules, vsync_internal.embeddings, boolean) is
'analyses a rule, stores it, and proves it against every version; returns it as it is stored';

create function vsync_internal.put_rule(rule vsync_internal.rules, change text)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(rule.embedding);
    v_before regclass := (select r.relation from vsync_internal.rules as r where r.id = rule.id);
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('change rules of "%s"', rule.embedding));
    -- versions are added under the same lock: each of them is proved against every rule
    perform vsync_internal.lock_row('embedding', rule.embedding);
    if rule.valid_from >= rule.valid_until then
        raise exception using
            errcode = 'VS001',
            message = format('rule "%s" would never hold', rule.name),
            detail = format('valid_from is %s, valid_until is %s.', rule.valid_from, rule.valid_until),
            hint = 'Let valid_until be later than valid_from.';
    end if;
    rule := vsync_internal.store_rule(rule, v_embedding, anew => change <> 'disable');
    perform vsync_internal.keep_revision(rule, change);
    perform vsync_internal.follow_rules(rule.embedding);
    return rule.revision;
end
$$;
comment on function vsync_internal.put_rule(vsync_internal.rules, text) is
'analyses, proves and stores a rule, and follows it: capture and serving. Returns the number of the revision';

create function vsync_internal.keep_revision(rule vsync_internal.rules, change text)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into vsync_internal.rule_revisions (rule_id, name, embedding, revision, change, condition, action, params, priority, valid_from, valid_until, enabled)
    values (rule.id, rule.name, rule.embedding, rule.revision, change, rule.condition, rule.action, rule.params, rule.priority, rule.valid_from,
        rule.valid_until, rule.enabled);
    return true;
end
$$;
comment on function vsync_internal.keep_revision(vsync_internal.rules, text) is 'writes a rule as it is now into its history';

create function vsync_internal.follow_rules(embedding name)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.sync_rules(embedding);
    return vsync_internal.sync_excluded(embedding);
end
$$;
comment on function vsync_internal.follow_rules(name) is 'makes capture and serving what the rules of an embedding need, after one changed';

create function vsync_internal.admit_rules(version_id int)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions := (select v from vsync_internal.versions as v where v.id = admit_rules.version_id);
    v_rule vsync_internal.rules;
    v_detail text;
begin
    for v_rule in select r.* from vsync_internal.rules as r where r.embedding = v_version.embedding and r.enabled and r.broken is null order by r.id loop
        begin
            perform vsync_internal.prove_rule(v_rule, v_version);
        exception when sqlstate 'VS601' then
            get stacked diagnostics v_detail = pg_exception_detail;
            raise exception using
                errcode = 'VS402',
                message = format('rule "%s" does not fit the document of the new version', v_rule.name),
                detail = v_detail,
                hint = format('Select what it reads in the document, or: select vsync.disable_rule(%L)', v_rule.name);
        end;
    end loop;
    return vsync_internal.put_excluded(v_version);
end
$$;
comment on function vsync_internal.admit_rules(int) is 'proves every rule in force against a new version, and has serving hide what they exclude of it';
