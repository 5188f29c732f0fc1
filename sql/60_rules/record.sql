create function vsync_internal.record_rules(version_id int, tallies jsonb, decisions jsonb)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint := 0;
begin
    insert into vsync_internal.rule_stats as s (rule_id, asked, matched, failed, seconds, saved, last_matched_at, last_error, last_error_at)
    select t.rule_id, t.asked, t.matched, t.failed, t.seconds, coalesce(t.saved, 0), case when t.matched > 0 then clock_timestamp() end, t.error,
        case when t.error is not null then clock_timestamp() end
    from jsonb_to_recordset(tallies) as t (rule_id int, asked bigint, matched bigint, failed bigint, seconds float8, saved bigint, error text)
    order by t.rule_id -- two workers at once lock in one order
    on conflict on constraint rule_stats_pkey do update
    set asked = s.asked + excluded.asked, matched = s.matched + excluded.matched, failed = s.failed + excluded.failed, seconds = s.seconds + excluded.seconds,
        saved = s.saved + excluded.saved, last_matched_at = coalesce(excluded.last_matched_at, s.last_matched_at),
        last_error = coalesce(excluded.last_error, s.last_error), last_error_at = coalesce(excluded.last_error_at, s.last_error_at);
    update vsync_internal.rules as r set broken = t.broken
    from jsonb_to_recordset(tallies) as t (rule_id int, revision int, broken text)
    where r.id = t.rule_id and r.revision = t.revision and t.broken is not null and r.broken is null;
    if vsync_internal.setting('decisions_hours') > 0 then
        insert into vsync_internal.decided (version_id, rule_id, revision, stage, verdict, relation, keys)
        select record_rules.version_id, d.rule_id, d.revision, d.stage, d.verdict, d.relation::oid::regclass, d.keys
        from jsonb_to_recordset(decisions) as d (rule_id int, revision int, stage text, verdict text, relation bigint, keys text[])
        where cardinality(d.keys) > 0;
        get diagnostics v_count = row_count;
    end if;
    return v_count;
end
$$;
comment on function vsync_internal.record_rules(int, jsonb, jsonb) is
'counts what asking rules came to, [{"rule_id", "revision", "asked", "matched", "failed", "seconds", "saved", "error", "broken"}], and keeps what they decided,
[{"rule_id", "revision", "stage", "verdict", "relation", "keys"}]. A rule that is broken is asked no more. Returns the number of rows kept';

create function vsync_internal.forget_decisions()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    delete from vsync_internal.decided as d where d.at < clock_timestamp() - vsync_internal.setting('decisions_hours') * interval '1 hour';
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.forget_decisions() is 'deletes decisions older than the setting decisions_hours; returns how many';

create function vsync_internal.forget_rules(embedding name)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids int[] := array(select distinct h.rule_id from vsync_internal.rule_revisions as h where h.embedding = forget_rules.embedding);
begin
    delete from vsync_internal.rules as r where r.id = any (v_ids);
    delete from vsync_internal.rule_revisions as h where h.rule_id = any (v_ids);
    delete from vsync_internal.rule_stats as s where s.rule_id = any (v_ids);
    delete from vsync_internal.decided as d where d.rule_id = any (v_ids);
    delete from vsync_internal.holds as h where h.embedding = forget_rules.embedding;
    return cardinality(v_ids);
end
$$;
comment on function vsync_internal.forget_rules(name) is 'removes the rules of an embedding that is dropped, with all that is known of them';
