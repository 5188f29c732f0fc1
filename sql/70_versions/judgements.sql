create table vsync_internal.judgements (
    embedding name not null,
    query_hash bytea not null,
    query text not null,
    key jsonb not null,
    grade int not null check (grade >= 0),
    judged_at timestamptz not null default clock_timestamp(),
    judged_by name not null default session_user,
    primary key (embedding, query_hash, key)
);
comment on table vsync_internal.judgements is 'how good an answer a document is to a query: 0 not at all, 1 and above the better';
comment on column vsync_internal.judgements.query_hash is 'sha256 of the query: a text may be too long for an index';

create function vsync_internal.judgements()
returns table (embedding name, query text, key jsonb, grade int, judged_at timestamptz, judged_by name)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select j.embedding, j.query, j.key, j.grade, j.judged_at, j.judged_by from vsync_internal.judgements as j order by 1, 2, j.grade desc, 3
$$;
comment on function vsync_internal.judgements() is 'the rows of vsync.judgements';

create view vsync.judgements with (security_invoker = true) as
select * from vsync_internal.judgements();
comment on view vsync.judgements is
'How good an answer each document is to a query, as vsync.judge() was told: 0 not at all, 1 and above the better. compare_versions() reads it.
Example: select query, key, grade from vsync.judgements where embedding = ''product_search''';

create function vsync.judge(embedding name, query text, key jsonb, grade int)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.require_owner(e.owner, format('judge answers of "%s"', e.name)) from vsync.embeddings as e where e.name = judge.embedding;
    return vsync_internal.put_judgement(embedding, query, key, grade);
end
$$;
comment on function vsync.judge(name, text, jsonb, int) is
'Stores how good an answer a document is to a query: 0 not at all, 1 and above the better, null: not judged any more. compare_versions() then
tells nDCG and recall at k. What is judged already is judged anew. Returns the grade.
Example: select vsync.judge(''product_search'', ''red bicycle'', ''42'', 3)';

create function vsync_internal.put_judgement(embedding name, query text, key jsonb, grade int)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
#variable_conflict use_column
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(put_judgement.embedding);
    v_keys jsonb := (vsync_internal.serving_version(put_judgement.embedding)).keys;
    v_hash bytea := sha256(convert_to(put_judgement.query, 'UTF8'));
    v_key jsonb;
begin
    perform vsync_internal.require_owner(v_embedding.owner, format('judge answers of "%s"', v_embedding.name));
    if coalesce(put_judgement.query, '') = '' or put_judgement.grade < 0 then
        raise exception using
            errcode = 'VS001',
            message = 'this is no judgement',
            detail = format('query is %L, grade is %s', left(put_judgement.query, 100), put_judgement.grade),
            hint = 'Pass a query with text and a grade of 0 or above; null forgets a grade.';
    end if;
    execute format('select %s from (select %s) as k', vsync_internal.key_json(v_keys, 'k'), vsync_internal.key_values(v_keys, '$1'))
    into v_key using vsync_internal.key_of(v_keys, put_judgement.key);
    if put_judgement.grade is null then
        delete from vsync_internal.judgements as j where j.embedding = v_embedding.name and j.query_hash = v_hash and j.key = v_key;
    else
        insert into vsync_internal.judgements as j (embedding, query_hash, query, key, grade)
        values (v_embedding.name, v_hash, put_judgement.query, v_key, put_judgement.grade)
        on conflict (embedding, query_hash, key) do update
        set grade = excluded.grade, judged_at = excluded.judged_at, judged_by = excluded.judged_by;
    end if;
    return put_judgement.grade;
end
$$;
comment on function vsync_internal.put_judgement(name, text, jsonb, int) is 'stores or forgets a grade; the key in the form in which answers carry it';

create function vsync_internal.judged_queries(embedding name, most int)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array_agg(s.query) from (
        select distinct on (j.query_hash) j.query from vsync_internal.judgements as j
        where j.embedding = judged_queries.embedding order by j.query_hash limit most) as s
$$;
comment on function vsync_internal.judged_queries(name, int) is 'queries that have judgements, the same at every call; null where there are none';

create function vsync_internal.score(embedding name, query text, keys jsonb[], k int, out ndcg float8, out recall float8)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- gain is the grade, discounted by the logarithm of the place; what nobody judged gains nothing
    with judged as (
        select j.key, j.grade, row_number() over (order by j.grade desc) as best
        from vsync_internal.judgements as j where j.embedding = score.embedding and j.query_hash = sha256(convert_to(score.query, 'UTF8'))),
    answered as (
        select j.grade, a.place from unnest(score.keys) with ordinality as a (key, place) join judged as j on j.key = a.key where a.place <= score.k)
    select coalesce((select sum(a.grade / ln(a.place + 1)) from answered as a), 0)
            / nullif((select sum(j.grade / ln(j.best + 1)) from judged as j where j.best <= score.k), 0),
        (select count(*) from answered as a where a.grade > 0)::float8 / nullif((select count(*) from judged as j where j.grade > 0), 0)
$$;
comment on function vsync_internal.score(name, text, jsonb[], int) is
'how well answers, nearest first, meet the judgements of a query; null where no document was judged a good answer.
ndcg: sum of grade / log2(place + 1) over the first k, divided by that of the best order of the judged documents;
recall: share of the documents with a grade above 0 that are among the first k';
