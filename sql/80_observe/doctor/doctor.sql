create function vsync_internal.doctor()
returns table (name text, level text, detail text, remediation text)
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
    with findings as (
        select * from vsync_internal.doctor_01_capture_triggers
        union all select * from vsync_internal.doctor_02_broken
        union all select * from vsync_internal.doctor_03_failures
        union all select * from vsync_internal.doctor_04_model
        union all select * from vsync_internal.doctor_05_workers
        union all select * from vsync_internal.doctor_06_indexes
        union all select * from vsync_internal.doctor_07_pgvector
        union all select * from vsync_internal.doctor_08_replication
        union all select * from vsync_internal.doctor_09_event_triggers
        union all select * from vsync_internal.doctor_10_log
        union all select * from vsync_internal.doctor_11_slot
        union all select * from vsync_internal.doctor_12_identity
        union all select * from vsync_internal.doctor_13_rules
        union all select * from vsync_internal.doctor_14_documents
        union all select * from vsync_internal.doctor_20_publications
        union all select * from vsync_internal.doctor_21_serving
        union all select * from vsync_internal.doctor_engine())
    select f.name, f.level, f.detail, f.remediation from findings as f
    union all
    select c.name, 'ok', 'nothing to report', '' from unnest(array['capture triggers', 'embeddings', 'failures', 'models', 'workers',
        'indexes', 'replication', 'event triggers', 'log', 'wal slot', 'replica identity', 'rules', 'documents',
        'publications', 'serving', 'engine']) as c (name)
    where c.name not in (select f.name from findings as f)
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
