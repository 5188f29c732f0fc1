create schema shop;
create extension citext schema public;

create table shop.categories (
    id int primary key,
    name text,
    code varchar(10) unique,
    parent_id int references shop.categories,
    rank int,
    label text generated always as (upper(name)) stored
);
create table shop.brands (tenant int, code text, name text, primary key (tenant, code));
create table shop.products (
    id bigint primary key,
    title text,
    body text,
    category_id int,
    other_id int,
    brand_tenant int,
    brand_code text,
    code public.citext,
    published boolean,
    tags text[],
    info jsonb
);
create table shop.reviews (id bigint primary key, product_id bigint, author_id int, body text, stars int);
create table shop.authors (id int primary key, name text, country text);
create table shop.tags (id int primary key, name text);
create table shop.product_tags (product_id bigint, tag_id int, primary key (product_id, tag_id));
create table shop.aliases (alias public.citext, name text);
create table shop.rates (country text, rate int);
create table shop.orders (id bigint, day int, product_id bigint, note text, primary key (day, id)) partition by range (day);
create table shop.orders_early partition of shop.orders for values from (0) to (3);
create table shop.orders_late partition of shop.orders for values from (3) to (9);

create view shop.live as
select p.*, c.name as category, c.rank as category_rank
from shop.products p left join shop.categories c on c.id = p.category_id
where p.published;
create view shop.lively as
select l.id, l.title, l.category, (select count(*) from shop.reviews r where r.product_id = l.id) as reviews
from shop.live l;
create view shop.ratings (product, stars, best) as
select r.product_id, avg(r.stars), max(r.body) from shop.reviews r group by r.product_id;
create view shop.top_reviews as select * from shop.reviews order by stars desc, id limit 2;
create view shop.either as select id, name from shop.tags union select id, name from shop.authors;
create view shop.moody as select id, name || random() as name from shop.tags;
create materialized view shop.frozen as select id, name from shop.tags;

create function shop.rate_of(wanted text) returns text language sql stable
return (select max(r.rate)::text from shop.rates r where r.country = wanted);
create function shop.parts(value text) returns setof text language sql immutable return value;
