"""Mutations of claims, marks, leases and the log."""

from tests.mutants.table.mutation import CLAIMS, LOG_RACES, Mutation

_ROTATE_LOCK = "execute format('lock table vsync_internal.%I in access exclusive mode nowait', 'log_' || v_slot);"

_SECOND_LOOK = "if not v_left then"

_REMARK = "array(select m.key from vsync_internal.marks as m where m.version_id = v_target.id)"

_OTHERS = "u.h in (select o.h from vsync_internal.leases as l, unnest(l.hashes) as o (h)"

_ANYBODYS = """(select w.ctid as mark, w.key, w.captured_at from vsync_internal.marks as w
    where w.version_id = {} and w.key = any ({}))"""

QUEUE = (
    Mutation(
        "mark() does nothing on conflict",
        CLAIMS + "test_a_change_folded_while_its_key_is_being_embedded_is_not_lost",
        "mark",
        "        returning 1)",
        "        where false returning 1)",
    ),
    Mutation(
        "mark() takes nobody else for marking the same keys",
        "races/test_marks.py::test_keys_that_another_session_marks_at_the_same_time_are_marked_once_for_both[150]",
        "mark",
        "exception when unique_violation",
        "exception when division_by_zero",
    ),
    Mutation(
        "render() locks marks set by set",
        CLAIMS + "test_marks_of_documents_that_are_gone_and_unchanged_are_locked_in_key_order",
        "render",
        "num_nonnulls(v_gone, v_same, v_held, v_moved) > 1",
        "false",
    ),
    Mutation(
        "render() keeps to the name that a root had",
        CLAIMS + "test_a_root_that_is_renamed_before_it_is_locked_is_rendered",
        "lock_root",
        "when undefined_table",
        "when division_by_zero",
    ),
    Mutation(
        "settle() without the generation",
        CLAIMS + "test_a_change_folded_while_its_key_is_being_embedded_is_not_lost",
        "settle",
        "and m.generation = m.claimed",
        "",
    ),
    Mutation(
        "settle() without the generation, text unchanged",
        CLAIMS + "test_a_change_folded_while_unchanged_text_is_compared_is_not_lost",
        "settle",
        "and m.generation = m.claimed",
        "",
    ),
    Mutation(
        "settle() without the token",
        CLAIMS + "test_finishing_a_key_leaves_the_mark_of_its_new_owner",
        "settle",
        "vsync_internal.owned(version_id, keys, token)",
        _ANYBODYS.format("settle.version_id", "settle.keys"),
    ),
    Mutation(
        "publish() without the mark's token",
        CLAIMS + "test_a_worker_that_lost_its_lease_publishes_nothing",
        "publish",
        "vsync_internal.owned(v_version.id, v_keys, publish.token)",
        _ANYBODYS.format("v_version.id", "v_keys"),
    ),
    Mutation(
        "publish() without the row's token",
        CLAIMS + "test_the_vector_table_itself_refuses_an_older_token",
        "publish",
        "where v.token <= excluded.token",
        "",
    ),
    Mutation(
        "release() leaves the marks to nobody",
        CLAIMS + "test_a_lease_that_is_gone_makes_publish_and_render_do_nothing",
        "release",
        "token = null, claimed = null",
        "claimed = m.claimed",
    ),
    Mutation(
        "erase() without the token",
        CLAIMS + "test_a_late_eraser_deletes_nothing_of_a_newer_owner",
        "erase",
        "vsync_internal.owned(version.id, erase.keys, erase.token)",
        _ANYBODYS.format("version.id", "erase.keys"),
    ),
    Mutation(
        "release() without the token",
        CLAIMS + "test_ending_a_claim_frees_only_marks_it_still_owns",
        "release",
        "vsync_internal.owned(v_lease.version_id, v_lease.keys, v_lease.token)",
        _ANYBODYS.format("v_lease.version_id", "v_lease.keys"),
    ),
    Mutation(
        "postpone() without the token",
        CLAIMS + "test_postponing_and_failing_touch_only_marks_that_are_still_owned",
        "postpone",
        "vsync_internal.owned(l.version_id, postpone.keys, postpone.token)",
        _ANYBODYS.format("l.version_id", "postpone.keys"),
    ),
    Mutation(
        "fail() without the token",
        CLAIMS + "test_postponing_and_failing_touch_only_marks_that_are_still_owned",
        "fail",
        "vsync_internal.owned(v_version_id, fail.keys, fail.token)",
        _ANYBODYS.format("v_version_id", "fail.keys"),
    ),
    Mutation(
        "fail() counts although the generation moved",
        CLAIMS + "test_a_failure_of_old_text_is_not_held_against_a_newer_change",
        "fail",
        "case when m.generation = m.claimed then m.attempts + 1 else 0 end",
        "m.attempts + 1",
    ),
    Mutation(
        "reap() takes claims in force",
        CLAIMS + "test_a_claim_in_force_is_not_reaped",
        "reap",
        "l.until < clock_timestamp()",
        "true",
    ),
    Mutation(
        "reap() waits for the lease of a dead session",
        CLAIMS + "test_the_claim_of_a_session_that_is_gone_is_free_at_once",
        "reap",
        "or not exists (select from pg_stat_get_activity(l.pid)",
        "or false and not exists (select from pg_stat_get_activity(l.pid)",
    ),
    Mutation(
        "renew() revives a lost lease",
        CLAIMS + "test_a_lease_that_ran_out_cannot_be_renewed",
        "renew",
        "and l.until > clock_timestamp()",
        "",
    ),
    Mutation(
        "claim() takes marks that have an owner",
        CLAIMS + "test_a_key_is_claimed_by_one_worker_at_a_time",
        "claim",
        "m.due_at is null and m.token is null",
        "m.due_at is null",
    ),
    Mutation(
        "claim() waits", CLAIMS + "test_claiming_waits_for_nobody", "claim", "for update skip locked", "for update"
    ),
    Mutation(
        "reserve() ignores what others embed",
        CLAIMS + "test_equal_texts_claimed_by_two_workers_are_embedded_by_one",
        "reserve",
        _OTHERS,
        "false and " + _OTHERS,
    ),
    Mutation(
        "the token is indexed: dead index entries at each claim",
        CLAIMS + "test_claiming_marks_is_a_heap_only_update",
        "",
        "",
        "create index on vsync_internal.marks (token)",
    ),
    Mutation(
        "the queue is unlogged",
        LOG_RACES + "test_log_and_queue_are_logged_tables",
        "",
        "",
        "alter table vsync_internal.marks set unlogged",
    ),
    Mutation(
        "the log is unlogged",
        LOG_RACES + "test_log_and_queue_are_logged_tables",
        "",
        "",
        "alter table vsync_internal.log_0 set unlogged",
    ),
)

