select r.relation::oid::bigint as relation, v.data
from (select %s::oid::regclass as relation) as r
cross join lateral vsync_internal.released_versions(r.relation) as v
order by v.id
