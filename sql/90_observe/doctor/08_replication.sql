create view vsync_internal.doctor_08_replication as
select 'replication' as name, 'error' as level,
    format('%s receives rows by logical replication, whose changes fire no statement trigger', c.relation) as detail,
    format('select vsync.refresh(%L) from time to time', c.embedding) as remediation
from (select distinct d.relation, v.embedding from vsync_internal.dependencies as d
    join vsync_internal.versions as v on v.id = d.version_id and v.state <> 'dropped'
    join vsync_internal.feeds as f on f.id = d.feed_id and f.capture = 'trigger') as c
where exists (
    select from pg_catalog.pg_subscription_rel as s
    where s.srrelid in (select c.relation::oid union select vsync_internal.leaves(c.relation)));
comment on view vsync_internal.doctor_08_replication is 'captured tables that are targets of a subscription';
