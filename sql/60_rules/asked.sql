create function vsync_internal.asked_dependencies()
returns table (version_id int, number int, counts boolean)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select d.version_id, d.number, bool_or(r.params ? 'over' or r.columns -> 'change' ? 'documents')
    from vsync_internal.rules as r
    join vsync_internal.embeddings as e on e.name = r.embedding
    join vsync_internal.versions as v on v.embedding = e.name and v.state <> 'dropped'
    join vsync_internal.progress as p on p.version_id = v.id and p.broken is null
    join vsync_internal.dependencies as d on d.version_id = v.id and vsync_internal.asks(r, d.relation, e.root)
    where r.broken is null and vsync_internal.is_in_force(r)
    group by d.version_id, d.number;
end
$$;
comment on function vsync_internal.asked_dependencies() is
'tables of documents about whose changes rules have to be asked. counts: they ask how many documents a change leads to';

create function vsync_internal.fold_asked(last pg_snapshot, now pg_snapshot, generation bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    insert into vsync_internal.pages (version_id, dependency, generation, captured_at, keys, images, op, xid, documents, lane)
    with changed as materialized (
        select l.* from vsync_internal.log as l
        where l.images is not null and (last is null or not pg_visible_in_snapshot(l.xid, last)) and pg_visible_in_snapshot(l.xid, now)),
    counted as (
        select c.feed_id, coalesce(c.source, c.xid) as source, count(distinct u.key collate "C") as documents
        from changed as c, unnest(c.keys) as u (key)
        where c.feed_id in (select d.feed_id from vsync_internal.asked_dependencies() as a
            join vsync_internal.dependencies as d on d.version_id = a.version_id and d.number = 0 where a.number = 0 and a.counts)
        group by c.feed_id, coalesce(c.source, c.xid))
    select a.version_id, nullif(a.number, 0), generation, c.captured_at, c.keys, c.images, c.op, coalesce(c.source, c.xid), n.documents, (cardinality(c.keys) >= 100)::int
    from changed as c
    join vsync_internal.dependencies as d on d.feed_id = c.feed_id
    join vsync_internal.asked_dependencies() as a on a.version_id = d.version_id and a.number = d.number
    left join counted as n on n.feed_id = c.feed_id and n.source = coalesce(c.source, c.xid) and a.number = 0;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function vsync_internal.fold_asked(pg_snapshot, pg_snapshot, bigint) is
'the part of the fold that rules have a say in: a page a log row, to be decided on before anything is marked';
