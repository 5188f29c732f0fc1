-- A change of a column's type is refused while a view, a function or a policy reads the column. What of vsync reads a table's columns is taken down
-- for the change, and comes back at COMMIT where the change was made in the same transaction, else when a worker or resume_table() finds it made.
create function vsync_internal.check_release(relation regclass, role name)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_embedding name;
    v_owner oid;
begin
    -- whoever owns a partition alone cannot alter what the document reads
    for v_embedding, v_owner in
        select distinct v.embedding, c.relowner from vsync_internal.dependencies as d
        join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
        left join pg_class as c on c.oid = d.relation
        where d.relation = any (vsync_internal.released_with(check_release.relation)) order by 1
    loop
        if not pg_has_role(role, coalesce(v_owner, 0), 'member')
            and not pg_has_role(role, vsync_internal.owner_of(v_embedding), 'member') then
            raise exception using
                errcode = 'VS002',
                message = format('permission denied to release or resume %s', relation),
                detail = format('"%s" is a member neither of its owner nor of "%s", which embedding "%s" belongs to.', role,
                    vsync_internal.owner_of(v_embedding), v_embedding),
                hint = format('grant %I to %I', vsync_internal.owner_of(v_embedding), role);
        end if;
    end loop;
    return true;
end
$$;
comment on function vsync_internal.check_release(regclass, name) is
'who releases a table owns it, and could break what reads it by DDL as well, or owns the embeddings';

