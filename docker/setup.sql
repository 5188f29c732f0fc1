-- What a new cluster of the container has; can be run again.
-- app owns the database and its embeddings; vsync_worker may run workers and nothing else. Neither is a superuser.
\set ON_ERROR_STOP on
\getenv app_password VSYNC_APP_PASSWORD
\getenv worker_password VSYNC_WORKER_PASSWORD
set log_min_error_statement = panic;
select format('create role app login password %L', :'app_password')
where not exists (select from pg_catalog.pg_roles where rolname = 'app') \gexec
select format('create role vsync_worker login password %L', :'worker_password')
where not exists (select from pg_catalog.pg_roles where rolname = 'vsync_worker') \gexec
select 'create database app owner app'
where not exists (select from pg_catalog.pg_database where datname = 'app') \gexec
revoke all on database app from public;
grant connect on database app to vsync_worker;
\connect app
create extension if not exists vsync cascade;
grant vsync_admin to app;
grant vsync_operator to vsync_worker;
