"""The statements of the worker: each calls one function of sql/30_queue or sql/40_refresh.

Documents run their owners' code in the worker's session, which may leave a search_path behind: every name is qualified.
"""

from vsync_engine.host import Statement

ADOPT = Statement("select vsync_internal.adopt()")
WATCH_CAPTURES = Statement("select vsync_internal.watch_captures()")
ATTEND_RULES = Statement("select vsync_internal.attend_rules()")
BACKFILL = Statement("select vsync_internal.backfill($1)", ("pg_catalog.int4",))
ASKER = Statement(
    "select pg_catalog.concat_ws(' ', session_user, pg_catalog.current_setting('role')) as asker, "
    "pg_catalog.current_setting('vsync.known', true) as known"
)
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
COUNT_CHANGE = Statement(
    "select vsync_internal.count_change($1, $2, $3)", ("pg_catalog.int4", "pg_catalog.int4", "pg_catalog.text")
)
DECIDE = Statement("select vsync_internal.decide($1, $2)", ("pg_catalog.int8[]", "pg_catalog.jsonb"))
DUTIES = Statement("select * from vsync_internal.duties($1)", ("pg_catalog.name",))
END_WORK = Statement("select vsync_internal.end_work()")
EXCLUDED = Statement("select vsync_internal.excluded_keys($1, $2) as keys", ("pg_catalog.int4", "pg_catalog.text[]"))
EXISTS = Statement("select name from vsync_internal.find_embedding($1)", ("pg_catalog.name",))
EXPAND = Statement("select vsync_internal.expand($1)", ("pg_catalog.int4",))
FAIL = Statement("select vsync_internal.fail($1, $2, $3)", ("pg_catalog.int8", "pg_catalog.text[]", "pg_catalog.jsonb"))
FOLD = Statement("select vsync_internal.fold()")
FOLDED_SINCE = Statement("select vsync_internal.folded_since($1::pg_catalog.pg_snapshot)", ("pg_catalog.text",))
HIDDEN = Statement("select * from vsync_internal.hidden_keys()")
ISOLATE = Statement("select vsync_internal.isolate($1)", ("pg_catalog.int8",))
JUDGE = Statement(
    "select pg_catalog.array_agg(place) as places, rules, numbers from vsync_internal.judge($1, $2, $3) group by 2, 3",
    ("pg_catalog.int4", "pg_catalog.int4[]", "pg_catalog.jsonb"),
)
JUDGE_PAGES = Statement(
    "select pg_catalog.array_agg(place) as places, rules, numbers "
    "from vsync_internal.judge_pages($1, $2, $3, $4, $5) group by 2, 3",
    ("pg_catalog.int4", "pg_catalog.int4[]", "pg_catalog.int8[]", "pg_catalog.int4", "pg_catalog.int4"),
)
KNOW = Statement("select pg_catalog.set_config('vsync.known', 'yes', false)")
MODEL_SPEC = Statement("select vsync_internal.model_spec($1)", ("pg_catalog.int4",))
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
PUT_OFF = Statement("select vsync_internal.put_off($1, $2)", ("pg_catalog.int8[]", "pg_catalog.text"))
REAP = Statement("select vsync_internal.reap()")
RECORD_RULES = Statement(
    "select vsync_internal.record_rules($1, $2, $3)", ("pg_catalog.int4", "pg_catalog.jsonb", "pg_catalog.jsonb")
)
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
RULE_OUT = Statement("select vsync_internal.rule_out($1, $2)", ("pg_catalog.int8", "pg_catalog.jsonb"))
RULES = Statement("select * from vsync_internal.rules_asked($1)", ("pg_catalog.int4",))
SECONDS = Statement("select extract(epoch from $1::pg_catalog.interval)::pg_catalog.float8", ("pg_catalog.text",))
SET = Statement("select pg_catalog.set_config($1, $2, false)", ("pg_catalog.text", "pg_catalog.text"))
SETTINGS = Statement("select name, value from vsync.settings")
SETTLE_VERSIONS = Statement("select vsync_internal.settle_versions()")
SHOW = Statement(
    "select name, pg_catalog.current_setting(name) as value, source operator(pg_catalog.=) 'session' as is_own "
    "from pg_catalog.pg_settings where name operator(pg_catalog.=) any ($1)",
    ("pg_catalog.text[]",),
)
SHOW_AGAIN = Statement("select vsync_internal.show_again($1, $2)", ("pg_catalog.int4", "pg_catalog.text[]"))
SNAPSHOT = Statement("select pg_catalog.pg_current_snapshot()::pg_catalog.text")
TIME_ZONE = Statement("select vsync_internal.time_zone()")
TRY_AGAIN = Statement("select vsync_internal.try_again($1)", ("pg_catalog.name",))
UNDECIDED = Statement("select * from vsync_internal.undecided($1)", ("pg_catalog.int4",))
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
WATERMARK = Statement("select vsync_internal.watermark()")
