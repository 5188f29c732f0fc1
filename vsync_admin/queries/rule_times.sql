select max(t.text) filter (where t.place = 1) as valid_from, max(t.text) filter (where t.place = 2) as valid_until
from (
    select g.place, to_char(g.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"') as text
    from unnest(array[%s, %s]::timestamptz[]) with ordinality as g (at, place)
    where isfinite(g.at)) as t;
