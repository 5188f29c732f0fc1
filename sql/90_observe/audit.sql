create function vsync_internal.audit_version(version vsync_internal.versions, wanted boolean,
    out checked bigint, out missing bigint, out extra bigint, out stale bigint, out mixed bigint, out held bigint,
    out keys text[], out forced boolean[], out strange boolean[])
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_page record;
    v_after text;
begin
    select c.checked, c.missing, c.extra, c.stale, c.mixed, c.held, c.keys, c.forced, c.strange
    into checked, missing, extra, stale, mixed, held, keys, forced, strange
    from vsync_internal.audit_compare(version, null, null, wanted) as c;
exception when data_exception or cardinality_violation or integrity_constraint_violation or plpgsql_error
    or external_routine_exception or program_limit_exceeded then
    -- some document cannot be rendered: by pages, which find out which
    select 0, 0, 0, 0, 0, 0 into checked, missing, extra, stale, mixed, held;
    loop
        select * into v_page from vsync_internal.audit_compare(version, v_after, 10000, wanted);
        checked := checked + v_page.checked;
        missing := missing + v_page.missing;
        extra := extra + v_page.extra;
        stale := stale + v_page.stale;
        mixed := mixed + v_page.mixed;
        held := held + v_page.held;
        keys := keys || v_page.keys;
        forced := forced || v_page.forced;
        strange := strange || v_page.strange;
        v_after := v_page.next_key;
        exit when v_after is null;
    end loop;
end
$$;
comment on function vsync_internal.audit_version(vsync_internal.versions, boolean) is 'compares all of a version; a document that cannot be rendered differs';

create function vsync_internal.audit_repair(version vsync_internal.versions, keys text[], forced boolean[], strange boolean[])
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_key_list text := vsync_internal.key_list(version.keys, 'v.%1$I');
    v_join text := vsync_internal.key_list(version.keys, 'v.%1$I = k.%1$I', ' and ');
    v_values text := vsync_internal.key_values(version.keys, 'u.key');
begin
    if keys is null then
        return 0;
    end if;
    -- in the order in which publish locks
    execute format('select from vsync_data.%I as v, (select %s from unnest($1) as u (key)) as k where %s order by %s, v.chunk for update of v',
        version.data, v_values, v_join, v_key_list) using keys;
    -- what claims to be fresh would be skipped, and what carries the hash of another text would be given to that text
    execute format($sql$
        update vsync_data.%1$I as v
        set document_hash = case when k.is_forced and v.chunk = 0 then '\x' else v.document_hash end,
            content_hash = case when %2$s then '\x' else v.content_hash end
        from (select %3$s, u.is_forced, u.is_strange from unnest($1, $2, $3) as u (key, is_forced, is_strange)) as k
        where %4$s and (k.is_forced and v.chunk = 0 or %2$s)
        $sql$, version.data,
        case when version.chunk is null then '(k.is_strange or case when k.is_forced then v.content_hash <> v.document_hash '
            'else v.content_hash <> sha256(convert_to(v.content, ''UTF8'')) end)'
            else '(k.is_strange or v.content_hash <> sha256(convert_to(v.content, ''UTF8'')))' end,
        v_values, v_join) using keys, forced, strange;
    insert into vsync_internal.log (slot, version_id, op, keys)
    select vsync_internal.slot(), version.id, 'R', array_agg(u.key)
    from unnest(keys) with ordinality as u (key, i) group by (u.i - 1) / 1000;
    return cardinality(keys);
end
$$;
comment on function vsync_internal.audit_repair(vsync_internal.versions, text[], boolean[], boolean[]) is
'marks what differs, through the log, and sees to it that a worker writes it anew. forced: the stored hash says that nothing differs;
strange: the vector is another model''s. Returns the number of keys';

create function vsync_internal.audited_versions(embedding name)
returns setof vsync_internal.versions
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
    v_serving int := (vsync_internal.serving_version(v_embedding.name)).id;
    v_broken text := (select min(p.broken) from vsync_internal.versions as v join vsync_internal.progress as p on p.version_id = v.id
        where v.embedding = v_embedding.name and v.state <> 'dropped' and (v.following or v.id = v_serving));
