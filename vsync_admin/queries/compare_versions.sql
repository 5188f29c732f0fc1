select c.query, c.overlap, c.rbo, c.rank_shift, c.answers_a, c.answers_b, c.ndcg_a, c.ndcg_b, c.recall_a, c.recall_b
from vsync.compare_versions(%(embedding)s::name, %(version_a)s::int, %(version_b)s::int, %(queries)s::text[], %(k)s::int) as c;
