create function vsync_internal.key_types(keys jsonb)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_agg(jsonb_build_array(k -> 'output', k -> 'type', coalesce(k ->> 'collation', '')) order by i)
    from jsonb_array_elements(keys) with ordinality as e (k, i)
$$;
comment on function vsync_internal.key_types(jsonb) is 'what of a key its vector table has: names and types';

create function vsync_internal.drop_serving_view(embedding name)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_view regclass;
    v_grants text[] := '{}';
    v_detail text;
begin
    for v_view in
        select distinct r.ev_class from vsync_internal.versions as v
        join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
            and d.refobjid = to_regclass(format('vsync_data.%I', v.data))
        join pg_rewrite as r on r.oid = d.objid join pg_class as c on c.oid = r.ev_class
        where v.embedding = drop_serving_view.embedding and c.relname = drop_serving_view.embedding
    loop
        v_grants := v_grants || array(
            select format('grant %s on %s to %s', a.privilege_type, v_view, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end)
            from pg_class as c, aclexplode(c.relacl) as a where c.oid = v_view and a.grantee <> c.relowner);
        begin
            execute format('drop view %s', v_view);
        exception when dependent_objects_still_exist then
            get stacked diagnostics v_detail = pg_exception_detail;
            raise exception using
                errcode = 'VS303',
                message = format('the key of "%s" has another type, and views over %s keep it from following', embedding, v_view),
                detail = v_detail,
                hint = format('Drop what reads %s, select vsync.repair_embedding(%L), and create it again.', v_view, embedding);
        end;
    end loop;
    return v_grants;
end
$$;
comment on function vsync_internal.drop_serving_view(name) is 'drops the serving view of an embedding; returns the statements that grant what was granted on it';

create function vsync_internal.rekey(embedding name, keys jsonb)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set "vsync.own_ddl" = 'off'
set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set timezone = 'UTC' set extra_float_digits = 1 set bytea_output = 'hex'
as $$
declare
    v_version vsync_internal.versions;
    v_grants text[] := vsync_internal.drop_serving_view(embedding);
    v_grant text;
    v_keys jsonb;
    v_old name;
    v_columns text;
    v_count int := 0;
begin
    perform vsync_internal.begin_own_ddl();
    for v_version in select * from vsync_internal.versions as v where v.embedding = rekey.embedding and v.state <> 'dropped' order by v.version loop
        execute format('drop function if exists vsync_data.%I(%s)', v_version.data || '_excluded', vsync_internal.key_list(v_version.keys, '%3$s'));
        v_keys := (select jsonb_agg(o.k || jsonb_build_object('type', n.k -> 'type', 'builtin', n.k -> 'builtin', 'collation', n.k -> 'collation') order by o.i)
            from jsonb_array_elements(v_version.keys) with ordinality as o (k, i)
            join jsonb_array_elements(rekey.keys) with ordinality as n (k, i) using (i));
        if to_regclass(format('vsync_data.%I', v_version.data)) is not null then
            v_old := v_version.data || '_old';
            execute format('drop policy if exists visible_in_root on vsync_data.%I', v_version.data);
            execute format('drop function if exists vsync_data.%I(%s)', v_version.data || '_visible', vsync_internal.key_list(v_version.keys, '%3$s'));
            execute format('drop function if exists vsync_data.%I(%s)', v_version.data || '_moved', vsync_internal.key_list(v_version.keys, '%3$s'));
            execute format('alter table vsync_data.%I rename to %I', v_version.data, v_old);
            perform vsync_internal.make_vectors(v_version.data, v_keys,
                (select m.dimensions from vsync_internal.models as m where m.id = v_version.model_id));
            v_columns := (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute as a
                where a.attrelid = format('vsync_data.%I', v_old)::regclass and a.attnum > jsonb_array_length(v_keys) and not a.attisdropped);
            begin
                execute format('insert into vsync_data.%I (%s, %s) select %s, %s from (select %s as vsync_key, v.* from vsync_data.%I as v) as o on conflict do nothing',
                    v_version.data, vsync_internal.key_list(v_keys, '%1$I'), v_columns,
                    vsync_internal.key_values(v_keys, 'o.vsync_key'), v_columns, vsync_internal.key_text(v_version.keys, 'v'), v_old);
            exception when data_exception then
                null; -- no key of the old type is one of the new: every text is embedded again
            end;
            execute format('drop table vsync_data.%I', v_old);
        end if;
        update vsync_internal.versions as v set keys = v_keys where v.id = v_version.id returning v.* into v_version;
        perform vsync_internal.put_missing(v_version);
        perform vsync_internal.put_policy(v_version);
        perform vsync_internal.put_excluded(v_version);
        v_count := v_count + 1;
    end loop;
    perform vsync_internal.replace_view(embedding);
    foreach v_grant in array v_grants loop
        execute v_grant;
    end loop;
    return v_count;
end
$$;
comment on function vsync_internal.rekey(name, jsonb) is
'gives the vector tables of an embedding keys of other types: the vectors are copied, and a worker builds the indexes. Makes the serving view again; returns the
number of versions';
