"""Mutations of what the chaos battery found."""

from tests.mutants.table.mutation import CLAIMS, WORK, WORK_BODY, Mutation

CHAOS = (
    Mutation(
        "a worker that was lost is held against nothing",
        CLAIMS + "test_a_document_that_workers_are_lost_over_is_claimed_alone_and_parked",
        "reap",
        "perform vsync_internal.suspect(v_lease);",
        "",
    ),
    Mutation(
        "what a worker was lost over is claimed with all the rest",
        CLAIMS + "test_a_document_that_workers_are_lost_over_is_claimed_alone_and_parked",
        "claim",
        "max_keys >> 6 * least(v_losses, 4)",
        "max_keys",
    ),
    Mutation(
        "a claim is not flushed",
        CLAIMS + "test_a_claim_is_on_disk_before_its_documents_are_touched",
        "claim",
        "set_config('synchronous_commit', 'local', true)",
        "set_config('synchronous_commit', 'off', true)",
    ),
    Mutation(
        "DROP EXTENSION waits with what it has locked",
        "chaos/test_ddl.py::test_drop_extension_holds_nothing_while_it_waits",
        "before_drop_extension",
        "perform vsync_internal.lock_all();",
        "null;",
    ),
    Mutation(
        "a trigger that a dump left behind is taken for one's own",
        "chaos/test_dump.py::test_a_trigger_of_a_capture_that_is_no_more_is_replaced",
        "install_triggers",
        "and t.tgfoid = to_regproc(",
        "and 0 <> length(",
    ),
    Mutation(
        "a clock that was put back makes a version wait",
        "chaos/test_clock.py::test_a_clock_set_back_leaves_nothing_waiting_for_an_hour",
        "is_due",
        "at not between clock_timestamp() and clock_timestamp() + interval '5 minutes'",
        "at <= clock_timestamp()",
    ),
    Mutation(
        "a worker outlives its server",
        "chaos/test_kill.py::test_a_worker_does_not_outlive_its_server",
        WORK,
        WORK_BODY,
        "from vsync_engine import entry\nfrom vsync_engine.foundation import host\n"
        "host.PlpyHost.commit = lambda self: self._guarded(self._plpy.commit)\n",
    ),
)
