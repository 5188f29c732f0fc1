create function vsync_internal.analyse_rule(facts jsonb)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$ select vsync_internal.ask('analyse_rule', jsonb_build_array(facts)) $$;
comment on function vsync_internal.analyse_rule(jsonb) is
'what a rule asks and when, from {"condition", "action", "params", "root", "relation", "document"}: {"rule"} or {"error"}';
