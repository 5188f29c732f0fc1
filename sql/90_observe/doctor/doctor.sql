create function vsync_internal.doctor()
returns table (name text, level text, detail text, remediation text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
#variable_conflict use_column
declare
    v_check record;
    v_message text;
begin
    for v_check in
        select * from (values
            ('capture triggers', 'vsync_internal.doctor_01_capture_triggers'),
            ('embeddings', 'vsync_internal.doctor_02_broken'),
            ('failures', 'vsync_internal.doctor_03_failures'),
            ('models', 'vsync_internal.doctor_04_model'),
            ('workers', 'vsync_internal.doctor_05_workers'),
            ('indexes', 'vsync_internal.doctor_06_indexes'),
            ('pgvector', 'vsync_internal.doctor_07_pgvector'),
            ('replication', 'vsync_internal.doctor_08_replication'),
            ('event triggers', 'vsync_internal.doctor_09_event_triggers'),
            ('log', 'vsync_internal.doctor_10_log'),
            ('wal slot', 'vsync_internal.doctor_11_slot'),
            ('replica identity', 'vsync_internal.doctor_12_identity'),
            ('rules', 'vsync_internal.doctor_13_rules'),
            ('documents', 'vsync_internal.doctor_14_documents'),
            ('publications', 'vsync_internal.doctor_20_publications'),
            ('serving', 'vsync_internal.doctor_21_serving'),
            ('locks', 'vsync_internal.doctor_22_locks'),
            ('sandbox', 'vsync_internal.doctor_23_sandbox'),
            ('own locks', 'vsync_internal.doctor_24_own_locks'),
            ('engine', 'vsync_internal.doctor_engine()')) as c (name, findings)
    loop
        begin
            return query execute format('select f.name, f.level, f.detail, f.remediation from %s as f', v_check.findings);
            if not found then
                return query select v_check.name, 'ok', 'nothing to report', '';
            end if;
        exception when lock_not_available then
            -- a check that meets a lock must not keep the others from being made
            get stacked diagnostics v_message = message_text;
            return query select v_check.name, 'warning', format('could not be looked at: %s', v_message),
                'select * from vsync.doctor() where name = ''locks''; or select * from pg_locks where not granted';
        end;
    end loop;
end
$$;
comment on function vsync_internal.doctor() is 'the rows of vsync.doctor()';

create function vsync.doctor()
returns table (name text, level text, detail text, remediation text)
language sql
set search_path = pg_catalog, pg_temp
as $$
    select d.name, d.level, d.detail, d.remediation from vsync_internal.doctor() as d
    order by array_position(array['error', 'warning', 'info', 'ok'], d.level), d.name
$$;
comment on function vsync.doctor() is
'Checks the installation and every embedding, a row a finding: level (error, warning, info, ok), what is wrong, and what to do about it.
Example: select * from vsync.doctor() where level <> ''ok''';
