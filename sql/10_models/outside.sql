-- In place of python.sql where the server has no plpython3u. What the engine must say is asked of the command line, in error VS006; it answers
-- and asks again, in the same transaction. An analysis becomes SQL that runs with the installer's rights, so the installer alone
-- answers; the vectors of a query are the session's own affair.
create table vsync_internal.answers (
    key text primary key,
    answer jsonb not null
);
comment on table vsync_internal.answers is 'what the engine outside said, for the rest of a transaction; only the installer writes it';

create function vsync_internal.ask(name text, arguments jsonb)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- the view of a document is another one each time it is asked about
    v_key text := md5(name || (arguments #- '{0,document,oid}' #- '{0,query,oid}')::text);
    v_answer jsonb := (select a.answer from vsync_internal.answers as a where a.key = v_key);
begin
    if v_answer is null and name = 'embed_texts' then
        v_answer := nullif(current_setting('vsync.answers', true), '')::jsonb -> v_key;
    end if;
    if v_answer is null then
        -- the name of a constraint is a field that psql does not show and that may be long
        raise exception using errcode = 'VS006', message = 'this server runs no models', detail = 'vsync was installed without plpython3u.',
            hint = 'Use the command line, which has the engine: vsync model add, vsync embedding create, vsync version add, vsync search.',
            constraint = jsonb_build_object('key', v_key, 'name', name, 'arguments', arguments)::text;
    end if;
    return v_answer;
end
$$;
comment on function vsync_internal.ask(text, jsonb) is 'the answer of the engine outside; VS006 with the question where there is none yet';

create function vsync_internal.answer(key text, answer jsonb)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into vsync_internal.answers values (answer.key, answer.answer);
    return true;
exception when insufficient_privilege then
    raise exception using
        errcode = 'VS002',
        message = 'only the role that installed vsync may do this',
        detail = format('The current role is "%s".', current_user),
        hint = format('Connect as %I.', vsync_internal.installer());
end
$$;
comment on function vsync_internal.answer(text, jsonb) is 'answers a question, until the transaction ends or forget_answers()';

create function vsync_internal.forget_answers()
returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $$ with gone as (delete from vsync_internal.answers returning 1) select count(*) from gone $$;
comment on function vsync_internal.forget_answers() is 'takes the answers of this transaction back; returns how many there were';

create function vsync_internal.inspect_model(source text, options jsonb)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.ask('inspect_model', jsonb_build_array(source, options)) $$;
comment on function vsync_internal.inspect_model(text, jsonb) is 'reads, hashes and tries a model directory, of the command line: {"spec", "probe", "assumed"} or {"error"}';

create function vsync_internal.embed_texts(model_id int, kind text, inputs text[])  -- noqa: PRS
returns vsync_internal.pgvector.vectors%type
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select e.vector from jsonb_array_elements_text(vsync_internal.raise_if_error(vsync_internal.ask('embed_texts',
            jsonb_build_array(vsync_internal.model_spec(model_id), kind, inputs))) -> 'vectors') with ordinality as e (vector, i)
        order by e.i);
end
$$;
comment on function vsync_internal.embed_texts(int, text, text[]) is 'vectors of texts, null for null; kind is passage or query';
