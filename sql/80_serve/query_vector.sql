create function vsync.query_vector(embedding name, query text)  -- noqa: PRS
returns vsync_internal.pgvector.vector%type
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (vsync_internal.embed_clean(vsync_internal.serving_model(embedding), 'query', array[query]))[1];
end
$$;
comment on function vsync.query_vector(name, text) is
'The vector of a query, by the model of the version that this statement''s snapshot serves; a session remembers recent ones.
Example: select id, content from shop.product_search order by embedding <=> vsync.query_vector(''product_search'', ''red bicycle'') limit 5';

create function vsync_internal.serving_model(embedding name)
returns int
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_model_id int;
    v_embedding vsync_internal.embeddings;
begin
    select v.model_id into v_model_id from vsync_internal.serving as s
    join vsync_internal.versions as v on v.embedding = s.embedding and v.version = s.version
    where s.embedding = serving_model.embedding;
    if v_model_id is null then
        v_embedding := vsync_internal.find_embedding(embedding);
    end if;
    return v_model_id;
end
$$;
comment on function vsync_internal.serving_model(name) is 'the model of the version being served';
