select p.phase, p.blocks_done as done, nullif(p.blocks_total, 0) as total
from pg_catalog.pg_stat_progress_create_index as p where p.pid = %s
