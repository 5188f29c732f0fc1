"""Statements of every package.

Documents run their owners' code in the worker's session, which may leave a search_path behind: every name is qualified.
"""

from vsync_engine.foundation.host import Statement

ASKER = Statement(
    "select pg_catalog.concat_ws(' ', session_user, pg_catalog.current_setting('role')) as asker, "
    "pg_catalog.current_setting('vsync.known', true) as known"
)
KNOW = Statement("select pg_catalog.set_config('vsync.known', 'yes', false)")
MODEL_SPEC = Statement("select vsync_internal.model_spec($1)", ("pg_catalog.int4",))
PUT_OFF = Statement("select vsync_internal.put_off($1, $2)", ("pg_catalog.int8[]", "pg_catalog.text"))
SETTINGS = Statement("select name, value from vsync.settings")
SNAPSHOT = Statement("select pg_catalog.pg_current_snapshot()::pg_catalog.text")
TIME_ZONE = Statement("select vsync_internal.time_zone()")
