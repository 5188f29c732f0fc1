create view vsync_internal.doctor_08_replication as
select 'replication' as name, 'error' as level,
    format('%s receives rows by logical replication, whose changes fire no statement trigger', e.root) as detail,
    format('select vsync.refresh(%L) from time to time', e.name) as remediation
from vsync_internal.embeddings as e
where exists (
    select from pg_catalog.pg_subscription_rel as s
    where s.srrelid in (select e.root::oid union select t.relid from pg_catalog.pg_partition_tree(e.root) as t));
comment on view vsync_internal.doctor_08_replication is 'roots that are targets of a subscription';
