"""The shapes of documents that read several tables: for each its tables, small domains of keys and links, a document.

Every table has a `name` (text that documents read), a flag `live`, and `hits`, which no document reads. Links hold
keys that are there, keys that are missing, and null; no foreign key checks them, but for the shape "cascade".
"""

from dataclasses import dataclass, field

_COLUMNS = "name text, live boolean default true, hits int"
_NUMBERS = ("1", "2", "3", "4", "5", "6")
_PARENTS = ("1", "2", "3", "4", "null")


@dataclass(frozen=True)
class Table:
    """columns: SQL of the key and the links. keys: SQL rows of keys. links: a column and what may stand in it."""

    name: str
    columns: str
    key: tuple[str, ...] = ("id",)
    keys: tuple[str, ...] = _NUMBERS
    links: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    suffix: str = ""

    @property
    def create(self) -> str:
        return f"create table {self.name} ({self.columns}, {_COLUMNS}) {self.suffix}"


@dataclass(frozen=True, repr=False)
class Joined:
    """A document over tables, the root first. after: SQL run once the tables are there; drop: what it made.

    checked: by foreign keys, so that writers would wait for one another. by_wal: whether the WAL tells enough.
    """

    name: str
    tables: tuple[Table, ...]
    document: str
    key: tuple[str, ...] = ("id",)
    schema: str = "public"
    before: str = "select"
    after: str = "select"
    drop: str = "select"
    checked: bool = False
    by_wal: bool = True

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def root(self) -> Table:
        return self.tables[0]


def _child(name: str, link: str, domain: tuple[str, ...] = _PARENTS) -> Table:
    return Table(name, f"id int primary key, {link} int", links={link: domain})


def _parent(name: str, count: int = 4) -> Table:
    return Table(name, "id int primary key", keys=_NUMBERS[:count])


_PRODUCTS = _child("products", "category_id")
_CATEGORIES = _parent("categories")
_REVIEWS = _child("reviews", "product_id", (*_NUMBERS[:4], "null"))
_TEXT_KEYS = ("''", "'a'", "'it''s'", "'{a,b}'", "'\"q\\'", "'ünï 😀'")
_DAYS = ("'2024-02-03'", "'2024-03-02'", "'0044-03-15 BC'", "'infinity'")

