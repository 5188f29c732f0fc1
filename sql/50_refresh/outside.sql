create procedure vsync.work(duration interval default null, embedding name default null)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'VS006',
        message = 'this server runs no models',
        detail = 'vsync was installed without plpython3u.',
        hint = 'vsync worker --local';
end
$$;
comment on procedure vsync.work(interval, name) is
'Refused: without plpython3u workers run outside the server. Example: vsync worker --local';
