create function vsync_internal.waiting(hold vsync_internal.holds, out documents bigint, out keys text[])
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- of what is still to be found along a path, the change's own count is known
    select case when hold.state <> 'waiting' then hold.documents else m.documents + p.documents end, case when hold.state <> 'waiting' then hold.sample else m.keys end
    from (select count(*) as documents, (array_agg(k.key order by k.key))[:5] as keys from vsync_internal.marks as k where k.hold_id = hold.id) as m,
        (select coalesce(sum(coalesce(g.documents, case when g.dependency is null then cardinality(g.keys) end)), 0) as documents
            from vsync_internal.pages as g where g.hold_id = hold.id) as p
$$;
comment on function vsync_internal.waiting(vsync_internal.holds) is 'how many documents wait under a hold, and the keys of some; of a decided one, how many did';
