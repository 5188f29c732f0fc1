create view vsync.rules as
select r.name, r.embedding, r.condition, r.action, r.params, r.priority, r.valid_from, r.valid_until, r.enabled,
    r.enabled and r.broken is null and now() >= coalesce(r.valid_from, '-infinity') and now() < coalesce(r.valid_until, 'infinity') as in_force,
    r.broken, r.stage, r.relation, r.revision, r.changed_at
from vsync_internal.rules as r;
comment on view vsync.rules is 'Rules: what a change is worth. stage: change (asked of old, new and change, before anything is rendered) or document (of doc, last
and new). in_force: enabled, within its validity, not broken; broken says why it cannot be asked. relation: whose rows old and new are, null for the root''s.
Example: select name, condition, action, in_force from vsync.rules where embedding = ''product_search'' order by priority desc, name';

create view vsync.rule_history as
select h.name, h.embedding, h.revision, h.change, h.condition, h.action, h.params, h.priority, h.valid_from, h.valid_until, h.enabled, h.at, h.by
from vsync_internal.rule_revisions as h;
comment on view vsync.rule_history is 'Every revision of every rule, of dropped ones too: what it said, who changed it and when. change: create, alter, enable, disable, drop.
Example: select revision, change, condition, at, by from vsync.rule_history where name = ''small_moves'' order by at';

create function vsync_internal.stat_rules()
returns table (name name, embedding name, revision int, asked bigint, matched bigint, failed bigint, seconds float8, texts_saved bigint, held bigint,
    last_matched_at timestamptz, last_error text, last_error_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select r.name, r.embedding, r.revision, coalesce(s.asked, 0), coalesce(s.matched, 0), coalesce(s.failed, 0), coalesce(s.seconds, 0), coalesce(s.saved, 0),
        (select count(*) from vsync_internal.marks as m where m.rule_id = r.id and m.token is null and m.due_at is not null),
        s.last_matched_at, coalesce(r.broken, s.last_error), s.last_error_at
    from vsync_internal.rules as r left join vsync_internal.rule_stats as s on s.rule_id = r.id
    order by r.embedding, r.priority desc, r.name
$$;
comment on function vsync_internal.stat_rules() is 'the rows of vsync.stat_rules';

create view vsync.stat_rules with (security_invoker = true) as
select * from vsync_internal.stat_rules();
comment on view vsync.stat_rules is 'What asking each rule came to since it was created: of how many changes and documents it was asked, matched and failed, the seconds that took (its
share, where many are asked at once), texts that did not go to the model for it, and documents that it holds back now.
Example: select name, matched, texts_saved, last_error from vsync.stat_rules';

create function vsync_internal.decisions()
returns table (at timestamptz, embedding name, version int, rule name, revision int, verdict text, stage text, relation regclass, key jsonb, condition text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_version vsync_internal.versions;
begin
    for v_version in
        select v.* from vsync_internal.versions as v where v.id in (select d.version_id from vsync_internal.decided as d) order by v.id
    loop
        return query execute format($sql$
            select d.at, %1$L::name, %2$s, h.name, d.revision, d.verdict, d.stage, d.relation,
                case when d.relation is null then %3$s else to_jsonb(u.key) end, h.condition
            from vsync_internal.decided as d
            join vsync_internal.rule_revisions as h on h.rule_id = d.rule_id and h.revision = d.revision
            cross join unnest(d.keys) as u (key)
            left join lateral (select %4$s) as k on d.relation is null
            where d.version_id = $1
            $sql$, v_version.embedding, v_version.version, vsync_internal.key_json(v_version.keys, 'k'), vsync_internal.key_values(v_version.keys, 'u.key'))
        using v_version.id;
    end loop;
end
$$;
comment on function vsync_internal.decisions() is 'the rows of vsync.decisions';

create view vsync.decisions with (security_invoker = true) as
select * from vsync_internal.decisions();
comment on view vsync.decisions is 'What rules decided of late, kept for the setting decisions_hours: of which document, by which revision of which rule, with the condition as it was
then. verdict: the action, overruled (another rule decided) or failed (it could not be asked). relation: a dependency whose row changed; key is then
what of it leads to the documents. Example: select at, rule, revision, verdict from vsync.decisions where key = ''{"id": 42}'' order by at desc';
