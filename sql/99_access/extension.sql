-- What pg_dump takes along. Log and queue stay behind: a restored database starts over and compares every document.
do $$
declare
    v_table text;
begin
    foreach v_table in array array['settings', 'models', 'models_id_seq', 'embeddings', 'versions', 'versions_id_seq', 'progress', 'serving',
        'captures', 'captures_id_seq', 'feeds', 'feeds_id_seq', 'dependencies', 'document_names', 'document_texts', 'activations', 'activations_id_seq', 'comparisons', 'comparisons_id_seq', 'judgements',
        'rules', 'rules_id_seq', 'rule_revisions', 'rule_stats', 'holds', 'holds_id_seq',
        'experiments', 'experiments_id_seq', 'outcomes', 'identity', 'generation', 'token'] loop
        perform pg_catalog.pg_extension_config_dump(('vsync_internal.' || v_table)::regclass, '');
    end loop;
end
$$;
