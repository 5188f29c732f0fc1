create procedure vsync.work(duration interval default null, embedding name default null)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.raise('VS006', 'this server runs no models', 'vsync was installed without plpython3u.', 'vsync worker --local');
end
$$;
comment on procedure vsync.work(interval, name) is
'Refused: without plpython3u workers run outside the server. Example: vsync worker --local';
