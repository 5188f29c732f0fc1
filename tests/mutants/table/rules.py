"""Mutations of rules."""

from tests.mutants.table.mutation import Mutation

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
