"""Mutations of versions and experiments."""

from tests.mutants.table.mutation import WORK, WORK_BODY, Mutation

_EXPERIMENTS = "versions/test_experiments.py::"

_DRAW = "(hashtextextended(caller, experiment_id) & 9007199254740991) / 9007199254740992.0::float8"

_OURS = (
    "and c.relkind = 'r'\n        "
    "and c.relowner = (select n.nspowner from pg_namespace as n where n.nspname = 'vsync_internal')"
)

_LOOKED_AT = "execute format('select from vsync_data.%I limit 0', v_version.data);"

_SERVED_MODEL = "where s.embedding = serving_model.embedding;"

_REMEMBERED = """
    v_model_id := coalesce(nullif(current_setting('vsync.remembered', true), '')::int, v_model_id);
    perform set_config('vsync.remembered', v_model_id::text, false);"""

_INSIDE = """v.version, v.data) || format(
        ' where %s = (select s.version from vsync_internal.serving as s where s.embedding = %L)',
        v.version, replace_view.embedding), ' union all ' order by v.version)"""

_SWITCHING = "versions/test_switching.py::test_no_reader_"

VERSIONS = (
    Mutation(
        "the serving view filters by version inside its branches",
        "versions/test_rollout.py::test_the_plan_of_the_view_never_executes_the_branch_that_is_not_served",
        "replace_view",
        "v.version, v.data), ' union all ' order by v.version)",
        _INSIDE,
    ),
    Mutation(
        "a dependency's change waits for the backlog of another version",
        "versions/test_backlog.py::test_edits_of_the_active_version_do_not_wait_for_the_backlog_of_another",
        "expand",
        "where p.images is null and",
        "where max_keys > 64 and p.images is null and",
    ),
    Mutation(
        "no change passes a backlog",
        "versions/test_backlog.py::test_edits_of_the_active_version_do_not_wait_for_the_backlog_of_another",
        WORK,
        WORK_BODY,
        "from vsync_engine import entry\nfrom vsync_engine.refresh import worker\nworker._ATTEND = 1e9\n",
    ),
    *(
        mutation
        for models, test in (
            ("tiny models", "sees_two_versions_or_misses_a_document"),
            ("real models", "of_real_models_sees_two_versions_or_misses_a_document"),
        )
        for mutation in (
            Mutation(
                f"the query side remembers the version across a switch, {models}",
                _SWITCHING + test,
                "serving_model",
                _SERVED_MODEL,
                _SERVED_MODEL + _REMEMBERED,
            ),
            Mutation(
                f"the serving view without its filter by version, {models}",
                _SWITCHING + test,
                "replace_view",
                "'where u.version = (select s.version from vsync_internal.serving as s where s.embedding = %L)%s'",
                "'where length(%L) > 0%s'",
            ),
        )
    ),
    Mutation(
        "a version is dropped although a snapshot sees it",
        "versions/test_retire.py::test_a_version_that_an_open_snapshot_sees_being_served_is_not_dropped",
        "is_seen",
        "a.pid <> pg_backend_pid()",
        "false",
    ),
    Mutation(
        "a version that catches up passes the gate",
        "versions/test_retire.py::test_a_version_that_stopped_following_catches_up_where_asked",
        "check_gate",
        "('it is still catching up', version.retired_at is not null and version.state = 'building')",
        "('it is still catching up', false)",
    ),
    Mutation(
        "who is drawn changes from call to call",
        _EXPERIMENTS + "test_a_share_of_the_callers_is_answered_by_the_challenger_and_always_the_same",
        "draw",
        _DRAW,
        "random()",
    ),
    Mutation(
        "who is drawn for a small share is not for a greater one",
        _EXPERIMENTS + "test_a_share_of_the_callers_is_answered_by_the_challenger_and_always_the_same",
        "challenger",
        "vsync_internal.draw(challenger.caller, e.id) < e.share",
        "vsync_internal.draw(challenger.caller || e.share, e.id) < e.share",
    ),
    Mutation(
        "a challenger answers although it is paused",
        _EXPERIMENTS + "test_a_challenger_that_is_not_fit_does_not_answer",
        "is_fit",
        "not version.paused",
        "true",
    ),
    Mutation(
        "the query vector of a search stays with the active version",
        _EXPERIMENTS + "test_each_is_answered_in_the_space_of_its_own_version",
        "vsync.search(name,text,int,text)",
        "v_version.model_id",
        "vsync_internal.serving_model(search.embedding)",
    ),
    Mutation(
        "a challenger that was dropped is not replaced by the champion",
        _EXPERIMENTS + "test_where_an_older_snapshot_comes_too_late_the_champion_answers",
        "answering_version",
        _LOOKED_AT,
        "",
    ),
    Mutation(
        "an activation leaves the experiment running",
        _EXPERIMENTS + "test_a_rollback_ends_an_experiment_and_a_retired_version_can_be_a_challenger",
        "serve",
        "perform vsync_internal.end_experiment(embedding.name);",
        "",
    ),
    Mutation(
        "dropping the challenger leaves the experiment running",
        _EXPERIMENTS + "test_what_ends_an_experiment[select vsync.drop_version('catalog', 2)-1]",
        "remove_version",
        "perform vsync_internal.end_experiment(version.embedding);",
        "null;",
    ),
    Mutation(
        "any relation of a counter's name is read",
        _EXPERIMENTS + "test_what_somebody_else_calls_a_counter_is_not_read",
        "counter",
        _OURS,
        "",
    ),
    Mutation(
        "a call that cannot be counted fails the search",
        _EXPERIMENTS + "test_a_search_does_not_fail_of_being_counted",
        "count_call",
        "return false;\nend",
        "raise;\nend",
    ),
    Mutation(
        "the gate does not ask for the nDCG",
        "versions/test_judgements.py::test_the_gate_asks_for_the_ndcg_of_the_version",
        "check_gate",
        "coalesce(v_ndcg < (v_gate ->> 'ndcg')::numeric, true)",
        "false",
    ),
    Mutation(
        "anybody judges",
        "versions/test_judgements.py::test_only_the_owner_judges_and_readers_see_nothing",
        "put_judgement",
        "perform vsync_internal.require_owner(v_embedding.owner, format('judge answers of \"%s\"', v_embedding.name));",
        "",
    ),
)
