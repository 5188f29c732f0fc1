select c.relation::oid::bigint as relation, c.relation::text as name
from (
    select to_regclass(n.name) as relation from unnest(%(names)s::text[]) as n (name)
    union select t.name::regclass from unnest(%(tables)s::text[]) as t (name)) as c
where c.relation is not null
order by c.relation
