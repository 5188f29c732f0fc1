create schema shop;
create schema "Odd Schema";

create type shop.address as (city text, zip text);
create type shop.mood as enum ('good', 'bad');
create domain shop.label as varchar(40);
create domain shop.short_label as shop.label check (length(value) < 20);
create domain shop.product_number as bigint check (value > 0);

create table shop.products (
    id bigint primary key,
    title text,
    body text,
    code char(8),
    name varchar(40),
    published boolean,
    stock int,
    price numeric(10, 2),
    changed timestamptz,
    day date,
    tags text[],
    info jsonb,
    address shop.address,
    mood shop.mood,
    short shop.short_label,
    "Mixed Name" text,
    "end" text,
    "user" text,
    "say ""hi""" text,
    picture bytea,
    page xml,
    search tsvector,
    headline text generated always as (upper(title) || coalesce(body, '')) stored
);

create table shop.pairs (
    tenant uuid,
    "Key" text collate "C",
    part numeric(6, 2),
    body text,
    primary key ("Key", tenant, part)
);
create table shop.typed (id shop.product_number primary key, body shop.short_label);
create table shop.moods (id shop.mood primary key, body text);
create table shop.periods (id int4range primary key, body text);
create table shop.paths (id text[] primary key, body text);
create table shop.reserved (version int primary key, body text);
create table shop.keyless (id bigint, body text);
create table shop.uniquely (id bigint not null unique, body text);
create unlogged table shop.cache (id bigint primary key, body text);
create table "Odd Schema"."Odd Table" ("Id" int primary key, "The Text" text, "drop" text);

create table shop.events (id bigint, day date, body text, gone text, primary key (day, id)) partition by range (day);
create table shop.events_2024 partition of shop.events for values from ('2024-01-01') to ('2025-01-01');
alter table shop.events drop column gone;

create table shop.parents (id bigint primary key, body text);
create table shop.children (primary key (id)) inherits (shop.parents);
create table shop.halves (id bigint not null, body text) partition by list (id);
create table shop.half partition of shop.halves for values in (1);
alter table only shop.halves add primary key (id);

create view shop.published as select p.id, p.body from shop.products p where p.published;
create materialized view shop.copied as select p.id, p.body from shop.products p;
create sequence shop.numbers;

create foreign data wrapper nowhere;
create server nowhere foreign data wrapper nowhere;
create foreign table shop.elsewhere (id bigint, body text) server nowhere;
create table shop.mixed (id bigint, body text) partition by list (id);
create foreign table shop.mixed_elsewhere partition of shop.mixed for values in (1) server nowhere;

create function shop.slug(value text, suffix text default '') returns text
language sql immutable as 'select lower(value) || suffix';
create function shop.looked_up(value text) returns text language sql stable as 'select value';
create function shop.unmarked(value text) returns text language sql as 'select value';
create function shop.every(variadic words text[]) returns text language sql immutable as 'select words[1]';
create function shop.words(value text) returns setof text language sql immutable as 'select value';
create function shop.alike(a text, b text) returns boolean language sql immutable as 'select a = b';
create function shop.unlike(a text, b text) returns boolean language sql volatile as 'select a <> b';
create operator shop.=== (leftarg = text, rightarg = text, function = shop.alike);
create operator shop.!== (leftarg = text, rightarg = text, function = shop.unlike);
create aggregate shop.last_text(text) (sfunc = textcat, stype = text);
