create function vsync_internal.lock_root(embedding name)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_root regclass := (select e.root from vsync_internal.embeddings as e where e.name = lock_root.embedding);
begin
    loop
        begin
            execute format('lock table %s in access share mode', v_root);
            return;
        exception when undefined_table then
            -- renamed since its name was looked up
            if not exists (select from pg_class as c where c.oid = v_root) then
                raise;
            end if;
        end;
    end loop;
end
$$;
comment on function vsync_internal.lock_root(name) is 'keeps an embedding''s root table from being dropped or rewritten, whatever its name is by now';

create function vsync_internal.render(token bigint, keys text[])
returns table (key text, content text, hash text, further text, mark text, doc text, last text, made text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_version vsync_internal.versions;
    v_places jsonb;
    v_reads text[];
    v_same text[];
    v_gone text[];
    v_held text[];
    v_twice text;
    v_root regclass;
    v_made text;
    v_moved text[];
    v_made_from bytea[];
    v_changed vsync_internal.rendered[];
begin
    select v.* into v_version from vsync_internal.leases as l
    join vsync_internal.versions as v on v.id = l.version_id where l.token = render.token;
    if not found then
        return;
    end if;
    -- the root before the vectors, as who drops them takes them
    perform vsync_internal.lock_root(v_version.embedding);
    if vsync_internal.is_down(v_version.id) then
        perform vsync_internal.release(token);
        return;
    end if;
    -- whoever keeps publish from writing is met here, before the model has run for nothing
    execute format('lock table vsync_data.%I in row exclusive mode', v_version.data);
    v_places := vsync_internal.key_places(v_version.keys);
    v_reads := vsync_internal.document_reads(v_version.embedding);
    v_root := (select e.root from vsync_internal.embeddings as e where e.name = v_version.embedding);
    v_made := vsync_internal.made_of(v_root, 'o');
    -- no row is locked here: the marks' generations were taken by the claim, so this snapshot is the younger one. Marks and vectors are looked
    -- up one by one: what statistics say of a queue, or of a table that is just being filled, is no ground for reading all of it
    execute format($sql$
        with claimed as materialized (select k.key, %1$s from unnest($1) as k (key)),
        rendered as materialized (
            select r.key as text, %2$s, r.content, r.further, sha256(convert_to(r.content, 'UTF8')) as hash
            from vsync_internal.call_render(%3$L, $1, vsync_internal.ticket(%3$L)) as r),
        verdict as (
            select c.key, r.content, r.hash, r.further, v.document_hash, p.made, p.moved, %7$s,
                case when r.content is null or r.content = '' then 'gone' when r.hash = v.document_hash and case when m.verdict = 'refresh' then vsync_internal.is_forced(m.mark) end is not true then 'same'
                    -- who sees the row now sees no other text until then
                    when p.moved and m.verdict in ('skip', 'defer') then 'changed'
                    when m.looking and $3 is null then 'held' else 'changed' end as verdict
            from claimed as c
            left join lateral (select w.verdict, w.rule_id, w.also, w.held_until, w.looking, w as mark
                from vsync_internal.marks as w where w.version_id = $2 and w.key = c.key offset 0) as m on true
            left join rendered as r using (%4$s)
            left join lateral (select t.* from vsync_data.%5$I as t where %6$s and t.chunk = 0 offset 0) as v on true
            %8$s)
        select array_agg(key) filter (where verdict = 'same'),
            -- under a new key the same text may take these vectors: they go with the next claim
            array_agg(key) filter (where verdict = 'gone'
                and not coalesce(document_hash in (select n.hash from verdict as n where n.verdict = 'changed'), false)),
            array_agg(row(key, content, encode(hash, 'hex'), further, mark, doc, last, encode(made, 'hex'))::vsync_internal.rendered order by key) filter (where verdict = 'changed'),
            array_agg(key) filter (where verdict = 'held'),
            array_agg(key order by key) filter (where moved and hash = document_hash), array_agg(made order by key) filter (where moved and hash = document_hash),
            (select r.text from rendered as r group by r.text having count(*) > 1 limit 1)
        from verdict
        $sql$,
        vsync_internal.key_values(v_places, 'k.key'), vsync_internal.key_values(v_places, 'r.key'), v_version.data,
        vsync_internal.key_list(v_places, '%1$I'), v_version.data,
        vsync_internal.key_list(v_version.keys, 't.%1$I = c.k%4$s', ' and '), vsync_internal.rule_parts(v_version, v_reads),
        case when v_made is null then 'cross join (select null::bytea as made, false as moved) as p' else format(
            'left join lateral (select h.made, v.document_hash is not null and v.made_from is distinct from h.made as moved '
            'from (select %s as made from %s as o where %s offset 0) as h) as p on true', v_made, v_root, vsync_internal.key_list(v_version.keys, 'o.%2$I = c.k%4$s', ' and ')) end)
    into v_same, v_gone, v_changed, v_held, v_moved, v_made_from, v_twice using keys, v_version.id, v_reads;
    if v_twice is not null then
        raise exception using
            errcode = 'VS206',
            message = 'the document query returns several rows for one key',
            detail = format('The key is %s.', v_twice),
            hint = 'Group by the key, or join rows that are unique for it.';
    end if;
    if num_nonnulls(v_gone, v_same, v_held, v_moved) > 1 then
        -- all marks at once: who locks them out of order waits for a fold that waits for it
        perform from vsync_internal.owned(v_version.id, v_gone || v_same || v_held || v_moved, token);
    end if;
    if v_gone is not null then
        perform vsync_internal.erase(v_version, token, v_gone);
    end if;
    if v_moved is not null then
        perform vsync_internal.remake(v_version, token, v_moved, v_made_from);
    end if;
    if v_same is not null then
        perform vsync_internal.settle(token, v_version.id, v_same);
        update vsync_internal.progress as p
        set skipped_total = p.skipped_total + cardinality(v_same),
            rate = vsync_internal.rate(p.rate, p.rate_at, cardinality(v_same), clock_timestamp()), rate_at = clock_timestamp()
        where p.version_id = v_version.id;
    end if;
    if v_held is not null then
        perform vsync_internal.hold_back(token, v_version.id, v_held);
    end if;
    return query
    select c.key, c.content, c.hash, c.further, c.mark, c.doc, c.last, c.made from unnest(v_changed) as c;
end
$$;
comment on function vsync_internal.render(bigint, text[]) is
'renders claimed documents with their owner''s rights. Finishes those that are gone (their vectors go), unchanged, or held back by a rule; returns the rest.
further: the document''s other columns. mark, doc, last: what rules of stage document are asked of, null where there are none.
made: what decides who may read the text';

create function vsync_internal.remake(version vsync_internal.versions, token bigint, keys text[], made bytea[])
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owned text[] := array(select o.key from vsync_internal.owned(version.id, remake.keys, remake.token) as o);
    v_count bigint;
begin
    execute format('update vsync_data.%I as v set made_from = m.made from (select k.made, %s from unnest($1, $2) as k (key, made) where k.key = any ($4)) as m '
        'where %s and v.token <= $3', version.data, vsync_internal.key_values(vsync_internal.key_places(version.keys), 'k.key'),
        vsync_internal.key_list(version.keys, 'v.%1$I = m.k%4$s', ' and '))
    using remake.keys, made, token, v_owned;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.remake(vsync_internal.versions, bigint, text[], bytea[]) is
'writes what decides who may read a text that has stayed the same, of keys that a claim still owns; returns the number of vectors';

create function vsync_internal.erase(version vsync_internal.versions, token bigint, keys text[])
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owned text[];
    v_count bigint;
begin
    v_owned := array(select o.key from vsync_internal.owned(version.id, erase.keys, erase.token) as o);
    execute format('delete from vsync_data.%I as v using (select %s from unnest($1) as k (key)) as k where %s and v.token <= $2',
        version.data, vsync_internal.key_values(version.keys, 'k.key'),
        vsync_internal.key_list(version.keys, 'v.%1$I = k.%1$I', ' and '))
    using v_owned, token;
    get diagnostics v_count = row_count;
    perform vsync_internal.settle(token, version.id, v_owned);
    return v_count;
end
$$;
comment on function vsync_internal.erase(vsync_internal.versions, bigint, text[]) is
'deletes the vectors of claimed keys that are documents no more; returns the number of vectors';