begin
    if v_broken is not null then
        raise exception using
            errcode = 'VS303',
            message = format('embedding "%s" is broken', embedding),
            detail = v_broken,
            hint = format('select vsync.repair_embedding(%L)', embedding);
    end if;
    -- the root before the vectors, as who drops them takes them
    perform vsync_internal.lock_root(v_embedding.name);
    return query select * from vsync_internal.versions as v
    where v.embedding = v_embedding.name and v.state <> 'dropped' and (v.following or v.id = v_serving) order by v.version;
end
$$;
comment on function vsync_internal.audited_versions(name) is 'the versions of an embedding that are served or follow changes; the root is locked against being dropped';

create function vsync_internal.audit_page(version_id int, after_key text, max_keys int, repair boolean,
    out next_key text, out checked bigint, out missing bigint, out extra bigint, out stale bigint, out mixed bigint, out held bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version vsync_internal.versions;
    v_found record;
begin
    select a.* into v_version from vsync_internal.versions as v, vsync_internal.audited_versions(v.embedding) as a
    where v.id = audit_page.version_id and a.id = v.id;
    if not found then
        raise exception using
            errcode = 'VS401',
            message = 'the version does not exist',
            detail = format('No live version has the number %s.', coalesce(version_id::text, 'null')),
            hint = 'select embedding, version, state from vsync.versions';
    end if;
    select * into v_found from vsync_internal.audit_compare(v_version, after_key, max_keys, repair);
    if repair then
        perform vsync_internal.audit_repair(v_version, v_found.keys, v_found.forced, v_found.strange);
    end if;
    next_key := v_found.next_key;
    checked := v_found.checked;
    missing := v_found.missing;
    extra := v_found.extra;
    stale := v_found.stale;
    mixed := v_found.mixed;
    held := v_found.held;
end
$$;
comment on function vsync_internal.audit_page(int, text, int, boolean) is
'vsync.audit() of one version''s next max_keys keys after after_key, in a snapshot of its own; next_key null: that was the last page';

create function vsync_internal.audit(embedding name, repair boolean)
returns table (version int, checked bigint, missing bigint, extra bigint, stale bigint, mixed bigint, held bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_versions vsync_internal.versions[] := array(select v from vsync_internal.audited_versions(embedding) as v);
    v_found record;
begin
    perform vsync_internal.require_primary() where repair;
    -- one statement: all versions in one snapshot
    for v_found in
        select v_versions[i] as audited, a.*
        from generate_subscripts(v_versions, 1) as i, vsync_internal.audit_version(v_versions[i], repair) as a order by i
    loop
        if repair then
            perform vsync_internal.audit_repair(v_found.audited, v_found.keys, v_found.forced, v_found.strange);
        end if;
        version := (v_found.audited).version;
        checked := v_found.checked;
        missing := v_found.missing;
        extra := v_found.extra;
        stale := v_found.stale;
        mixed := v_found.mixed;
        held := v_found.held;
        return next;
    end loop;
end
$$;
comment on function vsync_internal.audit(name, boolean) is 'the rows of vsync.audit()';

create function vsync.audit(embedding name, repair boolean default false)
returns table (version int, checked bigint, missing bigint, extra bigint, stale bigint, mixed bigint, held bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding vsync_internal.embeddings := vsync_internal.find_embedding(embedding);
begin
    return query select * from vsync_internal.audit(v_embedding.name, repair);
end
$$;
comment on function vsync.audit(name, boolean) is
'Compares every document, rendered now, with what is stored, one row for each version that is served or follows changes, all in one snapshot. missing: has
text and no vectors; extra: stored, and no document; stale: stored for another text, or not whole; mixed: chunks of different renderings, or a
vector that another model''s version of the same table holds for the same text (one of the two is wrong, and both are told); held: kept back by
a rule. Changes that wait for a worker differ too. What it cannot see is a vector overwritten with any other numbers. With repair what differs is
marked, and a worker puts it right. On the command line a large embedding is audited by pages.
Example: select * from vsync.audit(''product_search'')';
