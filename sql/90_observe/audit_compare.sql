-- Everything that reads is STABLE: however many statements there are, they see the one snapshot of the statement that calls them.

create function vsync_internal.audit_rendered(
    data name, after_key text, max_keys int, out keys text[], out "hashes" bytea[], out has_more boolean)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_keys int := max_keys;
begin
    loop
        begin
            select array_agg(h.key), array_agg(h.hash) into audit_rendered.keys, audit_rendered.hashes
            from vsync_internal.call_hashes(data, after_key, v_keys, vsync_internal.ticket(data)) as h;
            has_more := coalesce(cardinality(audit_rendered.keys), 0) = v_keys;
            return;
        exception when data_exception or cardinality_violation or integrity_constraint_violation or plpgsql_error
            or external_routine_exception or program_limit_exceeded then
            if v_keys = 1 then
                audit_rendered.keys := vsync_internal.call_keys(data, after_key, 1, vsync_internal.ticket(data));
                audit_rendered.hashes := array['\x'::bytea];
                has_more := true;
                return;
            end if;
            v_keys := v_keys / 2;
        end;
    end loop;
end
$$;
comment on function vsync_internal.audit_rendered(name, text, int) is
'a page of rendered documents as keys and hashes, in key order; shorter where a document cannot be rendered, which alone has a hash that nothing equals';

create function vsync_internal.audit_foreigners(version vsync_internal.versions)
returns setof name
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select o.data from vsync_internal.versions as o
    join vsync_internal.embeddings as f on f.name = o.embedding
    join vsync_internal.models as n on n.id = o.model_id
    join vsync_internal.embeddings as e on e.name = version.embedding
    join vsync_internal.models as m on m.id = version.model_id
    where o.id <> version.id and o.state <> 'dropped' and (o.embedding = e.name or f.root = e.root) and n.dimensions = m.dimensions
        -- one network registered twice may give one text one vector
        and n.spec -> 'files' -> (n.spec ->> 'file') <> m.spec -> 'files' -> (m.spec ->> 'file')
        and to_regclass(format('vsync_data.%I', o.data)) is not null
$$;
comment on function vsync_internal.audit_foreigners(vsync_internal.versions) is
'vector tables of other models that a vector of this version may have come from: of the same root, with as many dimensions';

