select r.name::text as name, r.embedding::text as embedding, r.condition, r.action, r.params, r.priority, t.valid_from, t.valid_until, r.enabled
from vsync.rules as r
cross join lateral (
    select max(g.text) filter (where g.place = 1) as valid_from, max(g.text) filter (where g.place = 2) as valid_until
    from (
        -- one form, whatever the session shows
        select u.place, to_char(u.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"') as text
        from unnest(array[r.valid_from, r.valid_until]) with ordinality as u (at, place)
        where isfinite(u.at)) as g) as t
where %(embedding)s::name is null or r.embedding = %(embedding)s
order by r.name;
