create function vsync_internal.check_embedding_options(options jsonb)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name text;
begin
    perform vsync_internal.check_options(options, '{depends_on,gate,refresh_every,replica_identity,retention,rollback_window}', 'options');
    foreach v_name in array array['refresh_every', 'rollback_window', 'retention'] loop
        begin
            if options ? v_name and coalesce((options ->> v_name)::interval, '-1 s') < (case v_name when 'refresh_every' then interval '1 second' else '0' end) then
                raise invalid_parameter_value using message = 'it is too short';
            end if;
        exception when data_exception then
            perform vsync_internal.raise('VS001', format('%s is no interval that can be kept', v_name), format('Given: %s (%s)', options -> v_name, sqlerrm),
                format('Write for instance {"%s": "7 days"}.', v_name));
        end;
    end loop;
    if options ? 'gate' then
        perform vsync_internal.check_options(options -> 'gate', '{coverage,overlap,ndcg}', 'gate');
        if exists (select from jsonb_each(options -> 'gate') as g where jsonb_typeof(g.value) <> 'number' or (g.value)::numeric not between 0 and 1) then
            perform vsync_internal.raise('VS001', 'a threshold of the gate is no share', format('gate is %s', options -> 'gate'),
                'Write for instance {"gate": {"coverage": 0.999, "overlap": 0.6}}.');
        end if;
    end if;
    if options ? 'replica_identity' and options -> 'replica_identity' is distinct from '"full"' then
        perform vsync_internal.raise('VS001', 'unknown replica_identity', format('Given: %s', options -> 'replica_identity'),
            'Use {"replica_identity": "full"}, which lets vsync set it on the tables that need it, or leave it out.');
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

create function vsync_internal.check_index(index jsonb)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.check_options(coalesce(index, 'null'), '{type,distance,m,ef_construction,lists}', 'index');
    if coalesce(index ->> 'type', 'hnsw') not in ('hnsw', 'ivfflat', 'none')
        or coalesce(index ->> 'distance', 'cosine') not in ('cosine', 'l2', 'inner_product')
        or exists (select from jsonb_each_text(index) as i where i.key in ('m', 'ef_construction', 'lists') and coalesce(i.value, '') !~ '^[0-9]{1,5}$')
        or coalesce(index ->> 'type', 'hnsw') <> 'hnsw' and index ?| '{m,ef_construction}' or coalesce(index ->> 'type', 'hnsw') <> 'ivfflat' and index ? 'lists' then
        perform vsync_internal.raise('VS001', 'invalid index option', format('index is %s', index), 'type is hnsw, ivfflat or none; distance is cosine, '
            'l2 or inner_product; hnsw takes m and ef_construction, ivfflat takes lists, which are whole numbers.');
    end if;
    -- pgvector's own bounds, which it would tell the worker that builds the index
    if coalesce((index ->> 'm')::int, 16) not between 2 and 100 or coalesce((index ->> 'lists')::int, 100) not between 1 and 32768
        or coalesce((index ->> 'ef_construction')::int, 200) not between greatest(4, 2 * coalesce((index ->> 'm')::int, 16)) and 1000 then
        perform vsync_internal.raise('VS001', 'index option out of range', format('index is %s', index),
            'm is 2 to 100 (default 16), ef_construction 4 to 1000 (default 64) and at least twice m, lists 1 to 32768 (default 100).');
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_index(jsonb) is 'refuses unknown or impossible options of a vector index';