create function vsync_internal.audit_order(keys jsonb, alias text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(format('%s.%I', alias, k ->> 'output') || coalesce(' collate ' || nullif(k ->> 'collation', ''), ''), ', ' order by i)
    from jsonb_array_elements(keys) with ordinality as e (k, i)
$$;
comment on function vsync_internal.audit_order(jsonb, text) is 'SQL: the key columns of a row called alias, to be compared as the vector table''s primary key compares them';

create function vsync_internal.audit_query(version vsync_internal.versions, paged boolean, bounded boolean, wanted boolean)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- $1 data name, $2 after_key, $3 last key, $4 keys, $5 hashes
    select format($sql$
        with rendered as (
            select k.*
            from %2$s as r (key, hash), lateral (select r.hash, true as is_document, %1$s) as k
            where %11$s),
        stored as (
            select %3$s, v.chunk, v.chunks, v.document_hash,
                sha256(convert_to(v.content, 'UTF8')) = v.content_hash and %4$s as is_intact
            from vsync_data.%5$I as v where %6$s),
        compared as (
            select %7$s, r.hash, true as is_compared, coalesce(bool_or(r.is_document), false) as is_document, count(s.chunk) as chunks,
                bool_and(coalesce(s.document_hash = r.hash, false)) as is_current,
                bool_or(s.chunk = 0 and s.document_hash = r.hash) as looks_current,
                bool_or(s.document_hash = r.hash) and not bool_and(s.document_hash = r.hash)
                    or min(encode(s.document_hash, 'hex')) filter (where s.document_hash <> r.hash)
                    <> max(encode(s.document_hash, 'hex')) filter (where s.document_hash <> r.hash) as is_mixed,
                bool_and(s.is_intact) and count(s.chunk) = max(s.chunk) + 1 and count(s.chunk) = min(s.chunks)
                    and min(s.chunks) = max(s.chunks) as is_whole
            from rendered as r full join stored as s using (%7$s)
            group by %7$s, r.hash),
        held as (
            select k.*, 'held' as held from vsync_internal.marks as m, lateral (select %12$s) as k
            where m.version_id = %13$s and m.attempts = 0 and (m.verdict in ('skip', 'hold', 'rejected', 'exclude') or m.verdict = 'defer' and m.held_until > now())),
        judged as (
            select %7$s, c.looks_current, %8$s as is_foreign,
                case when c.chunks = 0 and c.hash is null then null
                    when c.hash is null then 'extra'
                    when c.chunks = 0 then coalesce(h.held, 'missing')
                    when c.is_mixed or %8$s then 'mixed'
                    when not c.is_current or not c.is_whole then coalesce(h.held, 'stale') end as verdict
            from compared as c%9$s full join held as h using (%7$s)
            -- in full, since many held documents in a loop would take for ever; a mark without a document is none
            where coalesce(c.is_compared, false))
        select count(*), count(*) filter (where j.verdict = 'missing'), count(*) filter (where j.verdict = 'extra'),
            count(*) filter (where j.verdict = 'stale'), count(*) filter (where j.verdict = 'mixed'), count(*) filter (where j.verdict = 'held'),
            %10$s
        from judged as j
        $sql$,
        vsync_internal.key_values(t.places, 'r.key'),
        case when paged then 'unnest($4, $5)' else 'vsync_internal.call_hashes($1, null, null, vsync_internal.ticket($1))' end,
        vsync_internal.key_list(version.keys, 'v.%1$I as k%4$s'),
        case when version.chunk is null then 'v.content_hash = v.document_hash and v.chunk = 0' else 'true' end,
        version.data,
        concat_ws(' and ', 'true',
            case when paged then format('($2 is null or (%s) > (select %s))',
                vsync_internal.key_list(version.keys, 'v.%1$I'), vsync_internal.key_values(version.keys, '$2')) end,
            case when bounded then format('(%s) <= (select %s)',
                vsync_internal.key_list(version.keys, 'v.%1$I'), vsync_internal.key_values(version.keys, '$3')) end),
        vsync_internal.key_list(version.keys, 'k%4$s'),
        case when t.foreigners is null then 'false' else 'f.is_foreign is not null' end,
        ' left join (' || t.foreigners || ') as f using (' || vsync_internal.key_list(version.keys, 'k%4$s') || ')',
        case when wanted then format('array_agg(%s) filter (where j.verdict <> ''held''), '
                'array_agg(coalesce(j.looks_current, false)) filter (where j.verdict <> ''held''), '
                'array_agg(j.is_foreign) filter (where j.verdict <> ''held'')', vsync_internal.key_text(t.places, 'j'))
            else 'null::text[], null::boolean[], null::boolean[]' end,
        case when bounded then format('(%s) <= (select %s)', vsync_internal.audit_order(t.places, 'k'), vsync_internal.key_values(version.keys, '$3'))
            else 'true' end,
        vsync_internal.key_values(t.places, 'm.key'), version.id)
    from (
        select string_agg(format('select %s, true as is_foreign from vsync_data.%I as v join vsync_data.%I as o using (content_hash) '
            'where v.embedding operator(%I.=) o.embedding', vsync_internal.key_list(version.keys, 'v.%1$I as k%4$s'), version.data, o.data,
            vsync_internal.vector_schema()), ' union ') as foreigners, vsync_internal.key_places(version.keys) as places
        from vsync_internal.audit_foreigners(version) as o (data)) as t
$$;
comment on function vsync_internal.audit_query(vsync_internal.versions, boolean, boolean, boolean) is
'SQL: compares documents with what is stored. One row: checked, missing, extra, stale, mixed, held (back by rules, which is not told as missing or stale), and if wanted the keys that differ, whether
the hash of each says that nothing does, and whether it has a vector of another model';

create function vsync_internal.audit_compare(
    version vsync_internal.versions, after_key text, max_keys int, wanted boolean,
    out next_key text, out checked bigint, out missing bigint, out extra bigint, out stale bigint, out mixed bigint, out held bigint,
    out keys text[], out forced boolean[], out strange boolean[])
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_rendered record;
    v_stored_to text;
begin
    if max_keys is null then
        execute vsync_internal.audit_query(version, false, false, wanted)
        into checked, missing, extra, stale, mixed, held, keys, forced, strange using version.data;
        return;
    end if;
    select * into v_rendered from vsync_internal.audit_rendered(version.data, after_key, max_keys);
    -- up to where both sides were read: either may have many keys where the other has none
    execute format('select %1$s from (select distinct %2$s from vsync_data.%3$I as v where $1 is null or (%2$s) > (select %4$s) '
        'order by %2$s limit 1 offset $2 - 1) as s',
        vsync_internal.key_text(version.keys, 's'), vsync_internal.key_list(version.keys, 'v.%1$I'), version.data,
        vsync_internal.key_values(version.keys, '$1'))
    into v_stored_to using after_key, max_keys;
    execute format('select u.key from unnest($1) as u (key), lateral (select %s) as k where u.key is not null order by %s limit 1',
        vsync_internal.key_values(version.keys, 'u.key'), vsync_internal.audit_order(version.keys, 'k'))
    into next_key using array[v_stored_to, case when v_rendered.has_more then v_rendered.keys[cardinality(v_rendered.keys)] end];
    execute vsync_internal.audit_query(version, true, next_key is not null, wanted)
    into checked, missing, extra, stale, mixed, held, keys, forced, strange
    using version.data, after_key, next_key, v_rendered.keys, v_rendered.hashes;
end
$$;
comment on function vsync_internal.audit_compare(vsync_internal.versions, text, int, boolean) is
'compares documents with what is stored: all, or a page of at most max_keys of either after after_key; next_key: where the next page begins, null at the end';
