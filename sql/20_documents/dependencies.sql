create function vsync_internal.put_dependencies(version_id int, analysis jsonb)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_new vsync_internal.dependencies[];
    v_gone bigint;
    v_count bigint;
begin
    v_new := array(
        select row(put_dependencies.version_id, (d ->> 'number')::int, (d ->> 'relation_oid')::oid, d ->> 'alias', d -> 'keys',
            array(select c from jsonb_array_elements_text(d -> 'columns') as c order by c), (d ->> 'whole_row')::boolean,
            (d ->> 'declared')::boolean, array(select s from jsonb_array_elements_text(d -> 'path') as s), null)::vsync_internal.dependencies
        from (
            select jsonb_build_object('number', 0, 'relation_oid', analysis -> 'root_oid', 'alias', analysis -> 'root_name', 'keys', analysis -> 'keys',
                'columns', analysis -> 'columns', 'whole_row', analysis -> 'whole_row', 'declared', false, 'path', '[]'::jsonb)
            union all select * from jsonb_array_elements(analysis -> 'dependencies')) as a (d));
    delete from vsync_internal.dependencies as d
    where d.version_id = put_dependencies.version_id and not exists (
        select from unnest(v_new) as n where n.number = d.number and n.relation = d.relation and jsonb_array_length(n.keys) = jsonb_array_length(d.keys));
    get diagnostics v_gone = row_count;
    insert into vsync_internal.dependencies as d select (unnest(v_new)).*
    on conflict on constraint dependencies_pkey do update
    set keys = excluded.keys, columns = excluded.columns, whole_row = excluded.whole_row, alias = excluded.alias, path = excluded.path
    where (d.keys, d.columns, d.whole_row, d.path) is distinct from (excluded.keys, excluded.columns, excluded.whole_row, excluded.path);
    get diagnostics v_count = row_count;
    return v_gone + v_count > 0;
end
$$;
comment on function vsync_internal.put_dependencies(int, jsonb) is
'writes down what a document depends on, from its analysis; feeds stay as they are. Returns whether anything is different';
