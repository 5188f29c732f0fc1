"""Mutations of triggers, the WAL reader and the paths of dependencies."""

from tests.mutants.table.mutation import Mutation

_CAPTURE = "races/test_capture.py::"

_TICKETS = "access/test_tickets.py::"

_NO_TICKET = "(ticket = vsync_internal.stamp(data)) is not true"

_FAR = """from pg_catalog.unnest(%s) as t (key)) as u) select distinct %s from (%s) as d',
        vsync_internal.key_values(dependency -> 'keys', 'u.key'), tuples,
"""

_FAR_TOO = """from pg_catalog.unnest(%s) as t (key)
        where t.key in (select f.%I::text from %s as f)) as u) select distinct %s from (%s) as d',
        vsync_internal.key_values(dependency -> 'keys', 'u.key'), tuples,
        dependency #>> '{keys,0,column}', (dependency ->> 'relation_oid')::oid::regclass,
"""

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
        "reader_pins",
        "security definer",
        "security invoker",
    ),
    Mutation(
        "a reader opens without a ticket",
        _TICKETS + "test_a_ticket_opens_one_version_in_one_transaction[keys]",
        "admit",
        _NO_TICKET,
        "false",
    ),
    Mutation(
        "one ticket opens every reader",
        _TICKETS + "test_a_ticket_opens_one_version_in_one_transaction[render]",
        "stamp",
        "now()), data)",
        "now()), 'data')",
    ),
    Mutation(
        "a ticket never ends",
        _TICKETS + "test_a_ticket_opens_one_version_in_one_transaction[delta]",
        "stamp",
        "extract(epoch from now())",
        "0",
    ),
)

JOINS = (
    Mutation(
        "a dependency's tuples are joined with its rows of today",
        "promise/test_join_histories.py::test_every_shape_is_followed_link_by_link[trigger-children]",
        "delta_query",
        _FAR,
        _FAR_TOO,
    ),
)

WAL = (
    Mutation(
        "the slot is read with get, not with peek",
        "chaos/test_wal_kill.py::test_a_crash_at_any_step_of_reading_loses_nothing[WAL_APPEND.after]",
        "wal_peek",
        "pg_logical_slot_peek_binary_changes",
        "pg_logical_slot_get_binary_changes",
    ),
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
    Mutation(
        "what was missed while triggers were disabled is not compared",
        "promise/test_detached.py::test_triggers_disabled_and_enabled_in_one_transaction_lose_nothing[event triggers]",
        "watch_captures",
        "perform vsync_internal.review(v_capture.relation, 'M');",
        "null;",
    ),
    Mutation(
        "documents are not stale while what was missed is compared",
        "promise/test_detached.py::test_documents_stay_stale_until_the_audit_has_passed",
        "fold",
        "missed = p.missed or v_target.missed",
        "missed = p.missed",
    ),
    Mutation(
        "a failed analysis after DDL is not recorded",
        "promise/test_detached.py::test_a_dropped_primary_key_is_recorded_until_it_is_back",
        "try_reanalyse",
        "set analysis_error = sqlerrm",
        "set analysis_error = null",
    ),
    Mutation(
        "the names that a document was resolved by are not recorded",
        "promise/test_detached.py::test_a_swap_by_rename_is_reported_with_what_binds_the_document_again[tables-trigger]",
        "record_names",
        "coalesce(a.attname::text, format('%I.%I', s.nspname, c.relname))",
        "'no.such'",
    ),
    Mutation(
        "names that a transaction gave and took away are kept",
        "promise/test_detached.py::test_a_name_that_was_given_for_a_while_may_be_used_again",
        "record_names",
        "n.name <> m.name and (n.since = now() or n.since > (",
        "n.name <> m.name and (n.since > (",
    ),
    Mutation(
        "documents of a table that was swapped count as fresh",
        "promise/test_detached.py::test_a_swap_by_rename_is_reported_with_what_binds_the_document_again[tables-trigger]",
        "unseen",
        "where n.version_id = unseen.version_id",
        "where false",
    ),
)
