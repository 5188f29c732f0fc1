create function vsync_internal.held_because(mark vsync_internal.marks)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(format('rule %s, revision %s (%s), ', h.name, h.revision, h.condition), 'a rule ') || case mark.verdict
        when 'skip' then 'skips its text'
        when 'defer' then format('defers it until %s', mark.due_at)
        when 'exclude' then 'excludes it: it is hidden, and its text is not embedded'
        when 'hold' then format('holds it: select vsync.approve(%s), or vsync.reject(%1$s)', mark.hold_id)
        when 'rejected' then format('held it and was given a no (hold %s): it stays as it is until it changes again', mark.hold_id)
        else 'decided on it' end
    from (select 1) as one
    left join lateral (
        select r.name, r.revision, r.condition from vsync_internal.rule_revisions as r where r.rule_id = mark.rule_id order by r.revision desc limit 1) as h on true
$$;
comment on function vsync_internal.held_because(vsync_internal.marks) is 'why a document is held back, in words';

create function vsync_internal.last_decisions(version_id int, key text)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object('rule', h.name, 'revision', d.revision, 'stage', d.stage, 'verdict', d.verdict, 'action', h.action,
        'priority', h.priority, 'condition', h.condition, 'at', d.at) order by d.stage, d.verdict = 'overruled', h.priority desc, h.name collate "C"), '[]')
    from (select x.*, rank() over (partition by x.stage order by x.at desc) as age from vsync_internal.decided as x
        where x.version_id = last_decisions.version_id and x.relation is null and last_decisions.key = any (x.keys)) as d
    join vsync_internal.rule_revisions as h on h.rule_id = d.rule_id and h.revision = d.revision
    where d.age = 1
$$;
comment on function vsync_internal.last_decisions(int, text) is 'what rules said of a document last, at each stage; the one that decided first';
