create function vsync_internal.failures()
returns table (embedding name, version int, key jsonb, attempts int, parked boolean, next_attempt_at timestamptz, failed_at timestamptz,
    sqlstate text, message text, detail text, label text, hint text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_version vsync_internal.versions;
begin
    for v_version in select * from vsync_internal.versions as v where v.state <> 'dropped' order by v.embedding, v.version loop
        return query execute format(
            'select $1, $2, %s, f.attempts, f.due_at = ''infinity'', nullif(f.due_at, ''infinity''), f.failed_at, '
            'f.error ->> ''sqlstate'', f.error ->> ''message'', f.error ->> ''detail'', $4, nullif(f.error ->> ''hint'', '''') '
            'from vsync_internal.marks as f, lateral (select %s) as k where f.version_id = $3 and f.attempts > 0 order by f.failed_at, f.key',
            vsync_internal.key_json(v_version.keys, 'k'), vsync_internal.key_values(v_version.keys, 'f.key'))
        using v_version.embedding, v_version.version, v_version.id, v_version.label;
    end loop;
end
$$;
comment on function vsync_internal.failures() is 'the rows of vsync.failures';

create view vsync.failures with (security_invoker = true) as
select * from vsync_internal.failures();
comment on view vsync.failures is
'Documents that could not be rendered or embedded: waiting for the next attempt, or parked after too many. A later change of the row, or
vsync.retry(), revives them. Example: select embedding, key, attempts, message from vsync.failures where parked';
