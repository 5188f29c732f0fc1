-- Nothing is executable by PUBLIC; the three roles nest: reader, operator, admin.
revoke all on all functions in schema vsync, vsync_internal from public;
revoke all on all procedures in schema vsync, vsync_internal from public;

grant usage on schema vsync, vsync_internal, vsync_data to vsync_reader;
grant usage on schema vsync_internal, vsync_data to vsync_sandbox;
-- the serving views are security_invoker: what they read is granted to all and guarded by the views and by policies
grant select on vsync_internal.serving to public;

grant select on vsync.models, vsync.embeddings, vsync.versions, vsync.activations, vsync.settings, vsync.rules, vsync.rule_history to vsync_reader;
-- counts, keys and hashes know no row-level security: not for readers
grant select on vsync.failures, vsync.stat_embeddings, vsync.stat_queue, vsync.stat_versions, vsync.stat_capture, vsync.judgements, vsync.stat_experiments,
    vsync.stat_rules, vsync.decisions, vsync.holds to vsync_operator;

do $$
declare
    v_function regprocedure;
    v_role text;
begin
    for v_function, v_role in
        select p.oid::regprocedure, a.role
        from (values
            -- vsync, 00_foundation
            ('vsync', 'vsync_admin', '{configure}'),
            -- vsync, 10_models
            ('vsync', 'vsync_reader', '{embed}'),
            ('vsync', 'vsync_admin', '{register_model}'),
            -- vsync, 20_documents
            ('vsync', 'vsync_reader', '{release_table, resume_table}'),
            ('vsync', 'vsync_admin', '{create_embedding, drop_embedding, repair_embedding}'),
            -- vsync, 30_capture
            ('vsync', 'vsync_admin', '{repair_capture, set_capture}'),
            -- vsync, 40_queue
            ('vsync', 'vsync_operator', '{retry}'),
            -- vsync, 50_refresh
            ('vsync', 'vsync_operator', '{refresh, work}'),
            ('vsync', 'vsync_admin', '{index_statements}'),
            -- vsync, 60_rules
            ('vsync', 'vsync_reader', '{changed, text_change}'),
            ('vsync', 'vsync_admin', '{alter_rule, approve, create_rule, disable_rule, drop_rule,
                enable_rule, preview_rule, reject}'),
            -- vsync, 70_versions
            ('vsync', 'vsync_reader', '{report_outcome, version_at}'),
            ('vsync', 'vsync_operator', '{compare_versions}'),
            ('vsync', 'vsync_admin', '{activate_version, add_version, drop_version, end_rollback, judge,
                pause_version, resume_version, rollback_version, start_experiment, stop_experiment}'),
            -- vsync, 80_serve
            ('vsync', 'vsync_reader', '{query_vector, search}'),
            -- vsync, 90_observe
            ('vsync', 'vsync_reader', '{describe_embedding, explain_embedding}'),
            ('vsync', 'vsync_operator', '{audit, doctor, estimate_recall, explain_impact, explain_row}'),
            -- vsync_internal, 00_foundation
            ('vsync_internal', 'vsync_reader', '{check_object, check_options, did_you_mean,
                notice_long_name, raise_if_error, require_primary, setting, vector_schema}'),
            ('vsync_internal', 'vsync_operator', '{begin_work, end_work}'),
            ('vsync_internal', 'vsync_admin', '{configure, require_owner, require_superuser}'),
            -- vsync_internal, 10_models
            ('vsync_internal', 'vsync_reader', '{current_model, embed_clean}'),
            ('vsync_internal', 'vsync_operator', '{model_spec}'),
            ('vsync_internal', 'vsync_admin', '{answer, ask, forget_answers}'),
            -- vsync_internal, 20_documents
            ('vsync_internal', 'vsync_reader', '{check_release, check_served, find_embedding, fingerprint,
                key_json, key_list, key_of, key_places, key_text, key_values, release_table, released_versions,
                resume_version}'),
            ('vsync_internal', 'vsync_operator', '{refresh_regularly, resume}'),
            ('vsync_internal', 'vsync_admin', '{analyse_document, bind_again, check_chunk, check_document,
                check_new_embedding, check_readable, check_trigger_rights, chosen, create_embedding, data_name,
                declare_document, delta_ddl, delta_query, document_catalog, down_versions, drop_embedding,
                further_columns, installer, notice_difference, open_stage, operator_schema, path_hint, pathless,
                plan_warnings, quoted_query, reader_ddl, reader_suffixes, reading_only, renderer, repair_version,
                try_document}'),
            ('vsync_internal', 'vsync_sandbox', '{path_hint, path_of, pathless}'),
            -- vsync_internal, 30_capture
            ('vsync_internal', 'vsync_operator', '{sync_publication, wal_advance, wal_append, wal_begin,
                wal_confirm, wal_drop, wal_duty, wal_failed, wal_feeds, wal_inspect, wal_lose, wal_make, wal_peek,
                wal_reached, wal_review, wal_target, watch_captures}'),
            ('vsync_internal', 'vsync_admin', '{capture_facts, check_capture, check_wal, identity_columns,
                leaves, repair_capture, set_capture}'),
            -- vsync_internal, 40_queue
            ('vsync_internal', 'vsync_operator', '{back_off, claim, expand, fail, fold, isolate, postpone,
                reap, release, renew, reserve, retry, rotate, try_again}'),
            -- vsync_internal, 50_refresh
            ('vsync_internal', 'vsync_reader', '{has_index, index_term}'),
            ('vsync_internal', 'vsync_operator', '{adopt, backfill, build_index, duties, folded_since,
                outstanding, publish, refresh, render, watermark, work}'),
            ('vsync_internal', 'vsync_admin', '{admit, end_lasting, index_statements, lasting}'),
            ('vsync_internal', 'vsync_sandbox', '{end_call, end_lasting, lasting}'),
            -- vsync_internal, 60_rules
            ('vsync_internal', 'vsync_reader', '{excluded_keys, find_rule}'),
            ('vsync_internal', 'vsync_operator', '{attend_rules, count_change, decide, decisions,
                forget_decisions, forget_holds, hidden_keys, holds, judge, judge_pages, put_off, record_rules,
                refresh_by_rule, refreshes_due, rule_out, rules_asked, show_again, stat_rules, undecided}'),
            ('vsync_internal', 'vsync_admin', '{alter_rule, analyse_rule, create_rule, decide_hold,
                drop_rule, hold_owner, may_change_rule, may_decide, preview_rule}'),
            -- vsync_internal, 70_versions
            ('vsync_internal', 'vsync_reader', '{answering_version, challenger, count_call, counter,
                counter_name, report_outcome, version_at}'),
            ('vsync_internal', 'vsync_operator', '{compare_versions, judgements, settle_versions, stat_experiments}'),
            ('vsync_internal', 'vsync_admin', '{activate_version, add_version, drop_version, end_rollback,
                pause_version, plan_version, put_judgement, require_author, rollback_version, start_experiment,
                stop_experiment}'),
            -- vsync_internal, 80_serve
            ('vsync_internal', 'vsync_reader', '{candidates, distance, ordering, serving_model,
                serving_version, stale_keys, tune}'),
            -- vsync_internal, 90_observe
            ('vsync_internal', 'vsync_reader', '{configuration, graph}'),
            ('vsync_internal', 'vsync_operator', '{audit, audit_page, doctor, estimate_recall,
                explain_impact, explain_row, failures, stat_capture, stat_embeddings, stat_queue, stat_versions,
                work_progress, worker_report}'),
            -- vsync_internal, 99_access
            ('vsync_internal', 'vsync_operator', '{key_argument}')) as a (schema, role, names)
        join pg_catalog.pg_proc as p on p.proname::text = any (a.names::text[]) and p.pronamespace = a.schema::regnamespace
    loop
        execute pg_catalog.format('grant execute on routine %s to %I', v_function, v_role);
    end loop;
end
$$;

-- search() writes pgvector's operators and types with their schema
do $$
begin
    execute pg_catalog.format('grant usage on schema %I to vsync_reader', vsync_internal.vector_schema());
exception when insufficient_privilege then
    null; -- somebody else's schema: the doctor names the grant
end
$$;
