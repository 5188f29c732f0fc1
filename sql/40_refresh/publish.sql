create function vsync_internal.publish(token bigint, rows text, inferred bigint, busy float8 default 0)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_version vsync_internal.versions;
    v_given text[];
    v_owned text[];
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
    v_given := array(select distinct r.key from json_to_recordset(rows::json) as r (key text));
    v_owned := array(select o.key from vsync_internal.owned(v_version.id, v_given, publish.token) as o);
    execute format($sql$
        with given as materialized (
            select r.*, count(*) over (partition by r.key)::int as chunks, m.captured_at, decode(r.hash, 'hex') as content_hash,
                decode(r.document, 'hex') as document_hash,
                nullif(coalesce(r.further, '{}') || case when r.whole is null then '{}' else jsonb_build_object('content', r.whole) end, '{}') as attributes, %1$s
            from json_to_recordset($1::json) as r (key text, chunk int, content text, hash text, document text, vector text,
                further jsonb, whole text, truncated boolean, fresh boolean)
            cross join lateral (select w.captured_at from vsync_internal.marks as w where w.version_id = $4 and w.key = r.key offset 0) as m
            where r.key = any ($2)),
        sourced as materialized (
            select g.*, coalesce(g.vector::%2$s, %7$s) as embedding
            from given as g),
        whole as materialized (
            select s.key from sourced as s group by s.key having bool_and(s.embedding is not null)),
        shrunk as (
            delete from vsync_data.%3$I as v
            using (select %6$s, max(s.chunk) as last from sourced as s where s.key in (select w.key from whole as w) group by %6$s) as k
            where %5$s and v.chunk > k.last and v.token <= $3),
        written as (
            insert into vsync_data.%3$I as v (%4$s, chunk, chunks, content, content_hash, document_hash, embedding, attributes, truncated, token,
                captured_at, embedded_at, worker)
            select %6$s, s.chunk, s.chunks, s.content, s.content_hash, s.document_hash, s.embedding, s.attributes, s.truncated, $3,
                s.captured_at, clock_timestamp(), pg_backend_pid()
            from sourced as s where s.key in (select w.key from whole as w)
            order by %6$s, s.chunk
            on conflict (%4$s, chunk) do update
            set chunks = excluded.chunks, content = excluded.content, content_hash = excluded.content_hash,
                document_hash = excluded.document_hash, embedding = excluded.embedding, attributes = excluded.attributes, truncated = excluded.truncated,
                token = excluded.token, captured_at = excluded.captured_at, embedded_at = excluded.embedded_at, worker = excluded.worker
            where v.token <= excluded.token)
        select array_agg(distinct s.key), count(distinct s.hash) filter (where s.fresh), count(*) - count(distinct s.hash) filter (where s.fresh),
            count(*) filter (where s.truncated)
        from sourced as s where s.key in (select w.key from whole as w)
        $sql$,
        vsync_internal.key_values(vsync_internal.key_places(v_version.keys), 'r.key'), v_type, v_version.data, v_key_list,
        vsync_internal.key_list(v_version.keys, 'v.%1$I = k.k%4$s', ' and '), vsync_internal.key_list(v_version.keys, 'k%4$s'),
        (select string_agg(format('(select v.embedding from vsync_data.%I as v where v.content_hash = g.content_hash limit 1)', t.data), ', ' order by i)
            from unnest(v_version.data || vsync_internal.twins(v_version)) with ordinality as t (data, i)))
    into v_given, v_fresh, v_reused, v_truncated using rows, v_owned, token, v_version.id;
    perform vsync_internal.settle(token, v_version.id, v_given);
    update vsync_internal.progress as p
    set inference_total = p.inference_total + inferred, busy_seconds = p.busy_seconds + busy, embedded_total = p.embedded_total + v_fresh,
        reused_total = p.reused_total + v_reused, truncated_total = p.truncated_total + v_truncated,
        rate = vsync_internal.rate(p.rate, p.rate_at, cardinality(v_given), clock_timestamp()), rate_at = clock_timestamp(),
        retry_at = case when v_given is null then p.retry_at end
    where p.version_id = v_version.id and (inferred > 0 or v_given is not null);
    return coalesce(cardinality(v_given), 0);
end
$$;
comment on function vsync_internal.publish(bigint, text, bigint, float8) is
'writes the vectors of documents that this claim still owns, drops chunks that are gone, finishes the marks: one transaction.
rows: a JSON array, a chunk an object; vector null copies the vector of the same text, from this version or another one of the same model;
further: the document''s other columns, whole: its text where that is in several chunks, with the first chunk.
inferred, busy: texts sent to the model since the last publish, and the seconds it took. Returns the number of documents written';
