create function vsync_internal.check_index(index jsonb)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    index := vsync_internal.check_options(coalesce(index, 'null'), '{type,distance,quantize,m,ef_construction,lists}', 'index');
    if coalesce(index ->> 'type', 'hnsw') not in ('hnsw', 'ivfflat', 'none')
        or coalesce(index ->> 'distance', 'cosine') not in ('cosine', 'l2', 'inner_product')
        or coalesce(index ->> 'quantize', 'none') not in ('none', 'halfvec', 'binary')
        or exists (select from jsonb_each_text(index) as i where i.key in ('m', 'ef_construction', 'lists') and coalesce(i.value, '') !~ '^[0-9]{1,5}$')
        or coalesce(index ->> 'type', 'hnsw') <> 'hnsw' and index ?| '{m,ef_construction}' or coalesce(index ->> 'type', 'hnsw') <> 'ivfflat' and index ? 'lists' then
        raise exception using
            errcode = 'VS001',
            message = 'invalid index option',
            detail = format('index is %s', index),
            hint = 'type is hnsw, ivfflat or none; distance is cosine, '
                'l2 or inner_product; quantize is none, halfvec or binary; hnsw takes m and ef_construction, ivfflat takes lists, which are whole numbers.';
    end if;
    -- pgvector's own bounds, which it would tell the worker that builds the index
    if coalesce((index ->> 'm')::int, 16) not between 2 and 100 or coalesce((index ->> 'lists')::int, 100) not between 1 and 32768
        or coalesce((index ->> 'ef_construction')::int, 200) not between greatest(4, 2 * coalesce((index ->> 'm')::int, 16)) and 1000 then
        raise exception using
            errcode = 'VS001',
            message = 'index option out of range',
            detail = format('index is %s', index),
            hint = 'm is 2 to 100 (default 16), ef_construction 4 to 1000 (default 64) and at least twice m, lists 1 to 32768 (default 100).';
    end if;
    if index ->> 'type' = 'none' and coalesce(index ->> 'quantize', 'none') <> 'none' then
        raise exception using
            errcode = 'VS001',
            message = 'there is no index to quantize',
            detail = format('index is %s', index),
            hint = 'Leave quantize out, or use type hnsw or ivfflat.';
    end if;
    -- the bits are signs: they tell angles apart, and neither lengths nor offsets
    if index ->> 'quantize' = 'binary' and coalesce(index ->> 'distance', 'cosine') <> 'cosine' then
        raise exception using
            errcode = 'VS001',
            message = 'binary quantization keeps the cosine distance only',
            detail = format('index is %s', index),
            hint = 'Use {"quantize": "halfvec"}, or {"distance": "cosine"}.';
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_index(jsonb) is 'refuses unknown or impossible options of a vector index';

create function vsync_internal.check_dimensions(index jsonb, model_id int)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_dimensions int := (select m.dimensions from vsync_internal.models as m where m.id = model_id);
    v_most int := case index ->> 'quantize' when 'binary' then 64000 when 'halfvec' then 4000 else 2000 end;
begin
    if v_dimensions > v_most and index ->> 'type' <> 'none' then
        raise exception using
            errcode = 'VS001',
            message = 'the model has too many dimensions for the index',
            detail = format('It has %s; pgvector indexes at most %s of this kind.', v_dimensions, v_most),
            hint = format('Use index => ''{"quantize": "%s"}'', or ''{"type": "none"}''.', case when v_dimensions > 4000 then 'binary' else 'halfvec' end);
    end if;
    return true;
end
$$;
comment on function vsync_internal.check_dimensions(jsonb, int) is 'refuses an index over more dimensions than pgvector can index';

create function vsync_internal.merge_index(base jsonb, index jsonb, model_id int)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_index jsonb := coalesce(index, '{}');
begin
    perform vsync_internal.check_index(v_index);
    -- parameters of another type of index mean nothing
    if v_index ->> 'type' <> base ->> 'type' then
        base := base - '{type,m,ef_construction,lists}'::text[];
    end if;
    if v_index ->> 'type' = 'none' then
        base := base - 'quantize';
    end if;
    v_index := base || v_index;
    perform vsync_internal.check_index(v_index);
    perform vsync_internal.check_dimensions(v_index, model_id);
    return v_index;
end
$$;
comment on function vsync_internal.merge_index(jsonb, jsonb, int) is 'the options of an index, where some differ from those of another one';
