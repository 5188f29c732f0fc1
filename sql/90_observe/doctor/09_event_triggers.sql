create view vsync_internal.doctor_09_event_triggers as
select 'event triggers' as name, 'warning' as level, format('event trigger %s is missing or disabled: DDL on captured tables is not followed', n.name) as detail,
    'Install as a superuser, or after DDL: select vsync.repair_capture(…)' as remediation
from (values ('vsync_follow_ddl'), ('vsync_notice_drop'), ('vsync_before_drop_extension')) as n (name)
where not exists (select from pg_catalog.pg_event_trigger as t where t.evtname = n.name and t.evtenabled <> 'D');
comment on view vsync_internal.doctor_09_event_triggers is 'DDL guard';
