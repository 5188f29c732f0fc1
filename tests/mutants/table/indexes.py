"""Mutations of vector indexes and the gate."""

from tests.mutants.table.mutation import Mutation

_INDEX = "versions/test_index.py::"

INDEXES = (
    Mutation(
        "an index that is not whole counts as one",
        _INDEX + "test_an_index_that_is_not_whole_counts_as_none_and_a_worker_builds_it",
        "has_index",
        "and i.indisvalid",
        "",
    ),
    Mutation(
        "an index that is not whole takes the place of the old one",
        _INDEX + "test_what_a_broken_build_left_is_noticed_and_cleaned",
        "swap_index",
        "and i.indisvalid",
        "",
    ),
    Mutation(
        "search does not spell what a quantized index holds",
        _INDEX + "test_search_uses_the_index_whatever_it_holds_and_tells_exact_distances",
        "ordering",
        "case when exact or",
        "case when true or",
    ),
    Mutation(
        "a worker builds beside a build",
        _INDEX + "test_one_build_at_a_time",
        "build_index",
        "not vsync_internal.try_lock_row('index', version_id::text) or vsync_internal.is_being_indexed(version_id)",
        "false",
    ),
    Mutation(
        "a forced activation counts the documents",
        "versions/test_gate.py::test_forced_it_is_served_at_once_however_long_counting_takes",
        "activate_version",
        "not coalesce(force, false));",
        "true);",
    ),
)
