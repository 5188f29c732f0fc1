select c.query, c.overlap, c.rbo, c.rank_shift, c.answers_a, c.answers_b
from vsync.compare_versions(%(embedding)s::name, %(version_a)s::int, %(version_b)s::int, %(queries)s::text[], %(k)s::int) as c;
