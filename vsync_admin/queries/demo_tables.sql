create schema if not exists debian;
create table if not exists debian.packages (
    name text primary key,
    version text not null,
    section text not null,
    maintainer text not null,
    summary text not null,
    description text not null
);
comment on table debian.packages is 'packages of this machine''s own Debian, loaded by make demo';
create temporary table catalogue (like debian.packages);
