-- Every owner's readers may be called from vsync_sandbox, and so by what any owner planted: a reader opens only to a ticket, which says
-- that vsync itself called it, in this transaction. Nothing is written, so that an audit in one snapshot can give one too.
create table vsync_internal.secret (
    one boolean primary key default true check (one),
    value bytea not null
);
comment on table vsync_internal.secret is 'what tickets are made with: every database has its own, no dump of the extension takes it along, and nobody may read it';
insert into vsync_internal.secret (value)
values (pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) operator(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid()));
create type vsync_internal.publishable as (
    key text, chunk int, content text, hash text, document text, vector text, further jsonb, whole text, truncated boolean, fresh boolean, made text);
comment on type vsync_internal.publishable is 'a chunk as the worker hands it over';
