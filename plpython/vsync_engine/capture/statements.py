"""The statements by which the slot is read.

Documents run their owners' code in the worker's session, which may leave a search_path behind: every name is qualified.
"""

from vsync_engine.foundation.host import Statement

WAL_ADVANCE = Statement("select vsync_internal.wal_advance()")
WAL_APPEND = Statement("select vsync_internal.wal_append($1, $2)", ("pg_catalog.int4", "pg_catalog.text"))
WAL_BEGIN = Statement("select * from vsync_internal.wal_begin($1, $2)", ("pg_catalog.int8", "pg_catalog.int8"))
WAL_CONFIRM = Statement(
    "select vsync_internal.wal_confirm($1, $2, $3, $4)",
    ("pg_catalog.int8", "pg_catalog.int8", "pg_catalog.int8", "pg_catalog.int8"),
)
WAL_DROP = Statement("select vsync_internal.wal_drop()")
WAL_DUTY = Statement("select vsync_internal.wal_duty($1, $2)", ("pg_catalog.int8", "pg_catalog.bool"))
WAL_FAILED = Statement(
    "select vsync_internal.wal_failed($1, pg_catalog.make_interval(secs => $2))",
    ("pg_catalog.text", "pg_catalog.float8"),
)
WAL_FEEDS = Statement("select * from vsync_internal.wal_feeds()")
WAL_INSPECT = Statement("select vsync_internal.wal_inspect()")
WAL_LOSE = Statement("select vsync_internal.wal_lose($1)", ("pg_catalog.text",))
WAL_MAKE = Statement("select vsync_internal.wal_make()")
WAL_PEEK = Statement("select data from vsync_internal.wal_peek($1) as p (data)", ("pg_catalog.int8",))
WAL_REACHED = Statement(
    "select vsync_internal.wal_reached($1, $2, $3)", ("pg_catalog.int8", "pg_catalog.int8", "pg_catalog.bool")
)
WAL_REVIEW = Statement("select vsync_internal.wal_review($1)", ("pg_catalog.int4[]",))
WAL_SYNC = Statement("select vsync_internal.sync_publication()")
WAL_TARGET = Statement("select vsync_internal.wal_target()")
