-- Nothing is executable by PUBLIC; the three roles nest: reader, operator, admin.
revoke all on all functions in schema vsync, vsync_internal from public;
revoke all on all procedures in schema vsync, vsync_internal from public;

grant usage on schema vsync, vsync_internal, vsync_data to vsync_reader;
grant usage on schema vsync_data to vsync_sandbox;
grant create on schema vsync_data to vsync_admin;
-- the serving views are security_invoker: what they read is granted to all and guarded by the views and by policies
grant select on vsync_internal.serving to public;

grant select on vsync.models, vsync.embeddings, vsync.versions, vsync.activations, vsync.settings to vsync_reader;
-- counts, keys and hashes know no row-level security: not for readers
grant select on vsync.failures, vsync.stat_embeddings, vsync.stat_queue, vsync.stat_versions, vsync.stat_capture, vsync.judgements, vsync.stat_experiments to vsync_operator;

do $$
declare
    v_function regprocedure;
    v_role text;
begin
    for v_function, v_role in
        select p.oid::regprocedure, a.role
        from (values
            ('vsync_reader', '{search,report_outcome,query_vector,embed,explain_embedding,describe_embedding,version_at}'::text[]),
            ('vsync_operator', '{work,refresh,retry,doctor,explain_row,explain_impact,audit,compare_versions}'),
            ('vsync_admin', '{create_embedding,drop_embedding,add_version,activate_version,rollback_version,drop_version,end_rollback,pause_version,resume_version,start_experiment,stop_experiment,judge,repair_capture,set_capture,register_model,configure}'),
            ('vsync_operator', '{estimate_recall}'), ('vsync_admin', '{index_statements}')) as a (role, names)
        join pg_catalog.pg_proc as p on p.proname::text = any (a.names) and p.pronamespace = 'vsync'::regnamespace
        union all
        select p.oid::regprocedure, a.role
        from (values
            ('vsync_reader', '{raise,raise_if_error,fingerprint,answering_version,challenger,counter,counter_name,count_call,report_outcome,did_you_mean,check_object,check_options,setting,vector_schema,embed_clean,current_model,serving_model,
                serving_version,stale_keys,key_text,key_json,key_values,key_list,key_places,key_of,find_embedding,configuration,graph,version_at}'::text[]),
            ('vsync_operator', '{failures,judgements,stat_experiments,stat_embeddings,stat_queue,stat_versions,explain_row,explain_impact,audit,audit_page,compare_versions,doctor,refresh,retry,fold,expand,rotate,reap,claim,renew,reserve,render,publish,release,postpone,fail,back_off,
                backfill,build_index,adopt,refresh_regularly,settle_versions,duties,outstanding,folded_since,model_spec,watermark}'),
            ('vsync_admin', '{require_superuser,require_owner,configure,check_document,analyse_document,check_chunk,document_catalog,quoted_query,data_name,declare_document,
                installer,renderer,check_new_embedding,check_readable,reader_ddl,reader_suffixes,tuple_query,admit,delta_ddl,delta_query,plan_warnings,create_embedding,drop_embedding,plan_version,add_version,activate_version,rollback_version,
                drop_version,end_rollback,pause_version,start_experiment,stop_experiment,put_judgement,repair_capture}'),
            ('vsync_reader', '{distance,ordering,index_term,has_index,candidates,tune}'), ('vsync_operator', '{estimate_recall}'), ('vsync_admin', '{index_statements}'),
            ('vsync_operator', '{stat_capture,wal_duty,wal_make,wal_lose,wal_inspect,wal_failed,wal_drop,wal_begin,wal_feeds,wal_peek,wal_append,wal_review,wal_confirm,wal_advance,
                wal_target,wal_reached,sync_publication}'),
            ('vsync_admin', '{check_wal,check_capture,leaves,identity_columns,capture_facts,set_capture}')) as a (role, names)
        join pg_catalog.pg_proc as p on p.proname::text = any (a.names) and p.pronamespace = 'vsync_internal'::regnamespace
    loop
        execute pg_catalog.format('grant execute on routine %s to %I', v_function, v_role);
    end loop;
end
$$;
