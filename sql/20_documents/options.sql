create function vsync_internal.check_embedding_options(options jsonb)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name text;
begin
    if options ? 'destination' and options -> 'destination' <> '"table"' then
        raise exception using
            errcode = 'VS001',
            message = 'vectors in columns of the root table are not supported',
            detail = format('destination is %s', options -> 'destination'),
            hint = 'Leave destination out: select p.*, v.embedding from products as p join product_search as v using (id) reads rows and vectors together.';
    end if;
    options := vsync_internal.check_options(options, '{depends_on,destination,gate,refresh_every,replica_identity,retention,rollback_window}', 'options');
    foreach v_name in array array['refresh_every', 'rollback_window', 'retention'] loop
        begin
            if options ? v_name and coalesce((options ->> v_name)::interval, '-1 s') < (case v_name when 'refresh_every' then interval '1 second' else '0' end) then
                raise invalid_parameter_value using message = 'it is too short';
            elsif (options ->> v_name)::interval > interval '100 years' then
                raise invalid_parameter_value using message = 'it is longer than 100 years';
            end if;
        exception when data_exception then
            raise exception using
                errcode = 'VS001',
                message = format('%s is no interval that can be kept', v_name),
                detail = format('Given: %s (%s)', options -> v_name, sqlerrm),
                hint = format('Write for instance {"%s": "7 days"}.', v_name);
        end;
    end loop;
    if options ? 'gate' then
        perform vsync_internal.check_options(options -> 'gate', '{coverage,overlap,ndcg}', 'gate');
        if exists (select from jsonb_each(options -> 'gate') as g where jsonb_typeof(g.value) <> 'number' or (g.value)::numeric not between 0 and 1) then
            raise exception using
                errcode = 'VS001',
                message = 'a threshold of the gate is no share',
                detail = format('gate is %s', options -> 'gate'),
                hint = 'Write for instance {"gate": {"coverage": 0.999, "overlap": 0.6}}.';
        end if;
    end if;
    if options ? 'replica_identity' and options -> 'replica_identity' is distinct from '"full"' then
        raise exception using
            errcode = 'VS001',
            message = 'unknown replica_identity',
            detail = format('Given: %s', options -> 'replica_identity'),
            hint = 'Use {"replica_identity": "full"}, which lets vsync set it on the tables that need it, or leave it out.';
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_embedding_options(jsonb) is 'refuses unknown or impossible options of an embedding; the analysis reads depends_on';

create function vsync_internal.refresh_regularly()
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    -- a second worker waits for the row and then finds it refreshed
    with due as (
        update vsync_internal.progress as p set refreshed_at = clock_timestamp()
        from vsync_internal.versions as v
        join vsync_internal.embeddings as e on e.name = v.embedding and e.options ? 'refresh_every'
        where p.version_id = v.id and v.state <> 'dropped' and v.following and p.phase = 'done'
            and p.refreshed_at <= clock_timestamp() - (e.options ->> 'refresh_every')::interval
        returning p.version_id)
    insert into vsync_internal.log (slot, version_id, op) select vsync_internal.slot(), d.version_id, 'R' from due as d;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.refresh_regularly() is
'has all documents looked at again whose text follows the clock (options.refresh_every); returns the number of versions that were due';