LOG = (
    Mutation(
        "fold() goes by the highest transaction id",
        LOG_RACES + "test_a_transaction_that_commits_late_is_not_skipped",
        "fold",
        "not pg_visible_in_snapshot(l.xid, v_last)",
        "l.xid >= pg_snapshot_xmax(v_last)",
    ),
    Mutation(
        "the log's transaction id is the savepoint's",
        LOG_RACES + "test_a_change_inside_a_savepoint_that_commits_late_is_not_skipped",
        "",
        "",
        "alter table vsync_internal.log alter xid set default '3'; "
        "alter table vsync_internal.log_0 alter xid set default '3'; "
        "alter table vsync_internal.log_1 alter xid set default '3'; "
        "alter table vsync_internal.log_2 alter xid set default '3'",
    ),
    Mutation(
        "fold() remembers a snapshot later than the one it read by",
        LOG_RACES + "test_a_change_committed_in_the_middle_of_a_fold_is_not_skipped",
        "fold",
        "set snapshot = v_now",
        "set snapshot = pg_current_snapshot()",
    ),
    Mutation(
        "fold() without its lock",
        LOG_RACES + "test_two_folders_do_not_fold_at_once",
        "fold",
        "if not vsync_internal.try_lock_table('fold') then",
        "if false then",
    ),
    Mutation(
        "rotate() without the lock",
        LOG_RACES + "test_rotation_never_waits_for_a_writer_nor_truncates_under_it",
        "rotate",
        _ROTATE_LOCK,
        "perform 1;",
    ),
    Mutation(
        "rotate() without the second look",
        LOG_RACES + "test_rotation_keeps_a_change_committed_between_its_look_and_its_lock",
        "rotate",
        _SECOND_LOOK,
        "if true then",
    ),
    Mutation(
        "rotate() empties what is not folded",
        LOG_RACES + "test_rotation_keeps_what_is_not_folded",
        "rotate",
        "where not pg_visible_in_snapshot(l.xid, $1))",
        "where $1 is null)",
    ),
    Mutation(
        "rotate() under a snapshot of its transaction",
        LOG_RACES + "test_rotation_in_repeatable_read_does_nothing",
        "rotate",
        "<> 'read committed'",
        "= 'nothing'",
    ),
    Mutation(
        "rotate() deletes",
        LOG_RACES + "test_rotation_leaves_no_dead_rows_behind_under_an_old_snapshot",
        "rotate",
        "'truncate vsync_internal",
        "'delete from vsync_internal",
    ),
    Mutation(
        "fold() does not mark claimed keys at TRUNCATE",
        LOG_RACES + "test_truncate_while_a_new_row_is_being_embedded_leaves_no_orphan",
        "fold",
        _REMARK,
        "array[]::text[]",
    ),
    Mutation(
        "backfill before the capture has committed",
        LOG_RACES + "test_a_row_written_before_the_capture_commits_is_found_by_the_backfill",
        "create_embedding(name,text,int,text,jsonb,jsonb,jsonb,name)",
        "perform vsync_internal.sync_capture(d.relation)",
        "perform vsync_internal.backfill(v.id), vsync_internal.backfill(v.id) from vsync_internal.versions as v; "
        "update vsync_internal.progress set phase = 'done'; perform vsync_internal.sync_capture(d.relation)",
    ),
    Mutation(
        "adopt() trusts transaction ids of another cluster",
        LOG_RACES + "test_a_restored_database_starts_over_instead_of_trusting_old_transaction_ids",
        "adopt",
        "if not vsync_internal.is_restored() then",
        "if true then",
    ),
)
