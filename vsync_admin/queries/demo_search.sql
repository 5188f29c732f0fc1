select p.name, p.summary, round(s.distance::numeric, 3) as distance
from vsync.search('package_search', %(query)s, %(k)s) as s
join debian.packages as p on p.name = s.key ->> 'name'
order by s.distance;