create function vsync_internal.released_with(relation regclass)
returns regclass[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array(select relation union select pg_partition_root(relation) where pg_partition_root(relation) is not null order by 1)
$$;
comment on function vsync_internal.released_with(regclass) is 'the tables under whose names documents read a relation: itself, and what it is a partition of';

create function vsync_internal.lock_for_release(relation regclass, version_ids int[])
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_end timestamptz := clock_timestamp() + interval '10 s';
    v_data name;
begin
    loop
        execute format('lock table %s in access exclusive mode', relation);
        begin
            for v_data in
                select v.data from vsync_internal.versions as v where v.id = any (version_ids) and to_regclass(format('vsync_data.%I', v.data)) is not null order by v.id
            loop
                execute format('lock table vsync_data.%I in access exclusive mode nowait', v_data);
            end loop;
            return true;
        exception when lock_not_available then
            if clock_timestamp() > v_end then
                raise exception using
                    errcode = 'VS303',
                    message = format('%s cannot be released now', relation),
                    detail = 'A search, or a worker that waits for this transaction, uses the vectors.',
                    hint = 'Release at the beginning of the transaction: begin; select vsync.release_table(…); alter table …; commit';
            end if;
        end;
        perform pg_sleep(0.01);
    end loop;
end
$$;
comment on function vsync_internal.lock_for_release(regclass, int[]) is 'locks a table and vector tables: tables before progress, as workers take them';

create function vsync_internal.release_table(relation regclass)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
set client_min_messages = 'warning' -- of what is not there to be dropped nobody is told
as $$
declare
    v_version vsync_internal.versions;
    v_ids int[];
begin
    perform vsync_internal.begin_own_ddl();
    perform vsync_internal.check_release(relation, session_user);
    v_ids := array(
        select distinct d.version_id from vsync_internal.dependencies as d join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
        where d.relation = any (vsync_internal.released_with(release_table.relation)) order by 1);
    if v_ids = '{}' then
        return 0;
    end if;
    perform vsync_internal.lock_for_release(relation, v_ids);
    for v_version in select * from vsync_internal.versions as v where v.id = any (v_ids) order by v.id loop
        if not vsync_internal.is_down(v_version.id) then
            perform vsync_internal.take_down(v_version.id, format('%s is released', relation), true);
        else
            perform vsync_internal.put_policy(v_version);
        end if;
        insert into vsync_internal.releases as r (version_id, shape) values (v_version.id, vsync_internal.shape(v_version.id))
        -- what was altered before this transaction is no reason to resume at its end
        on conflict on constraint releases_pkey do update set at = excluded.at, shape = case when r.at < now() then excluded.shape else r.shape end;
    end loop;
    return cardinality(v_ids);
end
$$;
comment on function vsync_internal.release_table(regclass) is 'takes down the versions whose documents read a table';

create function vsync.release_table(relation regclass)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform vsync_internal.check_release(relation, current_user);
    return vsync_internal.release_table(relation);
end
$$;
comment on function vsync.release_table(regclass) is
'Lets a table be altered that embeddings read: takes down what depends on the types of its columns, and keeps definitions and vectors. Meanwhile deletes are
followed, and all that is served counts as stale. At COMMIT everything comes back if the table was altered in the same transaction; else call
vsync.resume_table(), or a worker does it a few minutes later. Unchanged text is not embedded again. For the owner of the table or of the embeddings. Returns
the number of versions.
Example: begin; select vsync.release_table(''shop.products''); alter table shop.products alter column id type bigint; commit';

create function vsync_internal.released_versions(relation regclass)
returns table (id int, data name, document text, options jsonb, owner name, plain boolean)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select v.id, v.data, vsync_internal.definition(v), e.options, vsync_internal.owner_of(e.name), vsync_internal.is_plain(vsync_internal.definition(v), e.options)
    from vsync_internal.releases as r
    join vsync_internal.versions as v on v.id = r.version_id and v.state <> 'dropped'
    join vsync_internal.embeddings as e on e.name = v.embedding
    where released_versions.relation is null and pg_has_role(session_user, vsync_internal.owner_of(e.name), 'member')
        or exists (select from vsync_internal.dependencies as d
            where d.version_id = v.id and d.relation = any (vsync_internal.released_with(released_versions.relation)))
    order by v.id;
end
$$;
comment on function vsync_internal.released_versions(regclass) is 'released versions that read a table; null: all that are the session''s to resume';

create function vsync_internal.resume_version(version_id int, relation regclass, stage name)
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owner name := vsync_internal.owner_of((select v.embedding from vsync_internal.versions as v where v.id = resume_version.version_id));
begin
    if resume_version.relation is null or stage is not null or not exists (select from vsync_internal.dependencies as d
        where d.version_id = resume_version.version_id and d.relation = any (vsync_internal.released_with(resume_version.relation))) then
        perform vsync_internal.require_owner(v_owner, 'resume this version');
    else
        perform vsync_internal.check_release(relation, session_user);
    end if;
    if stage is not null and vsync_internal.stage_owner(stage) <> v_owner then
        perform vsync_internal.require_owner(null, 'resume this version');
    end if;
    return exists (select from vsync_internal.releases as r where r.version_id = resume_version.version_id) and vsync_internal.put_up(version_id, stage);
end
$$;
comment on function vsync_internal.resume_version(int, regclass, name) is 'follows a released version again';

create function vsync.resume_table(relation regclass default null)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_version record;
    v_stage name;
    v_count int := 0;
begin
    if relation is not null then
        perform vsync_internal.check_release(relation, current_user);
    end if;
    for v_version in select * from vsync_internal.released_versions(relation) loop
        continue when relation is null and not pg_has_role(current_user, v_version.owner, 'member');
        v_stage := null;
        if not v_version.plain and current_user = v_version.owner then
            v_stage := vsync_internal.open_stage(current_user);
            perform vsync_internal.declare_document(v_version.data, v_stage, v_version.document, v_version.options);
        end if;
        v_count := v_count + vsync_internal.resume_version(v_version.id, relation, v_stage)::int;
    end loop;
    return v_count;
end
$$;
comment on function vsync.resume_table(regclass) is
'Follows again what vsync.release_table() took down: analyses the documents, captures their tables, and has every document looked at; unchanged text is not
embedded again. A key of another type gets a new vector table, into which the vectors are copied. Without an argument everything that is the caller''s. Returns the
number of versions.
Example: select vsync.resume_table(''shop.products'')';

create function vsync_internal.resume_at_commit()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_message text;
    v_detail text;
begin
    if vsync_internal.is_restored() or not exists (select from vsync_internal.releases as r
        where r.version_id = new.version_id and r.shape is distinct from vsync_internal.shape(new.version_id)) then
        return null;
    end if;
    begin
        perform vsync_internal.put_up(new.version_id);
    exception when others then
        get stacked diagnostics v_message = message_text, v_detail = pg_exception_detail;
        v_message := concat_ws(': ', v_message, nullif(v_detail, ''));
        update vsync_internal.progress as p set last_error = v_message, last_error_at = clock_timestamp() where p.version_id = new.version_id;
        raise warning 'vsync: what was released stays so: %', v_message using hint = 'select * from vsync.doctor() where level = ''error''';
    end;
    return null;
end
$$;
comment on function vsync_internal.resume_at_commit() is
'where the transaction that released a table altered it, too, follows what reads it again; what fails stays released, and the transaction commits';

create constraint trigger resume_at_commit after insert or update on vsync_internal.releases
deferrable initially deferred for each row execute function vsync_internal.resume_at_commit();
alter table vsync_internal.releases enable always trigger resume_at_commit;
