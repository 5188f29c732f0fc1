create function vsync_internal.rate(rate float8, since timestamptz, done bigint, upto timestamptz)
returns float8
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return rate * exp(least(0, extract(epoch from since - upto)) / 20) + coalesce(done, 0) / 20.0;
end
$$;
comment on function vsync_internal.rate(float8, timestamptz, bigint, timestamptz) is
'a mean of documents finished a second in which what is 20 seconds old weighs a third; done: finished just now';

create function vsync_internal.publish(token bigint, rows text, inferred bigint, busy float8 default 0)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_version vsync_internal.versions;
    v_rows vsync_internal.publishable[] := array(select r from json_populate_recordset(null::vsync_internal.publishable, rows::json) as r);
    v_keys text[];
    v_captured_at timestamptz[];
    v_key_list text;
    v_type text;
    v_fresh bigint;
    v_reused bigint;
    v_truncated bigint;
begin
    select v.* into v_version from vsync_internal.leases as l
    join vsync_internal.versions as v on v.id = l.version_id where l.token = publish.token;
    if v_version.id is null then
        return 0;
    end if;
    v_key_list := vsync_internal.key_list(v_version.keys, '%1$I');
    v_type := format('%I.vector', vsync_internal.vector_schema());
    -- before anything else is locked: while the index is built, the fold must not wait behind us, nor may a drop of the table
    execute format('lock table vsync_data.%I in row exclusive mode', v_version.data);
    v_keys := array(select r.key from unnest(v_rows) as r);
    select array_agg(o.key), array_agg(o.captured_at) into v_keys, v_captured_at from vsync_internal.owned(v_version.id, v_keys, publish.token) as o;
    execute format($sql$
        with given as materialized (
            select r.*, (count(*) over of_document)::int as chunks, bool_and(r.embedding is not null) over of_document as is_whole,
                nullif(coalesce(r.further, '{}') || case when r.whole is null then '{}' else jsonb_build_object('content', r.whole) end, '{}') as attributes, %1$s
            from (
                select r.*, m.captured_at, coalesce(r.vector::%2$s, %7$s) as embedding
                from unnest($2, $4) as m (key, captured_at)
                join (select r.*, decode(r.hash, 'hex') as content_hash, decode(r.document, 'hex') as document_hash, decode(r.made, 'hex') as made_from from unnest($1) as r) as r using (key)) as r
            window of_document as (partition by r.key)),
        shrunk as (
            delete from vsync_data.%3$I as v
            using (select %6$s, max(g.chunk) as last from given as g where g.is_whole group by %6$s) as k
            where %5$s and v.chunk > k.last and v.token <= $3),
        written as (
            insert into vsync_data.%3$I as v (%4$s, chunk, chunks, content, content_hash, document_hash, embedding, attributes, made_from, truncated, token,
                captured_at, embedded_at, worker)
            select %6$s, g.chunk, g.chunks, g.content, g.content_hash, g.document_hash, g.embedding, g.attributes, g.made_from, g.truncated, $3,
                g.captured_at, clock_timestamp(), pg_backend_pid()
            from given as g where g.is_whole
            order by %6$s, g.chunk
            on conflict (%4$s, chunk) do update
            set chunks = excluded.chunks, content = excluded.content, content_hash = excluded.content_hash,
                document_hash = excluded.document_hash, embedding = excluded.embedding, attributes = excluded.attributes, made_from = excluded.made_from, truncated = excluded.truncated,
                token = excluded.token, captured_at = excluded.captured_at, embedded_at = excluded.embedded_at, worker = excluded.worker
            where v.token <= excluded.token)
        select array_agg(distinct g.key), count(distinct g.hash) filter (where g.fresh), count(*) - count(distinct g.hash) filter (where g.fresh),
            count(*) filter (where g.truncated)
        from given as g where g.is_whole
        $sql$,
        vsync_internal.key_values(vsync_internal.key_places(v_version.keys), 'r.key'), v_type, v_version.data, v_key_list,
        vsync_internal.key_list(v_version.keys, 'v.%1$I = k.k%4$s', ' and '), vsync_internal.key_list(v_version.keys, 'k%4$s'),
        (select string_agg(format('(select v.embedding from vsync_data.%I as v where v.content_hash = r.content_hash limit 1)', t.data), ', ' order by i)
            from unnest(v_version.data || vsync_internal.twins(v_version)) with ordinality as t (data, i)))
    into v_keys, v_fresh, v_reused, v_truncated using v_rows, v_keys, token, v_captured_at;
    perform vsync_internal.settle(token, v_version.id, v_keys);
    update vsync_internal.progress as p
    set inference_total = p.inference_total + inferred, busy_seconds = p.busy_seconds + busy, embedded_total = p.embedded_total + v_fresh,
        reused_total = p.reused_total + v_reused, truncated_total = p.truncated_total + v_truncated,
        rate = vsync_internal.rate(p.rate, p.rate_at, cardinality(v_keys), clock_timestamp()), rate_at = clock_timestamp(),
        retry_at = case when v_keys is null then p.retry_at end
    where p.version_id = v_version.id and (inferred > 0 or v_keys is not null);
    return coalesce(cardinality(v_keys), 0);
end
$$;
comment on function vsync_internal.publish(bigint, text, bigint, float8) is
'writes the vectors of documents that this claim still owns, drops chunks that are gone, finishes the marks: one transaction.
rows: a JSON array, a chunk an object; vector null copies the vector of the same text, from this version or another one of the same model;
further: the document''s other columns, whole: its text where that is in several chunks, with the first chunk; made: as render() told it.
inferred, busy: texts sent to the model since the last publish, and the seconds it took. Returns the number of documents written';
