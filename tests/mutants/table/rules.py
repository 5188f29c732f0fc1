"""Mutations of rules."""

from tests.mutants.table.mutation import Mutation

_JOINING = "rules/test_joining.py::"
_MOMENTS = "rules/test_moments.py::"

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
        "begin_turns",
        "perform vsync_internal.lock_table('rules', 'share row exclusive');",
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
        "rules/test_life.py::test_changes_of_two_tables_that_two_rules_held_back_both_count",
        "decide_again",
        "or l.rule_id = any (m.also)",
        "",
    ),
    Mutation(
        "rules: a condition may write",
        "rules/test_isolation.py::test_a_rule_that_writes_fails",
        "reading_only",
        "perform pg_catalog.set_config(''transaction_read_only'', ''on'', true);",
        "",
    ),
    Mutation(
        "rules: search finds what is excluded",
        "rules/test_exclude.py::test_a_document_is_hidden_with_the_commit_and_back_without_any_worker",
        "excluded_keys",
        "if vsync_internal.excluding(v_version.embedding) <> '{}' then",
        "if false then",
    ),
    Mutation(
        "rules: a worker sleeps past the moment at which a rule ends",
        _MOMENTS + "test_a_worker_that_sleeps_its_longest_is_there_in_time[_ends]",
        "falls_due_at",
        "array[r.valid_from, r.valid_until, r.refresh_at]",
        "array[r.valid_from, r.refresh_at]",
    ),
    Mutation(
        "rules: a worker sleeps past what falls due",
        _MOMENTS + "test_a_worker_that_sleeps_its_longest_is_there_in_time[_falls_due]",
        "falls_due_at",
        "m.due_at > now() and",
        "false and",
    ),
    Mutation(
        "rules: a change that comes meanwhile keeps what a dropped rule held",
        _MOMENTS + "test_a_change_that_comes_while_a_turn_is_followed_does_not_keep_what_a_dropped_rule_held",
        "mark",
        "when k.keeps then m.decided else excluded.decided end",
        "else excluded.generation end",
    ),
    Mutation(
        "rules: what time shows again is not looked at",
        "rules/test_exclude.py::test_what_changed_while_time_hid_it_is_embedded_when_time_shows_it",
        "hidden_keys",
        "p.hidden_at <= now() - interval '1 minute'",
        "false",
    ),
    Mutation(
        "rules: a condition that asks the time is taken for one that does not",
        "rules/test_exclude.py::test_what_may_end_by_itself_is_known_when_the_rule_is_made[new.shown_at > now()-True]",
        "prove_rule",
        "where f ->> 'volatility' <> 'i'",
        "where f ->> 'volatility' = 'v'",
    ),
    Mutation(
        "rules: a plain change below a hold is forgotten",
        "rules/test_joining.py::test_a_plain_change_below_a_hold_comes_to_light_when_that_ends",
        "decide_again",
        "where not c.image ? 'plain'",
        "where true",
    ),
)
