select f.embedding, f.version, f.key::text as key, f.attempts, f.parked as quarantined, f.sqlstate, f.message, f.detail,
    round(extract(epoch from f.next_attempt_at - clock_timestamp()), 1)::float8 as next_attempt_in,
    max(f.failed_at) over ()::text as newest
from vsync.failures as f
where (%(embedding)s::name is null or f.embedding = %(embedding)s)
    and (%(since)s::timestamptz is null or f.failed_at > %(since)s::timestamptz)
order by f.failed_at desc, f.embedding, f.version
limit %(most)s + 1;
