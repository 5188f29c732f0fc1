"""Mutations of row-level security."""

from tests.mutants.table.mutation import Mutation

_PENDING = "access/test_row_security_pending.py::"

ROW_SECURITY = (
    Mutation(
        "row security: the policy compares what a text was made from",
        _PENDING + "test_a_moved_row_shows_no_tenant_the_text_of_the_other",
        "put_policy",
        "format(' and %I.made_from = %s', version.data, vsync_internal.made_of(v_root, 'r'))",
        "''",
    ),
    Mutation(
        "row security: a text and what it was made from are of one snapshot",
        _PENDING + "test_a_text_and_what_it_was_made_from_are_of_one_snapshot",
        "call_render",
        " STABLE SECURITY DEFINER",
        " SECURITY DEFINER",
    ),
    Mutation(
        "row security: an unchanged text is made from the row as it is now",
        _PENDING + "test_a_moved_row_of_the_same_text_is_shown_again_without_the_model",
        "render",
        "perform vsync_internal.remake(v_version, token, v_moved, v_made_from);",
        "null;",
    ),
    Mutation(
        "row security: no rule holds back a text that nobody sees",
        _PENDING + "test_no_rule_keeps_an_old_text_that_nobody_sees[new.id > 0-skip]",
        "render",
        "when p.moved and m.verdict in ('skip', 'defer') then 'changed'",
        "",
    ),
    Mutation(
        "row security: a new policy shows nothing that has a change waiting",
        _PENDING + "test_policies_that_come_while_a_change_is_pending_show_nothing_of_it",
        "fill_made",
        "and (l.version_id = $1 or l.feed_id in",
        "and false and (l.version_id = $1 or l.feed_id in",
    ),
)
