"""Mutations of what is kept over a restore, and the audit."""

from tests.mutants.table.mutation import Mutation

_KEEPING = "races/test_keeping.py::"

_SKIPPED = """raise notice 'embedding "%" already exists, skipping', name;
            return false;"""

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
        "the owner is the name at creation",
        "access/test_owner_rights.py::test_an_owner_that_is_renamed_stays_the_owner",
        "owner_of",
        "coalesce(pg_get_userbyid(p.proowner), e.owner)",
        "e.owner",
    ),
    Mutation(
        "a null of a type of one's own is an empty text",
        "promise/test_keys.py::test_a_null_in_a_dependencys_tuple_is_no_empty_text[mood]",
        "key_text",
        "case when %1$s is distinct from null then pg_catalog.format(''%%s'', %1$s) end",
        "pg_catalog.format(''%%s'', %1$s)",
    ),
    Mutation(
        "the serving view stays where it was",
        "promise/test_ddl.py::test_a_root_that_moves_to_another_schema_is_followed",
        "follow_ddl",
        "perform vsync_internal.attempt(format('select vsync_internal.follow_schema(%L)', e.root::oid)) from (",
        "perform from (",
    ),
    Mutation(
        "whoever may call inspect_model reads the server's files",
        _KEEPING + "test_nobody_but_a_superuser_reaches_model_paths[inspect-vsync_reader]",
        "",
        "",
        "grant execute on all functions in schema vsync_internal to vsync_reader",
    ),
    Mutation(
        "what two embeddings read is dropped, and only one of them taken down",
        "versions/test_down.py::test_a_root_of_two_embeddings_is_dropped_and_made_again",
        "sync_feeds",
        "if not exists (select from pg_class as c where c.oid = relation) then",
        "if false then",
    ),
    Mutation(
        "two put a version up at once",
        "versions/test_down.py::test_two_that_repair_at_once_do_not_meet",
        "put_up",
        "perform from vsync_internal.progress as p where p.version_id = put_up.version_id for update;",
        "",
    ),
    Mutation(
        "a second release resumes for what was altered since the first",
        "versions/test_release.py::test_a_second_release_undoes_nothing_for_what_was_altered_since_the_first",
        "release_table(regclass)",
        "case when r.at < now() then excluded.shape else r.shape end",
        "r.shape",
    ),
    Mutation(
        "an alter_rule that alters nothing asks nobody and keeps the rule's lock",
        "access/test_definers.py::test_a_creation_that_finds_the_name_taken_keeps_no_lock_on_it",
        "alter_rule(name,text,text,jsonb,int,timestamptz,timestamptz,boolean)",
        "perform vsync_internal.may_change_rule(name);",
        "",
    ),
    Mutation(
        "who owns a partition alone releases what reads the whole",
        "access/test_definers.py::test_who_owns_a_partition_alone_does_not_release_what_reads_the_whole",
        "check_release",
        "c.oid = d.relation",
        "c.oid = check_release.relation",
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
        "what an owner's code does in an audit is not rolled back",
        "observe/test_audit.py::test_code_put_off_to_the_commit_never_runs",
        "call_hashes",
        "raise sqlstate 'VS900';",
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
