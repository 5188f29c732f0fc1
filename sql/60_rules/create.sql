create function vsync.create_rule(
    name name, embedding name, condition text, action text, params jsonb default '{}', priority int default 0,
    valid_from timestamptz default null, valid_until timestamptz default null)
returns name
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- under SET ROLE the session's own rights do not count
    perform vsync_internal.require_owner((vsync_internal.find_embedding(embedding)).owner, format('create rules of "%s"', embedding));
    return vsync_internal.create_rule(name, embedding, condition, action, params, priority, valid_from, valid_until);
end
$$;
comment on function vsync.create_rule(name, name, text, text, jsonb, int, timestamptz, timestamptz) is
'Says what a change is worth. condition: SQL that is true or false, over old and new (the changed row), doc (the rendered document), last (what is embedded
now) and change (op, relation, at, documents). action: skip, defer, prioritize, exclude, hold, refresh; params are its own. Of the rules that match, the one of the
highest priority decides, then the first by name. It holds from the next commit, within valid_from and valid_until, with the rights of the embedding''s owner. Returns the name.
Example: select vsync.create_rule(''small_moves'', ''product_search'',
    ''abs(doc.price - last.price) < 0.05 * last.price'', ''skip'')';

create function vsync_internal.create_rule(
    name name, embedding name, condition text, action text, params jsonb, priority int, valid_from timestamptz, valid_until timestamptz)
returns name
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rule vsync_internal.rules;
begin
    if coalesce(name, '') = '' or condition is null or action is null then
        raise exception using
            errcode = 'VS001',
            message = 'a rule needs a name, a condition and an action',
            detail = format('name is %s, condition is %s, action is %s', coalesce(quote_literal(name), 'null'), coalesce(quote_literal(left(condition, 60)), 'null'),
                coalesce(quote_literal(action), 'null')),
            hint = 'See \df+ vsync.create_rule for an example.';
    end if;
    -- before the lock, which its transaction would keep
    perform vsync_internal.require_owner((vsync_internal.find_embedding(embedding)).owner, format('create rules of "%s"', embedding));
    perform vsync_internal.lock_row('rule', name);
    if exists (select from vsync_internal.rules as r where r.name = create_rule.name) then
        raise exception using
            errcode = 'VS301',
            message = format('rule "%s" already exists', name),
            detail = format('It is a rule of embedding "%s".', (select r.embedding from vsync_internal.rules as r where r.name = create_rule.name)),
            hint = format('select vsync.drop_rule(%L)', name);
    end if;
    perform vsync_internal.notice_long_name(name);
    if vsync_internal.is_restored() then
        perform vsync_internal.raise_sequences();
    end if;
    v_rule.id := nextval('vsync_internal.rules_id_seq');
    v_rule.name := name;
    v_rule.embedding := embedding;
    v_rule.condition := condition;
    v_rule.action := action;
    v_rule.params := coalesce(params, '{}');
    v_rule.priority := coalesce(priority, 0);
    v_rule.valid_from := nullif(valid_from, '-infinity');
    v_rule.valid_until := nullif(valid_until, 'infinity');
    v_rule.enabled := true;
    v_rule.in_force := false;
    v_rule.revision := 1;
    v_rule.revision := vsync_internal.put_rule(v_rule, 'create');
    return name;
end
$$;
comment on function vsync_internal.create_rule(name, name, text, text, jsonb, int, timestamptz, timestamptz) is 'the work of vsync.create_rule()';

create function vsync.alter_rule(
    name name, condition text default null, action text default null, params jsonb default null, priority int default null,
    valid_from timestamptz default null, valid_until timestamptz default null)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.may_change_rule(name);
    return vsync_internal.alter_rule(name, condition, action, params, priority, valid_from, valid_until, null);
end
$$;
comment on function vsync.alter_rule(name, text, text, jsonb, int, timestamptz, timestamptz) is
'Changes a rule from the next commit on; what is null stays as it was, ''-infinity'' and ''infinity'' take a limit of validity away. What it decided before is decided again.
Returns the number of the revision. Example: select vsync.alter_rule(''small_moves'', priority => 10)';

create function vsync.enable_rule(name name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.may_change_rule(name);
    return vsync_internal.alter_rule(name, null, null, null, null, null, null, true);
end
$$;
comment on function vsync.enable_rule(name) is
'Lets a rule that was disabled, or is broken, be asked again. Returns the number of the revision. Example: select vsync.enable_rule(''small_moves'')';

create function vsync.disable_rule(name name)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.may_change_rule(name);
    return vsync_internal.alter_rule(name, null, null, null, null, null, null, false);
end
$$;
comment on function vsync.disable_rule(name) is
'Takes a rule out of force and keeps it: what it held back is decided again. Returns the number of the revision. Example: select vsync.disable_rule(''small_moves'')';

create function vsync_internal.alter_rule(
    name name, condition text, action text, params jsonb, priority int, valid_from timestamptz, valid_until timestamptz, enabled boolean)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rule vsync_internal.rules;
begin
    perform vsync_internal.may_change_rule(name);
    perform vsync_internal.lock_row('rule', name);
    v_rule := vsync_internal.find_rule(name);
    if enabled = v_rule.enabled and v_rule.broken is null then
        return v_rule.revision;
    end if;
    v_rule.condition := coalesce(condition, v_rule.condition);
    v_rule.action := coalesce(action, v_rule.action);
    v_rule.params := coalesce(params, v_rule.params);
    v_rule.priority := coalesce(priority, v_rule.priority);
    v_rule.valid_from := nullif(coalesce(valid_from, v_rule.valid_from), '-infinity');
    v_rule.valid_until := nullif(coalesce(valid_until, v_rule.valid_until), 'infinity');
    v_rule.enabled := coalesce(enabled, v_rule.enabled);
    v_rule.revision := v_rule.revision + 1;
    return vsync_internal.put_rule(v_rule, case when enabled then 'enable' when not enabled then 'disable' else 'alter' end);
end
$$;
comment on function vsync_internal.alter_rule(name, text, text, jsonb, int, timestamptz, timestamptz, boolean) is 'the work of alter_rule, enable_rule and disable_rule';

create function vsync.drop_rule(name name, if_exists boolean default false)
returns name
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if if_exists and not exists (select from vsync.rules as r where r.name = drop_rule.name) then
        raise notice 'rule "%" does not exist, skipping', name;
        return null;
    end if;
    perform vsync_internal.may_change_rule(name);
    return vsync_internal.drop_rule(name);
end
$$;
comment on function vsync.drop_rule(name, boolean) is
'Drops a rule; its history stays, and what it held back is decided again. Returns the name, null where there was none. Example: select vsync.drop_rule(''small_moves'')';

create function vsync_internal.drop_rule(name name)
returns name
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rule vsync_internal.rules;
begin
    perform vsync_internal.may_change_rule(name);
    perform vsync_internal.lock_row('rule', name);
    v_rule := vsync_internal.find_rule(name);
    perform vsync_internal.require_owner((vsync_internal.find_embedding(v_rule.embedding)).owner, format('drop rules of "%s"', v_rule.embedding));
    perform vsync_internal.lock_row('embedding', v_rule.embedding);
    delete from vsync_internal.rules as r where r.id = v_rule.id;
    v_rule.revision := v_rule.revision + 1;
    perform vsync_internal.keep_revision(v_rule, 'drop');
    perform vsync_internal.follow_rules(v_rule.embedding);
    return name;
end
$$;
comment on function vsync_internal.drop_rule(name) is 'the work of vsync.drop_rule()';
