create view vsync_internal.doctor_14_documents as
select 'documents' as name, 'error' as level,
    case when n.attnum = 0 then format('the document of %s, version %s, names %s, which is another relation now: it still reads %s',
            n.embedding, n.version, n.name, n.relation)
        else format('the document of %s, version %s, names column %I of %s, which is another column now: it still reads %I', n.embedding, n.version,
            n.name, n.relation, (select a.attname from pg_catalog.pg_attribute as a where a.attrelid = n.relation and a.attnum = n.attnum)) end as detail,
    format('To read what has the name now, with all vectors kept: select vsync.repair_embedding(%L)', n.embedding) as remediation
from vsync_internal.renamed_apart as n
union all
select 'documents', 'error', format('the document of %s, version %s, could not be analysed after a table was altered, what it read before is still captured: %s',
        v.embedding, v.version, v.analysis_error),
    format('Undo the change, or make the document valid again, then: select vsync.repair_embedding(%L)', v.embedding)
from vsync_internal.versions as v
where v.state <> 'dropped' and v.analysis_error is not null
union all
select 'documents', 'error', format('the serving view %s of %s is gone', format('%I.%I', s.nspname, e.name), e.name), format('select vsync.repair_capture(%L)', e.name)
from vsync_internal.embeddings as e
join pg_catalog.pg_class as r on r.oid = e.root
join pg_catalog.pg_namespace as s on s.oid = r.relnamespace
where not vsync_internal.has_view(e.name)
union all
select 'documents', 'warning',
    format('%s documents of %s, version %s, are hidden from who row-level security applies to, until a worker has looked at them', h.documents, v.embedding, v.version),
    'call vsync.work(), or run: vsync worker'
from vsync_internal.versions as v, lateral vsync_internal.hidden_by_policy(v.id) as h (documents)
where v.state <> 'dropped' and h.documents > 0
union all
select 'documents', 'error',
    format('policies of %s have changed, and the vectors of %s, version %s, do not follow them', e.root, v.embedding, v.version),
    'call vsync.work(), or run: vsync worker'
from vsync_internal.versions as v
join vsync_internal.embeddings as e on e.name = v.embedding
join pg_catalog.pg_class as c on c.oid = e.root
where v.state <> 'dropped' and to_regclass(format('vsync_data.%I', v.data)) is not null and v.policy is distinct from vsync_internal.policy_form(v);
comment on view vsync_internal.doctor_14_documents is
'documents whose names mean another table or column now, that could not be analysed again, whose serving view was dropped,
or that row-level security hides until a worker runs';
