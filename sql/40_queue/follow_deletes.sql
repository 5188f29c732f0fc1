create function vsync_internal.follow_deletes(page vsync_internal.pages, max_keys int)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_version vsync_internal.versions := (select v from vsync_internal.versions as v where v.id = page.version_id);
    v_keys text[];
    v_gone text[] := '{}';
    v_message text;
    v_since timestamptz := clock_timestamp();
begin
    begin
        if page.dependency is null and not vsync_internal.root_is_gone(v_version.id) then
            v_keys := coalesce(page.keys, vsync_internal.stored_keys(v_version, page.after_key, max_keys));
            v_gone := vsync_internal.call_missing(v_version.data, v_keys, vsync_internal.ticket(v_version.data));
        end if;
    exception when others or query_canceled then
        if sqlstate = '57014' and not vsync_internal.overran(v_since) then
            raise;
        end if;
        get stacked diagnostics v_message = message_text;
        update vsync_internal.progress as p set last_error = v_message, last_error_at = clock_timestamp() where p.version_id = page.version_id;
        update vsync_internal.pages as p set attempts = p.attempts + 1,
            retry_at = clock_timestamp() + greatest(2 ^ least(p.attempts, 8) * interval '1 second', clock_timestamp() - v_since) where p.id = page.id;
        return 1;
    end;
    if v_gone <> '{}' then
        perform from vsync_internal.marks as m where m.version_id = v_version.id and m.key = any (v_gone) order by m.key for update;
        delete from vsync_internal.marks as m where m.version_id = v_version.id and m.key = any (v_gone);
        execute format('delete from vsync_data.%I as v using (select %s from unnest($1) as u (key)) as k where %s',
            v_version.data, vsync_internal.key_values(vsync_internal.key_places(v_version.keys), 'u.key'),
            vsync_internal.key_list(v_version.keys, 'v.%1$I = k.k%4$s', ' and ')) using v_gone;
    end if;
    if page.keys is null and cardinality(v_keys) = max_keys then
        update vsync_internal.pages as p set after_key = v_keys[max_keys] where p.id = page.id;
    else
        delete from vsync_internal.pages as p where p.id = page.id;
    end if;
    return 1 + cardinality(v_gone);
end
$$;
comment on function vsync_internal.follow_deletes(vsync_internal.pages, int) is
'what becomes of a page while the document cannot be read: of its keys those without a row in the root lose their vectors';
