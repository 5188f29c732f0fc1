create view vsync_internal.doctor_06_indexes as
select 'indexes' as name, 'warning' as level,
    format('the vectors of %s, version %s have no vector index yet', v.embedding, v.version) as detail,
    'A worker builds it after the first backlog: call vsync.work()' as remediation
from vsync_internal.versions as v
where v.state <> 'dropped' and vsync_internal.wants_index(v)
union all
select 'indexes', 'warning', format('%s is left from a build that broke off, and slows writes down', i.indexrelid::regclass),
    format('vsync index rebuild %s %s, or drop index concurrently %s', v.embedding, v.version, i.indexrelid::regclass)
from vsync_internal.versions as v
join pg_index as i on i.indrelid = to_regclass(format('vsync_data.%I', v.data))
join pg_class as c on c.oid = i.indexrelid
where c.relname::text in (v.data || '_ann_next', v.data || '_ann_old')
    and not exists (select from pg_stat_progress_create_index as b where b.relid = i.indrelid)
union all
select 'indexes', 'info', format('the index of %s, version %s is quantized (%s): a plain order by on the view does not use it', v.embedding, v.version, v.index ->> 'quantize'),
    format('select * from vsync.search(%L, …)', v.embedding)
from vsync_internal.versions as v
where v.state <> 'dropped' and v.index ->> 'quantize' <> 'none';
comment on view vsync_internal.doctor_06_indexes is 'indexes due and not built, left behind, or used by search() only';
