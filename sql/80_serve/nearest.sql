create function vsync_internal.distance(version vsync_internal.versions, operand text, query text)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%s operator(%I.%s) %s', operand, vsync_internal.vector_schema(),
        case version.index ->> 'distance' when 'l2' then '<->' when 'inner_product' then '<#>' else '<=>' end, query)
$$;
comment on function vsync_internal.distance(vsync_internal.versions, text, text) is 'the SQL of a version''s distance between two vectors';

create function vsync_internal.ordering(version vsync_internal.versions, operand text, query text, exact boolean default false)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- without its index a coarse order would only lose
    select case when exact or coalesce(version.index ->> 'quantize', 'none') = 'none' or not vsync_internal.has_index(version)
        then vsync_internal.distance(version, operand, query)
        when version.index ->> 'quantize' = 'binary' then format('%s operator(%I.<~>) %s', vsync_internal.index_term(version, operand),
            vsync_internal.vector_schema(), vsync_internal.index_term(version, query))
        else vsync_internal.distance(version, vsync_internal.index_term(version, operand), vsync_internal.index_term(version, query)) end
$$;
comment on function vsync_internal.ordering(vsync_internal.versions, text, text, boolean) is
'the SQL to order a version''s vectors by so that its index is used: the distance, or what a quantized index makes of it';

create function vsync_internal.candidates(version vsync_internal.versions, k int)
returns int
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select k * case when version.chunk is null then 1 else 4 end
        * case version.index ->> 'quantize' when 'binary' then 10 when 'halfvec' then 2 else 1 end
$$;
comment on function vsync_internal.candidates(vsync_internal.versions, int) is
'how many vectors are taken in the index''s order and then ranked by their distance, to find k documents';

create function vsync_internal.tune(candidates bigint)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config('hnsw.iterative_scan', 'strict_order', true);
    perform set_config('hnsw.ef_search', least(1000, greatest(100, candidates * 2))::text, true);
    perform set_config('ivfflat.iterative_scan', 'relaxed_order', true);
    perform set_config('ivfflat.probes', '10', true);
    return true;
end
$$;
comment on function vsync_internal.tune(bigint) is 'how pgvector scans an index for a search; the caller''s settings come back at its end';
