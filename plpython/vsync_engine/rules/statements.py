"""The statements by which rules are evaluated.

Documents run their owners' code in the worker's session, which may leave a search_path behind: every name is qualified.
"""

from vsync_engine.foundation.host import Statement

COUNT_CHANGE = Statement(
    "select vsync_internal.count_change($1, $2, $3)", ("pg_catalog.int4", "pg_catalog.int4", "pg_catalog.text")
)
DECIDE = Statement("select vsync_internal.decide($1, $2)", ("pg_catalog.int8[]", "pg_catalog.jsonb"))
EXCLUDED = Statement("select vsync_internal.excluded_keys($1, $2) as keys", ("pg_catalog.int4", "pg_catalog.text[]"))
JUDGE = Statement(
    "select pg_catalog.array_agg(place) as places, rules, numbers from vsync_internal.judge($1, $2, $3) group by 2, 3",
    ("pg_catalog.int4", "pg_catalog.int4[]", "pg_catalog.jsonb"),
)
JUDGE_PAGES = Statement(
    "select pg_catalog.array_agg(place) as places, rules, numbers "
    "from vsync_internal.judge_pages($1, $2, $3, $4, $5) group by 2, 3",
    ("pg_catalog.int4", "pg_catalog.int4[]", "pg_catalog.int8[]", "pg_catalog.int4", "pg_catalog.int4"),
)
RECORD_RULES = Statement(
    "select vsync_internal.record_rules($1, $2, $3)", ("pg_catalog.int4", "pg_catalog.jsonb", "pg_catalog.jsonb")
)
RULE_OUT = Statement("select vsync_internal.rule_out($1, $2)", ("pg_catalog.int8", "pg_catalog.jsonb"))
RULES = Statement("select * from vsync_internal.rules_asked($1)", ("pg_catalog.int4",))
SHOW_AGAIN = Statement("select vsync_internal.show_again($1, $2)", ("pg_catalog.int4", "pg_catalog.text[]"))
UNDECIDED = Statement("select * from vsync_internal.undecided($1)", ("pg_catalog.int4",))
