create function vsync_internal.is_in_force(rule vsync_internal.rules)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return rule.enabled and now() >= coalesce(rule.valid_from, '-infinity') and now() < coalesce(rule.valid_until, 'infinity');
end
$$;
comment on function vsync_internal.is_in_force(vsync_internal.rules) is 'enabled, and within its validity now';

create function vsync_internal.rules_asked(version_id int)
returns table (id int, name name, revision int, stage text, action text, params jsonb, priority int, relation oid, columns jsonb, numbered boolean, delay float8)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- until the transaction ends, which writes down what they say: a rule that changes meanwhile looks at it again
    perform vsync_internal.lock_table('rules', 'row exclusive');
    return query
    select r.id, r.name, r.revision, r.stage, r.action, r.params, r.priority, r.relation::oid, r.columns, r.expression is not null,
        extract(epoch from (now() + coalesce(r.params ->> 'for', r.params ->> 'every')::interval) - now())::float8
    from vsync_internal.rules as r
    join vsync_internal.versions as v on v.embedding = r.embedding
    where v.id = rules_asked.version_id and r.broken is null and vsync_internal.is_in_force(r)
    order by r.priority desc, r.name collate "C";
end
$$;
comment on function vsync_internal.rules_asked(int) is
'the rules in force for a version, the one that decides first first. delay: seconds of params.for or params.every, from now';
