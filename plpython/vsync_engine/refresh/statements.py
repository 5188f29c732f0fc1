"""The statements of the worker: each calls one function of the queue's or the refresh's SQL.

Documents run their owners' code in the worker's session, which may leave a search_path behind: every name is qualified.
"""

from vsync_engine.foundation.host import Statement

ADOPT = Statement("select vsync_internal.adopt()")
WATCH_CAPTURES = Statement("select vsync_internal.watch_captures()")
ATTEND_RULES = Statement("select vsync_internal.attend_rules()")
BACKFILL = Statement("select vsync_internal.backfill($1)", ("pg_catalog.int4",))
BACK_OFF = Statement(
    "select vsync_internal.back_off($1, $2, pg_catalog.make_interval(secs => $3))",
    ("pg_catalog.int4", "pg_catalog.jsonb", "pg_catalog.float8"),
)
BEGIN_WORK = Statement("select vsync_internal.begin_work()")
BUILD_INDEX = Statement("select vsync_internal.build_index($1)", ("pg_catalog.int4",))
CLAIM = Statement(
    "select token, keys from vsync_internal.claim($1, $2, $3)",
    ("pg_catalog.int4", "pg_catalog.int4", "pg_catalog.int4"),
)
DUTIES = Statement("select * from vsync_internal.duties($1)", ("pg_catalog.name",))
END_WORK = Statement("select vsync_internal.end_work()")
EXISTS = Statement("select name from vsync_internal.find_embedding($1)", ("pg_catalog.name",))
EXPAND = Statement("select vsync_internal.expand($1)", ("pg_catalog.int4",))
FAIL = Statement("select vsync_internal.fail($1, $2, $3)", ("pg_catalog.int8", "pg_catalog.text[]", "pg_catalog.jsonb"))
FOLD = Statement("select vsync_internal.fold()")
FOLDED_SINCE = Statement("select vsync_internal.folded_since($1::pg_catalog.pg_snapshot)", ("pg_catalog.text",))
HIDDEN = Statement("select * from vsync_internal.hidden_keys()")
ISOLATE = Statement("select vsync_internal.isolate($1)", ("pg_catalog.int8",))
OUTSTANDING = Statement("select vsync_internal.outstanding($1, $2)", ("pg_catalog.int8", "pg_catalog.name"))
POSTPONE = Statement(
    "select vsync_internal.postpone($1, $2, pg_catalog.make_interval(secs => $3))",
    ("pg_catalog.int8", "pg_catalog.text[]", "pg_catalog.float8"),
)
PROGRESS = Statement("select vsync_internal.work_progress($1)", ("pg_catalog.name",))
PUBLISH = Statement(
    "select vsync_internal.publish($1, $2, $3, $4)",
    ("pg_catalog.int8", "pg_catalog.text", "pg_catalog.int8", "pg_catalog.float8"),
)
REAP = Statement("select vsync_internal.reap()")
REFRESHES_DUE = Statement("select * from vsync_internal.refreshes_due()")
REFRESH_BY_RULE = Statement(
    "select vsync_internal.refresh_by_rule($1, $2)", ("pg_catalog.int4", "pg_catalog.timestamptz")
)
REFRESH_REGULARLY = Statement("select vsync_internal.refresh_regularly()")
RELEASE = Statement("select vsync_internal.release($1)", ("pg_catalog.int8",))
RENDER = Statement("select * from vsync_internal.render($1, $2)", ("pg_catalog.int8", "pg_catalog.text[]"))
RENEW = Statement("select vsync_internal.renew($1)", ("pg_catalog.int8",))
REQUIRE_PRIMARY = Statement("select vsync_internal.require_primary()")
RESERVE = Statement("select hash, state from vsync_internal.reserve($1, $2)", ("pg_catalog.int8", "pg_catalog.text[]"))
FORGET_DECISIONS = Statement("select vsync_internal.forget_decisions()")
FORGET_HOLDS = Statement("select vsync_internal.forget_holds()")
ROTATE = Statement("select vsync_internal.rotate()")
RESUME = Statement("select vsync_internal.resume($1)", ("pg_catalog.bool",))
SECONDS = Statement("select extract(epoch from $1::pg_catalog.interval)::pg_catalog.float8", ("pg_catalog.text",))
SET = Statement("select pg_catalog.set_config($1, $2, false)", ("pg_catalog.text", "pg_catalog.text"))
SETTLE_VERSIONS = Statement("select vsync_internal.settle_versions()")
SHOW = Statement(
    "select name, pg_catalog.current_setting(name) as value, source operator(pg_catalog.=) 'session' as is_own "
    "from pg_catalog.pg_settings where name operator(pg_catalog.=) any ($1)",
    ("pg_catalog.text[]",),
)
TRY_AGAIN = Statement("select vsync_internal.try_again($1)", ("pg_catalog.name",))
WATERMARK = Statement("select vsync_internal.watermark()")
