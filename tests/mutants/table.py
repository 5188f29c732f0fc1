"""The mutations: each takes one protection out of a fresh database, and names the test that must then fail."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """Replace text in a function's definition, everywhere it stands, or, where there is no function, run SQL.

    function: regprocedure or name without arguments. test: node id below tests/.
    """

    name: str
    test: str
    function: str
    find: str
    put: str


_CLAIMS = "races/test_claims.py::"
_LOG = "races/test_log.py::"
_CAPTURE = "races/test_capture.py::"
_KEEPING = "races/test_keeping.py::"
_TICKETS = "access/test_tickets.py::"

_ROTATE_LOCK = "execute format('lock table vsync_internal.%I in access exclusive mode nowait', 'log_' || v_slot);"
_SECOND_LOOK = "if not v_left then"
_REMARK = "array(select m.key from vsync_internal.marks as m where m.version_id = v_target.id)"
_OTHERS = "u.h in (select o.h from vsync_internal.leases as l, unnest(l.hashes) as o (h)"
_NO_TICKET = "(ticket = vsync_internal.ticket(data)) is not true"
_SKIPPED = """raise notice 'embedding "%" already exists, skipping', name;
            return false;"""

QUEUE = (
    Mutation(
        "mark() does nothing on conflict",
        _CLAIMS + "test_a_change_folded_while_its_key_is_being_embedded_is_not_lost",
        "mark",
        "        returning 1)",
        "        where false returning 1)",
    ),
    Mutation(
        "settle() without the generation",
        _CLAIMS + "test_a_change_folded_while_its_key_is_being_embedded_is_not_lost",
        "settle",
        "and m.generation = m.claimed",
        "",
    ),
    Mutation(
        "settle() without the generation, text unchanged",
        _CLAIMS + "test_a_change_folded_while_unchanged_text_is_compared_is_not_lost",
        "settle",
        "and m.generation = m.claimed",
        "",
    ),
    Mutation(
        "settle() without the token",
        _CLAIMS + "test_finishing_a_key_leaves_the_mark_of_its_new_owner",
        "settle",
        "and m.token = settle.token",
        "",
    ),
    Mutation(
        "publish() without the mark's token",
        _CLAIMS + "test_a_worker_that_lost_its_lease_publishes_nothing",
        "publish",
        "and m.token = publish.token",
        "",
    ),
    Mutation(
        "publish() without the row's token",
        _CLAIMS + "test_the_vector_table_itself_refuses_an_older_token",
        "publish",
        "where v.token <= excluded.token",
        "",
    ),
    Mutation(
        "release() leaves the marks to nobody",
        _CLAIMS + "test_a_lease_that_is_gone_makes_publish_and_render_do_nothing",
        "release",
        "token = null, claimed = null",
        "claimed = m.claimed",
    ),
    Mutation(
        "erase() without the token",
        _CLAIMS + "test_a_late_eraser_deletes_nothing_of_a_newer_owner",
        "erase",
        "and m.token = erase.token",
        "",
    ),
    Mutation(
        "release() without the token",
        _CLAIMS + "test_ending_a_claim_frees_only_marks_it_still_owns",
        "release",
        "and w.token = v_lease.token",
        "",
    ),
    Mutation(
        "postpone() without the token",
        _CLAIMS + "test_postponing_and_failing_touch_only_marks_that_are_still_owned",
        "postpone",
        "and w.token = postpone.token",
        "",
    ),
    Mutation(
        "fail() without the token",
        _CLAIMS + "test_postponing_and_failing_touch_only_marks_that_are_still_owned",
        "fail",
        "and w.token = fail.token",
        "",
    ),
    Mutation(
        "fail() counts although the generation moved",
        _CLAIMS + "test_a_failure_of_old_text_is_not_held_against_a_newer_change",
        "fail",
        "case when m.generation = m.claimed then m.attempts + 1 else 0 end",
        "m.attempts + 1",
    ),
    Mutation(
        "reap() takes claims in force",
        _CLAIMS + "test_a_claim_in_force_is_not_reaped",
        "reap",
        "l.until < clock_timestamp()",
        "true",
    ),
    Mutation(
        "reap() waits for the lease of a dead session",
        _CLAIMS + "test_the_claim_of_a_session_that_is_gone_is_free_at_once",
        "reap",
        "or not exists (select from pg_stat_get_activity(l.pid)",
        "or false and not exists (select from pg_stat_get_activity(l.pid)",
    ),
    Mutation(
        "renew() revives a lost lease",
        _CLAIMS + "test_a_lease_that_ran_out_cannot_be_renewed",
        "renew",
        "and l.until > clock_timestamp()",
        "",
    ),
    Mutation(
        "claim() takes marks that have an owner",
        _CLAIMS + "test_a_key_is_claimed_by_one_worker_at_a_time",
        "claim",
        "m.due_at is null and m.token is null",
        "m.due_at is null",
    ),
    Mutation(
        "claim() waits", _CLAIMS + "test_claiming_waits_for_nobody", "claim", "for update skip locked", "for update"
    ),
    Mutation(
        "reserve() ignores what others embed",
        _CLAIMS + "test_equal_texts_claimed_by_two_workers_are_embedded_by_one",
        "reserve",
        _OTHERS,
        "false and " + _OTHERS,
    ),
    Mutation(
        "the token is indexed: dead index entries at each claim",
        _CLAIMS + "test_claiming_marks_is_a_heap_only_update",
        "",
        "",
        "create index on vsync_internal.marks (token)",
    ),
    Mutation(
        "the queue is unlogged",
        _LOG + "test_log_and_queue_are_logged_tables",
        "",
        "",
        "alter table vsync_internal.marks set unlogged",
    ),
    Mutation(
        "the log is unlogged",
        _LOG + "test_log_and_queue_are_logged_tables",
        "",
        "",
        "alter table vsync_internal.log_0 set unlogged",
    ),
)

LOG = (
    Mutation(
        "fold() goes by the highest transaction id",
        _LOG + "test_a_transaction_that_commits_late_is_not_skipped",
        "fold",
        "not pg_visible_in_snapshot(l.xid, v_last)",
        "l.xid >= pg_snapshot_xmax(v_last)",
    ),
    Mutation(
        "the log's transaction id is the savepoint's",
        _LOG + "test_a_change_inside_a_savepoint_that_commits_late_is_not_skipped",
        "",
        "",
        "alter table vsync_internal.log alter xid set default '3'; "
        "alter table vsync_internal.log_0 alter xid set default '3'; "
        "alter table vsync_internal.log_1 alter xid set default '3'; "
        "alter table vsync_internal.log_2 alter xid set default '3'",
    ),
    Mutation(
        "fold() remembers a snapshot later than the one it read by",
        _LOG + "test_a_change_committed_in_the_middle_of_a_fold_is_not_skipped",
        "fold",
        "set snapshot = v_now",
        "set snapshot = pg_current_snapshot()",
    ),
    Mutation(
        "fold() without its lock",
        _LOG + "test_two_folders_do_not_fold_at_once",
        "fold",
        "if not pg_try_advisory_xact_lock(hashtext('vsync'), hashtext('fold')) then",
        "if false then",
    ),
    Mutation(
        "rotate() without the lock",
        _LOG + "test_rotation_never_waits_for_a_writer_nor_truncates_under_it",
        "rotate",
        _ROTATE_LOCK,
        "perform 1;",
    ),
    Mutation(
        "rotate() without the second look",
        _LOG + "test_rotation_keeps_a_change_committed_between_its_look_and_its_lock",
        "rotate",
        _SECOND_LOOK,
        "if true then",
    ),
    Mutation(
        "rotate() empties what is not folded",
        _LOG + "test_rotation_keeps_what_is_not_folded",
        "rotate",
        "where not pg_visible_in_snapshot(l.xid, $1))",
        "where $1 is null)",
    ),
    Mutation(
        "rotate() under a snapshot of its transaction",
        _LOG + "test_rotation_in_repeatable_read_does_nothing",
        "rotate",
        "<> 'read committed'",
        "= 'nothing'",
    ),
    Mutation(
        "rotate() deletes",
        _LOG + "test_rotation_leaves_no_dead_rows_behind_under_an_old_snapshot",
        "rotate",
        "'truncate vsync_internal",
        "'delete from vsync_internal",
    ),
    Mutation(
        "fold() does not mark claimed keys at TRUNCATE",
        _LOG + "test_truncate_while_a_new_row_is_being_embedded_leaves_no_orphan",
        "fold",
        _REMARK,
        "array[]::text[]",
    ),
    Mutation(
        "backfill before the capture has committed",
        _LOG + "test_a_row_written_before_the_capture_commits_is_found_by_the_backfill",
        "create_embedding(name,text,int,text,jsonb,jsonb,jsonb,jsonb)",
        "perform vsync_internal.sync_capture(d.relation)",
        "perform vsync_internal.backfill(v.id), vsync_internal.backfill(v.id) from vsync_internal.versions as v; "
        "update vsync_internal.progress set phase = 'done'; perform vsync_internal.sync_capture(d.relation)",
    ),
    Mutation(
        "adopt() trusts transaction ids of another cluster",
        _LOG + "test_a_restored_database_starts_over_instead_of_trusting_old_transaction_ids",
        "adopt",
        "if not vsync_internal.is_restored() then",
        "if true then",
    ),
)

CAPTURE = (
    *(
        Mutation(
            f"capture compares with =, {rows} rows",
            f"{_CAPTURE}test_equal_values_that_render_differently_are_a_change[{rows}]",
            function,
            find,
            put,
        )
        for rows, function, find, put in (
            (1, "differs", "' *<> '", "' <> '"),
            (3, "feed_body", "operator(pg_catalog.*=)", "operator(pg_catalog.=)"),
        )
    ),
    Mutation(
        "a dependency's old tuple is not followed",
        "promise/test_join_histories.py::test_every_shape_is_followed_link_by_link[trigger-children]",
        "feed_body",
        "else array_remove(array[v_one.old_%2$s, v_one.new_%2$s], null) end",
        "else array[v_one.new_%2$s] end",
    ),
    Mutation(
        "an emptied dependency refreshes nothing",
        "promise/test_join_histories.py::test_every_shape_is_followed_link_by_link[trigger-children]",
        "fold",
        "or l.op = 'T' and d.number > 0",
        "",
    ),
    Mutation(
        "capture misses a changed key, one row",
        _CAPTURE + "test_a_changed_key_is_a_delete_and_an_insert[1]",
        "feed_body",
        "else array_remove(array[v_one.old_%2$s, v_one.new_%2$s], null) end",
        "else array[v_one.new_%2$s] end",
    ),
    Mutation(
        "capture misses a changed key, several rows",
        _CAPTURE + "test_a_changed_key_is_a_delete_and_an_insert[3]",
        "feed_body",
        "select %4$s from old_rows as o where not exists (select from new_rows as n where %5$s)",
        "select %4$s from old_rows as o where false",
    ),
    Mutation(
        "capture misses a changed key, many rows",
        _CAPTURE + "test_a_changed_key_is_a_delete_and_an_insert[1500]",
        "bulk_update",
        "where o.keys is distinct from n.keys",
        "where false",
    ),
    Mutation(
        "capture pins no output settings",
        _CAPTURE + "test_keys_of_every_kind_travel_through_the_queue[date]",
        "capture_pins",
        "then ''",
        "or true then ''",
    ),
    Mutation(
        "render with the caller's rights",
        _CAPTURE + "test_documents_are_rendered_with_their_owners_rights",
        "reader_ddl",
        "security definer",
        "security invoker",
    ),
    Mutation(
        "a reader opens without a ticket",
        _TICKETS + "test_a_replaced_reader_opens_no_other_owners_reader",
        "admit",
        _NO_TICKET,
        "false",
    ),
    Mutation(
        "a reader opens without a ticket to what is put off",
        _TICKETS + "test_what_a_reader_defers_opens_no_other_owners_reader",
        "admit",
        _NO_TICKET,
        "false",
    ),
    Mutation(
        "one ticket opens every reader",
        _TICKETS + "test_a_ticket_opens_one_version_in_one_transaction[render]",
        "ticket",
        "now()), data)",
        "now()), 'data')",
    ),
    Mutation(
        "a ticket never ends",
        _TICKETS + "test_a_ticket_opens_one_version_in_one_transaction[delta]",
        "ticket",
        "extract(epoch from now())",
        "0",
    ),
)

KEEPING = (
    Mutation(
        "render() drops old vectors at once",
        _KEEPING + "test_a_document_is_found_at_every_step_of_its_update",
        "render(bigint,text[])",
        "return query\n",
        "execute format('delete from vsync_data.%I', v_version.data); return query\n",
    ),
    Mutation(
        "declaring again replaces",
        _KEEPING + "test_declaring_an_embedding_again_keeps_its_vectors",
        "check_new_embedding",
        _SKIPPED,
        "perform vsync_internal.drop_embedding(name, false); return true;",
    ),
    Mutation(
        "the index waits for an empty queue",
        _KEEPING + "test_the_index_is_built_although_changes_keep_coming",
        "wants_index",
        "m.lane = 2 and m.attempts = 0",
        "m.attempts = 0",
    ),
    Mutation(
        "the index does not wait for the backlog",
        _KEEPING + "test_the_index_waits_for_the_backlog",
        "wants_index",
        "and p.phase = 'done'",
        "",
    ),
    Mutation(
        "readers may write the tables of models",
        _KEEPING + "test_nobody_but_a_superuser_reaches_model_paths[models-vsync_reader]",
        "",
        "",
        "grant all on all tables in schema vsync_internal to vsync_reader",
    ),
    Mutation(
        "whoever may call inspect_model reads the server's files",
        _KEEPING + "test_nobody_but_a_superuser_reaches_model_paths[inspect-vsync_reader]",
        "",
        "",
        "grant execute on all functions in schema vsync_internal to vsync_reader",
    ),
)

_WORKER = "vsync.work(interval,name)"
_BODY = "from vsync_engine import entry\n"
_NO_BISECTION = """
embed = claim.Claim._embed
def whole(self, batch):
    try:
        self.model.run([encoded for _, encoded in batch])
    except Exception as error:
        for text, _ in batch:
            self._fail([document.key for document in text.documents], error)
        return
    yield from embed(self, batch)
