create function vsync_internal.analyse_rule(facts jsonb)
returns jsonb language plpython3u
set search_path = pg_catalog, pg_temp as $py$
from vsync_engine import entry
return entry.analyse_rule(facts)
$py$;
comment on function vsync_internal.analyse_rule(jsonb) is
'what a rule asks and when, from {"condition", "action", "params", "root", "relation", "document"}: {"rule"} or {"error"}';