JOINS = (
    Joined(
        "star",
        (
            Table(
                "products",
                "id int primary key, category_id int, brand_id text",
                links={"category_id": _PARENTS, "brand_id": (*_TEXT_KEYS[:4], "null")},
            ),
            _CATEGORIES,
            Table("brands", "id text primary key", keys=_TEXT_KEYS[:4]),
        ),
        "select p.id, p.name || ' in ' || c.name || coalesce(' by ' || b.name, '') as content from products as p"
        " join categories as c on c.id = p.category_id left join brands as b on b.id = p.brand_id where p.live",
    ),
    Joined(
        "chain",
        (
            _child("items", "product_id"),
            _child("products", "line_id"),
            Table(
                "lines", "id int primary key, brand_id date", keys=_NUMBERS[:4], links={"brand_id": (*_DAYS, "null")}
            ),
            Table("brands", "id date primary key", keys=_DAYS),
        ),
        "select i.id, i.name || ': ' || p.name || ', ' || l.name || ', ' || b.name as content from items as i"
        " join products as p on p.id = i.product_id join lines as l on l.id = p.line_id"
        " join brands as b on l.brand_id = b.id where b.live and p.live",
    ),
    Joined(
        "tags",
        (
            Table("posts", "id int primary key", keys=_NUMBERS[:4]),
            Table(
                "post_tags",
                "post_id int, tag_id int, primary key (post_id, tag_id)",
                key=("post_id", "tag_id"),
                keys=tuple(f"{post}, {tag}" for post in (1, 2, 3) for tag in (1, 2, 3)),
            ),
            _parent("tags"),
        ),
        "select p.id, p.name || coalesce(' tagged ' || (select string_agg(t.name, ', ' order by t.id) from post_tags"
        " as x join tags as t on t.id = x.tag_id where x.post_id = p.id and t.live), '') as content from posts as p",
    ),
    Joined(
        "staff",
        (_child("employees", "manager_id"),),
        "select e.id, e.name || coalesce(' under ' || m.name, '') || coalesce(' and ' || g.name, '') as content"
        " from employees as e left join employees as m on m.id = e.manager_id"
        " left join employees as g on g.id = m.manager_id and g.live",
    ),
    Joined(
        "children",
        (Table("products", "id int primary key"), _REVIEWS),
        "select p.id, p.name || ' reviews: ' || coalesce((select string_agg(r.name, '; ' order by r.id)"
        " from reviews as r where r.product_id = p.id and r.live), 'none') as content from products as p",
    ),
    Joined(
        "orphans",
        (_PRODUCTS, _CATEGORIES),
        "select p.id, p.name || ' in ' || coalesce(c.name, 'nothing') as content from products as p"
        " left join categories as c on c.id = p.category_id and c.live",
    ),
    Joined(
        "view",
        (
            _PRODUCTS,
            Table("categories", "id int primary key, area_id int", keys=_NUMBERS[:4], links={"area_id": _PARENTS}),
            _parent("areas"),
        ),
        "select p.id, p.name || ' in ' || v.label as content from products as p"
        " join labels as v on p.category_id = v.id",
        after="create view live_areas as select id as area, name as title from areas where live;"
        " create view labels as select c.id, c.name || coalesce(' of ' || a.title, '') as label"
        " from categories as c left join live_areas as a on a.area = c.area_id",
        drop="drop view if exists labels; drop view if exists live_areas",
    ),
    Joined(
        "exists",
        (Table("products", "id int primary key"), _child("stocks", "product_id")),
        "select p.id, p.name as content from products as p"
        " where exists (select from stocks as s where s.product_id = p.id and s.live)",
    ),
    Joined(
        "not_exists",
        (_PRODUCTS, _child("bans", "product_id"), _CATEGORIES),
        "select p.id, p.name as content from products as p"
        " where not exists (select 1 from bans as b join categories as c on c.name = b.name where b.product_id = p.id)"
        " and not exists (select 1 from categories as c where c.id = p.category_id and not c.live)",
    ),
    Joined(
        "composite",
        (
            Table(
                '"Sche ma"."Order Lines"',
                'region text, "Order" date, n int, primary key (n, region, "Order")',
                key=("region", '"Order"', "n"),
                keys=tuple(f"{_TEXT_KEYS[i % 3]}, {_DAYS[i % 2]}, {i % 2}" for i in range(6)),
            ),
            Table(
                '"Sche ma".orders',
                'day date, "Re""gion" text, ship text, primary key (day, "Re""gion")',
                key=("day", '"Re""gion"'),
                keys=tuple(f"{day}, {region}" for day in _DAYS[:2] for region in _TEXT_KEYS[:3]),
                links={"ship": (*_TEXT_KEYS[:3], "null")},
            ),
            Table('"Sche ma"."%s"', '"$1" text primary key', key=('"$1"',), keys=_TEXT_KEYS[:3]),
        ),
        'select l.n, l.region as "Re gion", l."Order", l.name || \' of \' || o.name'
        " || coalesce(s.name, '') as content"
        ' from "Sche ma"."Order Lines" as l join "Sche ma".orders as o on o."Re""gion" = l.region'
        ' and l."Order" = o.day left join "Sche ma"."%s" as s on (s."$1") = (o.ship)',
        key=("n", "Re gion", "Order"),
        schema="Sche ma",
        before='create schema "Sche ma"',
        drop='drop schema if exists "Sche ma" cascade',
    ),
    Joined(
        "listed",
        (_PRODUCTS, _child("features", "product_id"), _CATEGORIES),
        "select p.id, p.name as content from products as p where p.id in (select f.product_id from features as f"
        " where f.live) and p.category_id in (select c.id from categories as c where c.live)",
    ),
    Joined(
        "lateral",
        (Table("products", "id int primary key"), _REVIEWS),
        "select p.id, p.name || coalesce(' first: ' || r.name, '') || coalesce(' two: ' || t.names, '') as content"
        " from products as p left join lateral (select r.name from reviews as r where r.product_id = p.id and r.live"
        " order by r.id limit 1) as r on true left join lateral (select string_agg(l.name, ',' order by l.id) as names"
        " from (select l.id, l.name from reviews as l where p.id = l.product_id order by l.id desc limit 2) as l)"
        " as t on true",
    ),
    Joined(
        "grouped",
        (Table("products", "id int primary key"), _REVIEWS),
        "select p.id, p.name || ': ' || count(r.id) || coalesce(string_agg(r.name, ', ' order by r.id), '') as content"
        " from products as p left join reviews as r on r.product_id = p.id group by p.id",
    ),
    Joined(
        "common",
        (_PRODUCTS, _REVIEWS, _CATEGORIES),
        "with best as (select product_id, max(name) as name from reviews where live group by product_id),"
        " shelf as (select id, name from categories)"
        " select p.id, p.name || coalesce(' best: ' || b.name, '') || s.name as content from products as p"
        " left join best as b on b.product_id = p.id join shelf as s on s.id = p.category_id",
    ),
    Joined(
        "ranked",
        (Table("products", "id int primary key"), _REVIEWS),
        "select p.id, p.name || coalesce(' first: ' || r.name, '') as content from products as p left join"
        " (select product_id, name, row_number() over (partition by product_id order by id) as n from reviews) as r"
        " on r.product_id = p.id and r.n = 1",
    ),
    Joined(
        "cascade",
        (
            Table(
                "products",
                "id int primary key, category_id int references categories on update cascade on delete cascade,"
                " brand_id int references brands on update cascade on delete set null",
                links={"category_id": ("1", "2", "3", "null"), "brand_id": ("1", "2", "3", "null")},
            ),
            _parent("categories", 3),
            _parent("brands", 3),
        ),
        "select p.id, p.name || coalesce(' in ' || c.name, '') || coalesce(' by ' || b.name, '') as content"
        " from products as p left join categories as c on c.id = p.category_id"
        " left join brands as b on b.id = p.brand_id",
        checked=True,
    ),
    Joined(
        "parts",
        (
            _PRODUCTS,
            Table(
                "categories",
                "id int primary key, area_id int",
                keys=_NUMBERS[:4],
                links={"area_id": _PARENTS},
                suffix="partition by range (id)",
            ),
        ),
        "select p.id, p.name || ' in ' || c.name || coalesce(c.area_id::text, '') as content from products as p"
        " join categories as c on c.id = p.category_id",
        after="create table categories_low partition of categories for values from (minvalue) to (3);"
        " create table categories_high partition of categories for values from (3) to (maxvalue)",
    ),
    Joined(
        "generated",
        (
            _PRODUCTS,
            Table(
                "categories",
                "id int primary key, code int generated always as (case when id > 2 then id - 1 else id end) stored,"
                " title text generated always as (upper(name)) stored",
                keys=_NUMBERS[:4],
            ),
        ),
        "select p.id, p.name || coalesce(' in ' || (select string_agg(c.title, '+' order by c.id) from categories as c"
        " where c.code = p.category_id), '') as content from products as p",
        by_wal=False,
    ),
)