claim.Claim._embed = whole
"""
_NOTHING_RESTORED = """
from contextlib import contextmanager
@contextmanager
def kept(host):
    for name, setting in worker._SESSION.items():
        host.rows(statements.SET, name, setting)
    host.commit()
    yield
worker._session = kept
"""
_ABORTED = """
def fail(self, keys, error):
    self.host.rows(statements.FAIL, self.token, keys, claim.described(error))
    self.host.rollback()
claim.Claim._fail = fail
"""

# These change the engine in the worker's own session only.
WORKER = (
    *(
        Mutation(
            name, f"chaos/{test}", _WORKER, _BODY, f"from vsync_engine import claim, entry, statements, worker\n{put}\n"
        )
        for name, test, put in (
            (
                "the model runs inside a transaction",
                "test_online.py::test_ddl_on_the_source_does_not_wait_behind_the_model",
                "claim.transaction = worker.transaction = lambda host, call: call()",
            ),
            (
                "failures are recorded in the transaction that aborts",
                "test_poison.py::test_a_poison_text_is_parked_and_its_siblings_are_embedded_once[poisonpill]",
                _ABORTED,
            ),
            (
                "a batch fails as a whole",
                "test_poison.py::test_a_poison_text_is_parked_and_its_siblings_are_embedded_once[poisonpill]",
                _NO_BISECTION,
            ),
            (
                "the worker leaves its settings behind",
                "test_interrupt.py::test_a_cancelled_worker_loses_nothing_and_leaves_its_session_as_it_was[EMBED]",
                _NOTHING_RESTORED,
            ),
            (
                "the worker keeps its claim when cancelled",
                "test_interrupt.py::test_a_cancelled_worker_loses_nothing_and_leaves_its_session_as_it_was[EMBED]",
                "claim.Claim._release = lambda self: None",
            ),
        )
    ),
    Mutation(
        "failures keep their place in the queue",
        "chaos/test_poison.py::test_old_failures_never_starve_new_work",
        "fail",
        "then 3 else m.lane",
        "then m.lane else m.lane",
    ),
    Mutation(
        "the queue is unlogged, and the server crashes",
        "chaos/test_kill.py::test_log_and_queue_survive_a_crash_of_the_server",
        "",
        "",
        "alter table vsync_internal.marks set unlogged",
    ),
)

AUDIT = (
    Mutation(
        "the audit reads each side in a snapshot of its own",
        "observe/test_audit.py::test_one_call_reads_one_snapshot",
        "call_hashes",
        " STABLE",
        " VOLATILE",
    ),
    Mutation(
        "the audit's repair leaves hashes that say same",
        "observe/test_audit.py::test_damage_is_found_exactly_and_repaired_with_nothing_to_spare[edit a content]",
        "audit_repair",
        "case when k.is_forced and v.chunk = 0",
        "case when false",
    ),
    Mutation(
        "the audit does not fire what owners put off",
        "observe/test_audit.py::test_code_put_off_to_the_commit_runs_without_rights",
        "audit_compare",
        "perform vsync_internal.call_deferred();",
        "",
    ),
    Mutation(
        "a promotion is not noticed",
        "chaos/test_promotion.py::test_a_standby_promoted_under_load_keeps_its_queue_and_finds_what_is_missing",
        "is_promoted",
        "is distinct from",
        "is distinct from i.timeline and false and 0 <>",
    ),
)

WAL = (
    Mutation(
        "a slot ahead of the log is taken for ours",
        "capture/test_wal_slot.py::test_a_slot_that_lost_changes_is_made_again_and_every_document_compared"
        "[advanced by somebody else]",
        "slot_fault",
        "or s.confirmed_flush_lsn > w.read_lsn",
        "",
    ),
    Mutation(
        "a new slot without a comparison of every document",
        "capture/test_wal_slot.py::test_a_slot_that_lost_changes_is_made_again_and_every_document_compared[dropped]",
        "wal_make",
        "e.capture = 'wal' and v.state",
        "e.capture = 'none' and v.state",
    ),
    Mutation(
        "a table is published while it is being written",
        "capture/test_wal_slot.py::test_a_table_is_published_after_its_writers_have_ended",
        "sync_publication",
        "execute format('lock table %s in share row exclusive mode', v_table.relation);",
        "null;",
    ),
    Mutation(
        "the publication's columns do not follow the replica identity",
        "capture/test_wal_refused.py::test_writers_go_on_whatever_becomes_of_the_identity[full]",
        "follow_partitions",
        "perform vsync_internal.follow_wal();",
        "",
    ),
)

_SERVED_MODEL = "where s.embedding = serving_model.embedding;"
_REMEMBERED = """
    v_model_id := coalesce(nullif(current_setting('vsync.remembered', true), '')::int, v_model_id);
    perform set_config('vsync.remembered', v_model_id::text, false);"""

VERSIONS = (
    Mutation(
        "the query side remembers the version across a switch",
        "versions/test_switching.py::test_no_reader_sees_two_versions_or_misses_a_document",
        "serving_model",
        _SERVED_MODEL,
        _SERVED_MODEL + _REMEMBERED,
    ),
    Mutation(
        "the serving view without its filter by version",
        "versions/test_switching.py::test_no_reader_sees_two_versions_or_misses_a_document",
        "replace_view",
        "'where u.version = (select s.version from vsync_internal.serving as s where s.embedding = %L)'",
        "'where length(%L) > 0'",
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
)

_JOINING = "rules/test_joining.py::"

RULES = (
    Mutation(
        "rules: the newest verdict stands, not the strongest",
        _JOINING + "test_the_stronger_verdict_stands_whatever_comes_first",
        "mark",
        "else m.strength > excluded.strength or",
        "else",
    ),
    Mutation(
        "rules: a change during a claim is weighed against what the claim embeds",
        _JOINING + "test_a_skip_that_comes_during_a_claim_stands_alone",
        "mark",
        "m.token is not null and m.generation = m.claimed and not m.looking as covered",
        "false as covered",
    ),
    Mutation(
        "rules: a look at what is held covers it",
        _JOINING + "test_a_look_at_what_is_held_does_not_let_a_newer_change_of_it_through",
        "mark",
        "and not m.looking as covered",
        "as covered",
    ),
    Mutation(
        "rules: a lost claim leaves the skip that came meanwhile",
        _JOINING + "test_a_skip_that_came_during_a_claim_that_was_lost_skips_nothing",
        "release",
        "m.generation = m.claimed or m.looking or m.verdict = 'hold'",
        "true",
    ),
    Mutation(
        "rules: what is held is embedded",
        _JOINING + "test_a_look_at_what_is_held_does_not_let_a_newer_change_of_it_through",
        "claim",
        "looking = m.verdict is not null and m.verdict in",
        "looking = false and m.verdict in",
    ),
    Mutation(
        "rules: nobody waits for those who asked the old ones",
        _JOINING + "test_a_rule_waits_for_those_who_asked_it_as_it_was",
        "begin_turn",
        "perform pg_advisory_xact_lock(hashtext('vsync'), hashtext('rules'));",
        "",
    ),
    Mutation(
        "rules: marking does not wait for who approves",
        "rules/test_holds.py::test_what_is_marked_while_somebody_approves_is_approved",
        "inherited",
        "where h.id = page.hold_id for share;",
        "where h.id = page.hold_id;",
    ),
    Mutation(
        "rules: creating one does not wait for writers",
        "rules/test_images.py::test_creating_a_rule_waits_for_who_is_writing",
        "sync_rules",
        "execute format('lock table",
        "perform format('lock table",
    ),
    Mutation(
        "rules: what is held counts as missing or stale",
        "rules/test_life.py::test_what_is_held_back_is_held_in_the_audit_and_not_repaired",
        "audit_query",
        "then coalesce(h.held, 'stale') end",
        "then 'stale' end",
    ),
    Mutation(
        "rules: a skip of another rule is forgotten when two meet",
        "rules/test_life.py::test_two_rules_that_held_one_document_back_both_count",
        "decide_again",
        "or m.also && rule_ids",
        "",
    ),
    Mutation(
        "rules: a condition may write",
        "rules/test_isolation.py::test_a_rule_that_writes_fails",
        "reader_ddl",
        " set transaction_read_only = on as %L",
        " as %L",
    ),
    Mutation(
        "rules: search finds what is excluded",
        "rules/test_exclude.py::test_a_document_is_hidden_with_the_commit_and_back_without_any_worker",
        "excluded_keys",
        "if vsync_internal.excluding(v_version.embedding) <> '{}' then",
        "if false then",
    ),
)

MUTATIONS = (*QUEUE, *LOG, *CAPTURE, *KEEPING, *WORKER, *AUDIT, *WAL, *VERSIONS, *RULES)
