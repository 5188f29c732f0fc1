select e.embedding, e.version, e.label, e.state, e.documents, e.vectors, e.pending, e.oldest_pending_age, e.failed, q.parked,
    q.claimed, e.embedded_total, e.inference_total, e.skipped_total, e.reused_total, e.truncated, e.backfill_phase,
    e.indexed, q.unfolded_rows, q.workers, e.last_error, e.last_error_at
from vsync.stat_embeddings as e
join vsync.stat_queue as q using (embedding, version)
where %(embedding)s::name is null or e.embedding = %(embedding)s
order by e.embedding, e.version;
