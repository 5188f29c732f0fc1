create view vsync_internal.doctor_13_rules as
select 'rules' as name, 'error' as level, format('rule %s of %s cannot be asked any more: %s', r.name, r.embedding, r.broken) as detail,
    format('select vsync.alter_rule(%L, condition => …); or select vsync.disable_rule(%L)', r.name, r.name) as remediation
from vsync_internal.rules as r
where r.broken is not null and r.enabled
union all
select 'rules', 'warning', format('rule %s of %s could not be asked of %s cases, the last at %s: %s', r.name, r.embedding, s.failed,
        to_char(s.last_error_at, 'YYYY-MM-DD HH24:MI:SS'), s.last_error),
    'select * from vsync.stat_rules; params.on_error says what happens to such documents'
from vsync_internal.rules as r join vsync_internal.rule_stats as s on s.rule_id = r.id
where r.broken is null and r.enabled and s.last_error_at > greatest(r.changed_at, now() - interval '1 day');
comment on view vsync_internal.doctor_13_rules is 'rules that are broken, or that failed within a day and were not altered since';
