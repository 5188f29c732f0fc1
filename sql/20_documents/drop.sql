create function vsync.drop_embedding(name name, if_exists boolean default false)
returns name
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- under SET ROLE the session's own rights do not count
    perform vsync_internal.require_owner(e.owner, format('drop embedding "%s"', e.name)) from vsync.embeddings as e where e.name = drop_embedding.name;
    return vsync_internal.drop_embedding(name, if_exists);
end
$$;
comment on function vsync.drop_embedding(name, boolean) is
'Drops an embedding with its vectors, view and capture; the source table stays as it is. Returns the name, null where there was none.
Example: select vsync.drop_embedding(''product_search'')';

create function vsync_internal.drop_objects(version vsync_internal.versions)
returns name
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
set client_min_messages = 'warning' -- of what is not there to be dropped nobody is told
as $$
declare
    v_reader regprocedure;
begin
    perform vsync_internal.begin_own_ddl();
    execute format('drop table if exists vsync_data.%I, vsync_data.%I', version.data, vsync_internal.counter_name(version));
    for v_reader in
        select p.oid::regprocedure from pg_proc as p, (
            select unnest(vsync_internal.reader_suffixes() || array['_excluded', '_hides', '_visible', '_moved'])
            union all select '_delta_' || d.number from vsync_internal.dependencies as d where d.version_id = version.id) as f (suffix)
        where p.pronamespace = 'vsync_data'::regnamespace and p.proname = version.data || f.suffix
    loop
        execute format('drop function %s', v_reader);
    end loop;
    execute format('drop view if exists vsync_data.%I', version.data || '_document');
    return version.data;
end
$$;
comment on function vsync_internal.drop_objects(vsync_internal.versions) is 'drops a version''s vector table, document and the functions that read it';

create function vsync_internal.forget(version_ids int[])
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    -- in the order in which workers lock: pages, leases, marks by key
    delete from vsync_internal.pages as p where p.version_id = any (version_ids);
    delete from vsync_internal.leases as l where l.version_id = any (version_ids);
    perform from vsync_internal.marks as m where m.version_id = any (version_ids) order by m.version_id, m.key for update;
    delete from vsync_internal.marks as m where m.version_id = any (version_ids);
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.forget(int[]) is 'empties the queue of versions; returns the number of marks';

create function vsync_internal.drop_embedding(name name, if_exists boolean)
returns name
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
as $$
declare
    v_embedding vsync_internal.embeddings;
    v_version vsync_internal.versions;
    v_view regclass;
    v_relation regclass;
    v_relations regclass[];
    v_ids int[];
    v_locked boolean;
begin
    perform vsync_internal.begin_own_ddl();
    -- who may not, or has nothing to drop, gets no lock that its transaction would keep
    if exists (select from vsync_internal.embeddings as e where e.name = drop_embedding.name) or not if_exists then
        perform vsync_internal.require_owner((vsync_internal.find_embedding(name)).owner, format('drop embedding "%s"', name));
        perform vsync_internal.lock_row('embedding', name);
    end if;
    if if_exists and not exists (select from vsync_internal.embeddings as e where e.name = drop_embedding.name) then
        raise notice 'embedding "%" does not exist, skipping', name;
        return null;
    end if;
    v_embedding := vsync_internal.find_embedding(name);
    perform vsync_internal.require_owner(v_embedding.owner, format('drop embedding "%s"', name));
    v_ids := array(select v.id from vsync_internal.versions as v where v.embedding = drop_embedding.name);
    v_relations := array(select distinct d.relation from vsync_internal.dependencies as d where d.version_id = any (v_ids) order by 1);
    loop
        begin
            v_locked := false;
            -- the tables before the vectors, as workers take them; where a capture ends its triggers are dropped
            for v_relation in
                select c.oid from unnest(v_relations) as r (oid) join pg_class as c on c.oid = r.oid
                where not exists (select from vsync_internal.dependencies as d where d.relation = r.oid and d.version_id <> all (v_ids))
                order by c.oid = v_embedding.root desc, c.oid
            loop
                execute format('lock table %s in access exclusive mode', v_relation);
            end loop;
            -- a fold that has seen the embedding adds its marks before they are deleted here
            perform vsync_internal.lock_table('fold');
            v_locked := true;
            perform from vsync_internal.pages as p where p.version_id = any (v_ids) for update nowait;
            exit;
        exception when lock_not_available then
            if not v_locked then
                raise;
            end if;
            -- a worker at a page reads the tables: it goes on once they are let go
            perform pg_sleep(0.01);
        end;
    end loop;
    -- the root may be gone, or in another schema than its view by now
    for v_view in
        select distinct r.ev_class from vsync_internal.versions as v
        join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
            and d.refobjid = to_regclass(format('vsync_data.%I', v.data))
        join pg_rewrite as r on r.oid = d.objid join pg_class as c on c.oid = r.ev_class
        where v.embedding = drop_embedding.name and c.relname = drop_embedding.name
    loop
        execute format('drop view %s', v_view);
    end loop;
    for v_version in select * from vsync_internal.versions as v where v.embedding = drop_embedding.name loop
        perform vsync_internal.drop_objects(v_version);
    end loop;
    perform vsync_internal.forget(v_ids);
    delete from vsync_internal.embeddings as e where e.name = drop_embedding.name;
    delete from vsync_internal.activations as a where a.embedding = drop_embedding.name;
    perform vsync_internal.forget_rules(name);
    delete from vsync_internal.comparisons as c where c.embedding = drop_embedding.name;
    delete from vsync_internal.outcomes as o using vsync_internal.experiments as x where x.id = o.experiment_id and x.embedding = drop_embedding.name;
    delete from vsync_internal.experiments as x where x.embedding = drop_embedding.name;
    delete from vsync_internal.judgements as j where j.embedding = drop_embedding.name;
    delete from vsync_internal.serving as s where s.embedding = drop_embedding.name;
    delete from vsync_internal.versions as v where v.id = any (v_ids);
    delete from vsync_internal.dependencies as d where d.version_id = any (v_ids);
    perform vsync_internal.forget_names(variadic v_ids);
    delete from vsync_internal.progress as p where p.version_id = any (v_ids);
    perform vsync_internal.sync_capture(r) from unnest(v_relations) as r;
    perform vsync_internal.let_readers_end(v_embedding.owner);
    return name;
end
$$;
comment on function vsync_internal.drop_embedding(name, boolean) is 'removes everything an embedding made';
