"""The shapes of documents: what is supported, with the tables read and their paths to the root, and what is refused.

One list for the tests, which hold it against a server, and for docs/reference/documents.md, which is made from it.
The tables are in graph_tables.sql.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reads:
    """A dependency: `table alias`, the columns that matter, and the path, its steps after one another."""

    table: str
    columns: str
    path: tuple[str, ...]
    whole_row: bool = False
    declared: bool = False


@dataclass(frozen=True)
class Supported:
    """A document that is followed. root: the columns of products that matter, or of the table named before a colon."""

    title: str
    query: str
    root: str
    reads: tuple[Reads, ...]
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    shown: bool = True


@dataclass(frozen=True)
class Refused:
    """A document that is refused: SQLSTATE, a part of the message, parts of DETAIL and HINT."""

    title: str
    query: str
    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    shown: bool = True


CATEGORY = "c.id = p.category_id"
REVIEW = "r.product_id = p.id"

_RATES = {
    "depends_on": [
        {
            "relation": "shop.rates",
            "query": "select r.product_id from changed join shop.authors a on a.country = changed.country"
            " join shop.reviews r on r.author_id = a.id;",
        }
    ]
}
_WITHOUT = "without a path to the root"

SUPPORTED = (
    Supported(
        "Inner join",
        "select p.id, p.title || c.name as content from shop.products p join shop.categories c on c.id = p.category_id",
        "id title category_id",
        (Reads("categories c", "id name", (CATEGORY,)),),
    ),
    Supported(
        "Left join",
        "select p.id, p.title || coalesce(c.name, '') as content"
        " from shop.products p left join shop.categories c on c.id = p.category_id and c.rank > 1",
        "id title category_id",
        (Reads("categories c", "id name rank", (CATEGORY,)),),
    ),
    Supported(
        "Condition on any table",
        "select p.id, p.title as content from shop.products p, shop.categories c"
        " where c.id = p.category_id and c.rank > 1 and p.published",
        "id title category_id published",
        (Reads("categories c", "id rank", (CATEGORY,)),),
    ),
    Supported(
        "Chain of joins",
        "select p.id, p.title || coalesce(c.name, '') || coalesce(d.name, '') as content from shop.products p"
        " left join shop.categories c on c.id = p.category_id left join shop.categories d on d.id = c.parent_id",
        "id title category_id",
        (
            Reads("categories c", "id name parent_id", (CATEGORY,)),
            Reads("categories d", "id name", ("d.id = c.parent_id", CATEGORY)),
        ),
    ),
    Supported(
        "Many-to-many, grouped by the key",
        "select p.id, p.title || string_agg(t.name, ' ' order by t.name) as content from shop.products p"
        " join shop.product_tags pt on pt.product_id = p.id join shop.tags t on t.id = pt.tag_id group by p.id",
        "id title",
        (
            Reads("product_tags pt", "product_id tag_id", ("pt.product_id = p.id",)),
            Reads("tags t", "id name", ("t.id = pt.tag_id", "pt.product_id = p.id")),
        ),
    ),
    Supported(
        "Composite key",
        "select p.id, p.title || b.name as content from shop.products p"
        " join shop.brands b on (b.tenant, b.code) = (p.brand_tenant, p.brand_code)",
        "id title brand_tenant brand_code",
        (Reads("brands b", "tenant code name", ("b.tenant = p.brand_tenant and b.code = p.brand_code",)),),
    ),
    Supported(
        "USING and NATURAL",
        "select id, t.name as content from shop.products join shop.tags t using (id) natural left join shop.authors",
        "id",
        (
            Reads("tags t", "id name", ("t.id = products.id",)),
            Reads("authors authors", "id name", ("authors.id = products.id",)),
        ),
    ),
    Supported(
        "Self-join",
        "select c.id, c.name || coalesce(d.name, '') as content"
        " from shop.categories c left join shop.categories d on d.id = c.parent_id",
        "categories: id name parent_id",
        (Reads("categories d", "id name", ("d.id = c.parent_id",)),),
    ),
    Supported(
        "Nested joins",
        "select p.id, p.title || coalesce(c.name, '') as content from shop.products p"
        " left join (shop.categories c join shop.tags t on t.id = c.rank) on c.id = p.category_id",
        "id title category_id",
        (
            Reads("categories c", "id name rank", (CATEGORY,)),
            Reads("tags t", "id", ("t.id = c.rank", CATEGORY)),
        ),
    ),
    Supported(
        "Scalar subquery",
        "select p.id, p.title || coalesce((select string_agg(r.body, ' ' order by r.id) from shop.reviews r"
        " where r.product_id = p.id), '') as content from shop.products p",
        "id title",
        (Reads("reviews r", "id product_id body", (REVIEW,)),),
    ),
    Supported(
        "EXISTS and NOT EXISTS",
        "select p.id, p.title as content from shop.products p"
        " where exists (select from shop.reviews r where r.product_id = p.id and r.stars > 2)"
        " and not exists (select from shop.product_tags pt where pt.product_id = p.id)",
        "id title",
        (
            Reads("reviews r", "product_id stars", (REVIEW,)),
            Reads("product_tags pt", "product_id", ("pt.product_id = p.id",)),
        ),
    ),
    Supported(
        "EXISTS under OR",
        "select p.id, p.title as content from shop.products p"
        " where p.published or exists (select from shop.reviews r where r.product_id = p.id)",
        "id title published",
        (Reads("reviews r", "product_id", (REVIEW,)),),
    ),
    Supported(
        "IN (SELECT …)",
        "select p.id, p.title as content from shop.products p"
        " where p.category_id in (select c.id from shop.categories c where c.rank > 1)"
        " and (p.brand_tenant, p.brand_code) in (select b.tenant, b.code from shop.brands b)",
        "id title category_id brand_tenant brand_code",
        (
            Reads("categories c", "id rank", (CATEGORY,)),
            Reads("brands b", "tenant code", ("b.tenant = p.brand_tenant and b.code = p.brand_code",)),
        ),
    ),
    Supported(
        "IN leads through its subquery",
        "select p.id, coalesce((select string_agg(a.name, ' ' order by a.id) from shop.authors a"
        " where a.id in (select r.author_id from shop.reviews r where r.product_id = p.id)), '') as content"
        " from shop.products p",
        "id",
        (
            Reads("authors a", "id name", ("a.id = r.author_id", REVIEW)),
            Reads("reviews r", "product_id author_id", (REVIEW,)),
        ),
    ),
    Supported(
        "ARRAY (SELECT …)",
        "select p.id, array_to_string(array(select r.body from shop.reviews r where r.product_id = p.id order by r.id),"
        " ' ') as content from shop.products p",
        "id",
        (Reads("reviews r", "id product_id body", (REVIEW,)),),
    ),
    Supported(
        "LATERAL with LIMIT",
        "select p.id, p.title || coalesce(t.body, '') || coalesce(a.name, '') as content from shop.products p"
        " left join lateral (select r.body, r.author_id from shop.reviews r where r.product_id = p.id"
        " order by r.stars desc, r.id limit 1) t on true left join shop.authors a on a.id = t.author_id",
        "id title",
        (
            Reads("reviews r", "id product_id author_id body stars", (REVIEW,)),
            Reads("authors a", "id name", ("a.id = r.author_id", REVIEW)),
        ),
    ),
    Supported(
        "Derived table grouped by the path column",
        "select p.id, p.title || coalesce(q.n, 0) as content from shop.products p"
        " left join (select r.product_id, count(*) as n, max(r.body) from shop.reviews r"
        " group by r.product_id having count(*) > 1) q on q.product_id = p.id",
        "id title",
        (Reads("reviews r", "product_id", (REVIEW,)),),
    ),
    Supported(
        "DISTINCT ON the path column",
        "select p.id, coalesce(q.body, '') || coalesce(a.name, '') as content from shop.products p"
        " left join (select distinct on (r.product_id) r.product_id, r.body, r.author_id from shop.reviews r"
        " order by r.product_id, r.stars desc, r.id) q on q.product_id = p.id"
        " left join shop.authors a on a.id = q.author_id",
        "id",
        (
            Reads("reviews r", "id product_id author_id body stars", (REVIEW,)),
            Reads("authors a", "id name", ("a.id = r.author_id", REVIEW)),
        ),
    ),
    Supported(
        "DISTINCT",
        "select distinct p.id, coalesce(q.name, '') as content from shop.products p"
        " left join (select distinct c.id, c.name from shop.categories c) q on q.id = p.category_id",
        "id category_id",
        (Reads("categories c", "id name", (CATEGORY,)),),
    ),
    Supported(
        "Window partitioned by the path column",
        "select p.id, coalesce(q.body, '') as content from shop.products p"
        " left join (select r.product_id, r.body, row_number() over w as n from shop.reviews r"
        " window w as (partition by r.product_id order by r.stars, r.id)) q on q.product_id = p.id and q.n = 1",
        "id",
        (Reads("reviews r", "id product_id body stars", (REVIEW,)),),
    ),
    Supported(
        "DISTINCT ON and windows over the key",
        "select distinct on (p.id) p.id, p.title || count(*) over (partition by p.id) || coalesce(r.body, '')"
        " as content from shop.products p left join shop.reviews r on r.product_id = p.id"
        " order by p.id, r.stars desc, r.id",
        "id title",
        (Reads("reviews r", "id product_id body stars", (REVIEW,)),),
    ),
    Supported(
        "Common table expressions",
        "with good as (select r.product_id, r.body, r.author_id from shop.reviews r where r.stars > 1),"
        " best as materialized (select g.product_id, min(g.body) as body from good g group by g.product_id)"
        " select p.id, p.title || coalesce(b.body, '') as content"
        " from shop.products p left join best b on b.product_id = p.id",
        "id title",
        (Reads("reviews r", "product_id body stars", (REVIEW,)),),
    ),
    Supported(
        "View over a join as the root",
        "select l.id, l.title || coalesce(l.category, '') as content from shop.live l where l.category_rank > 0",
        "id title category_id published",
        (Reads("categories c", "id name rank", (CATEGORY,)),),
    ),
    Supported(
        "Views of views",
        "select l.id, l.title || l.reviews || coalesce(t.name, '') as content"
        " from shop.lively l left join shop.tags t on t.id = l.id",
        "id title category_id published",
        (
            Reads("categories c", "id", (CATEGORY,)),
            Reads("reviews r", "product_id", (REVIEW,)),
            Reads("tags t", "id name", ("t.id = p.id",)),
        ),
    ),
    Supported(
        "View with GROUP BY",
        "select p.id, p.title || coalesce(r.best, '') as content"
        " from shop.products p left join shop.ratings r on r.product = p.id",
        "id title",
        (Reads("reviews r", "product_id body", (REVIEW,)),),
    ),
    Supported(
        "Whole rows",
        "select p.id, row_to_json(c)::text as content from shop.products p"
        " join shop.categories c on c.id = p.category_id",
        "id category_id",
        (Reads("categories c", "id name code parent_id rank label", (CATEGORY,), whole_row=True),),
    ),
    Supported(
        "Generated columns",
        "select p.id, c.label as content from shop.products p join shop.categories c on c.id = p.category_id",
        "id category_id",
        (Reads("categories c", "id name label", (CATEGORY,)),),
    ),
    Supported(
        "Expressions on either side of the equality",
        "select p.id, c.name as content from shop.products p join shop.categories c on lower(c.code) = lower(p.title)"
        " and (c.rank + 1) = p.category_id",
        "id title category_id",
        (
            Reads(
                "categories c",
                "name code rank",
                ("lower(c.code::text) = lower(p.title) and (c.rank + 1) = p.category_id",),
            ),
        ),
    ),
    Supported(
        "Any immutable function or operator",
        "select p.id, coalesce(c.name, '') || coalesce(t.name, '') || coalesce(a.name, '') as content"
        " from shop.products p left join shop.categories c on c.id = (p.info #>> '{shelf,category}')::int"
        " left join shop.tags t on t.name = p.tags[1]"
        " left join shop.authors a on right(a.country, 1) = case when p.published then split_part(p.title, '/', 2) end",
        "id title published tags info",
        (
            Reads("categories c", "id name", ("c.id = ((p.info #>> '{shelf,category}'::text[])::integer)",)),
            Reads("tags t", "name", ('t."name" = p.tags[1]',)),
            Reads(
                "authors a",
                "name country",
                (
                    (
                        "\"right\"(a.country, 1) = CASE WHEN p.published THEN split_part(p.title, '/'::text, 2)"
                        " ELSE NULL::text END"
                    ),
                ),
            ),
        ),
    ),
    Supported(
        "IS NOT DISTINCT FROM",
        "select p.id, string_agg(r.body, ' ' order by r.id) as content from shop.products p"
        " join shop.reviews r on r.stars is not distinct from p.other_id group by p.id",
        "id other_id",
        (Reads("reviews r", "id body stars", ("r.stars is not distinct from p.other_id",)),),
    ),
    Supported(
        "Members of an array, or of jsonb",
        "select p.id, string_agg(t.name, ' ' order by t.id) || coalesce(max(c.name), '') as content"
        " from shop.products p join shop.tags t on t.name = any (p.tags)"
        " left join shop.categories c on p.info -> 'codes' ? c.code group by p.id",
        "id tags info",
        (
            Reads("tags t", "id name", ('t."name" = ANY (p.tags)',)),
            Reads("categories c", "name code", ("(p.info -> 'codes'::text) ? c.code::text",)),
        ),
    ),
    Supported(
        "Operators outside pg_catalog",
        "select p.id, min(a.name) as content from shop.products p join shop.aliases a"
        " on a.alias operator(public.=) p.code group by p.id",
        "id code",
        (Reads("aliases a", "alias name", ("a.alias operator(public.=) p.code",)),),
    ),
    Supported(
        "Functions and VALUES in FROM",
        "select p.id, string_agg(u.tag || v.w, ' ' order by u.n, v.w) as content from shop.products p,"
        " unnest(p.tags) with ordinality u(tag, n), (values ('a'), ('b')) v(w) group by p.id",
        "id tags",
        (),
    ),
    Supported(
        "Partitioned tables",
        "select p.id, string_agg(o.note, ' ' order by o.day, o.id) as content from shop.products p"
        " join shop.orders o on o.product_id = p.id group by p.id",
        "id",
        (Reads("orders o", "id day product_id note", ("o.product_id = p.id",)),),
    ),
    Supported(
        "Cycle of references",
        "select c.id, c.name || (select count(*) from shop.categories k where k.parent_id = c.id)"
        " || coalesce((select max(k.name) from shop.categories d join shop.categories k on k.parent_id = d.id"
        " where d.id = c.parent_id), '') as content from shop.categories c",
        "categories: id name parent_id",
        (
            Reads("categories k", "parent_id", ("k.parent_id = c.id",)),
            Reads("categories d", "id", ("d.id = c.parent_id",)),
            Reads("categories k", "name parent_id", ("k.parent_id = d.id", "d.id = c.parent_id")),
        ),
    ),
    Supported(
        "Tables declared in options.depends_on",
        "select p.id, p.title || coalesce((select max(shop.rate_of(a.country)) from shop.reviews r"
        " join shop.authors a on a.id = r.author_id where r.product_id = p.id), '') as content from shop.products p",
        "id title",
        (
            Reads("reviews r", "product_id author_id", (REVIEW,)),
            Reads("authors a", "id country", ("a.id = r.author_id", REVIEW)),
            Reads("rates rates", "country rate", (str(_RATES["depends_on"][0]["query"])[:-1],), declared=True),
        ),
        options=_RATES,
    ),
    Supported(
        "Functions of time, with options.refresh_every",
        "select p.id, p.title || current_date || now() || age(now()) as content from shop.products p",
        "id title",
        (),
        options={"refresh_every": "1 day"},
    ),
    # ---------------------------------------------------------------- shapes that are traps
    Supported(
        "the equality of an outer join inside EXISTS",
        "select p.id, p.title as content from shop.products p where exists (select from shop.reviews r"
        " left join shop.authors a on a.id = p.category_id where r.product_id = p.id and a.name is null)",
        "id title category_id",
        (
            Reads("reviews r", "product_id", (REVIEW,)),
            Reads("authors a", "id name", ("a.id = p.category_id",)),
        ),
        shown=False,
    ),
    Supported(
        "a condition on the nullable side in WHERE",
        "select p.id, p.title as content from shop.products p left join shop.reviews r on r.stars > 2"
        " left join shop.authors a on a.id = r.author_id where r.product_id = p.id group by p.id",
        "id title",
        (
            Reads("reviews r", "product_id author_id stars", (REVIEW,)),
            Reads("authors a", "id", ("a.id = r.author_id", REVIEW)),
        ),
        shown=False,
    ),
    Supported(
        "two mentions of one CTE",
        "select p.id, p.title as content from shop.products p where exists (with x as (select * from shop.reviews r"
        " where r.product_id = p.id) select from x a join x b on a.author_id = b.stars)",
        "id title",
        (
            Reads("reviews r", "product_id author_id", (REVIEW,)),
            Reads("reviews r", "product_id stars", (REVIEW,)),
        ),
        shown=False,
    ),
    Supported(
        "a subquery in the condition of a join",
        "select p.id, c.name as content from shop.products p left join shop.categories c on c.id = p.category_id"
        " and c.rank = (select count(*) from shop.reviews r where r.product_id = p.id)"
        " and c.id in (select t.id from shop.tags t)",
        "id category_id",
        (
            Reads("categories c", "id name rank", (CATEGORY,)),
            Reads("reviews r", "product_id", (REVIEW,)),
            Reads("tags t", "id", ("t.id = c.id", CATEGORY)),
        ),
        shown=False,
    ),
    Supported(
        "a comma before a join with USING",
        "select p.id, max(b.name) as content from shop.products p, shop.authors a join shop.tags b using (id)"
        " where a.id = p.category_id group by p.id",
        "id category_id",
        (
            Reads("authors a", "id", ("a.id = p.category_id",)),
            Reads("tags b", "id name", ("b.id = a.id", "a.id = p.category_id")),
        ),
        shown=False,
    ),
    Supported(
        "the root within a derived table",
        "select v.id, v.title || coalesce(t.name, '') as content from (select p.id, p.title, p.other_id, c.name"
        " from shop.products p join shop.categories c on c.id = p.category_id) v"
        " left join shop.tags t on t.id = v.other_id where v.name > 'a'",
        "id title category_id other_id",
        (
            Reads("categories c", "id name", (CATEGORY,)),
            Reads("tags t", "id name", ("t.id = p.other_id",)),
        ),
        shown=False,
    ),
    Supported(
        "an output of json as a whole row of a derived table",
        "select p.id, coalesce((select json_agg(x order by x.id)::text from (select r.id, r.body, a.name"
        " from shop.reviews r left join shop.authors a on a.id = r.author_id where r.product_id = p.id) x), '')"
        " as content from shop.products p",
        "id",
        (
            Reads("reviews r", "id product_id author_id body", (REVIEW,)),
            Reads("authors a", "id name", ("a.id = r.author_id", REVIEW)),
        ),
        shown=False,
    ),
    Supported(
        "an aggregate of a correlated LATERAL in a chain",
        "select p.id, coalesce(x.n, 0)::text as content from shop.products p left join lateral (select count(*) as n"
        " from shop.reviews r join shop.authors a on a.id = r.author_id"
        " where r.product_id = p.id and exists (select from shop.rates e where e.country = a.country)) x on true",
        "id",
        (
            Reads("reviews r", "product_id author_id", (REVIEW,)),
            Reads("authors a", "id country", ("a.id = r.author_id", REVIEW)),
            Reads("rates e", "country", ("e.country = a.country", "a.id = r.author_id", REVIEW)),
        ),
        shown=False,
    ),
    Supported(
        "operator(=) any of a subquery",
        "select p.id, p.title as content from shop.products p where p.code operator(public.=) any"
        " (select a.alias from shop.aliases a)",
        "id title code",
        (Reads("aliases a", "alias", ("a.alias operator(public.=) p.code",)),),
        shown=False,
    ),
)

_OF_PRODUCTS = "select p.id, p.title as content from shop.products p"

REFUSED = (
    Refused(
        "Uncorrelated subquery",
        "select p.id, (select max(t.name) from shop.tags t) as content from shop.products p",
        "VS203",
        f"shop.tags {_WITHOUT}",
        'line 1, column 39, near "shop.tags t)',
        "depends_on",
    ),
    Refused(
        "LIMIT between a table and the root",
        "select p.id, t.name as content from shop.products p"
        " left join (select * from shop.categories order by rank limit 2) t on t.id = p.category_id",
        "VS203",
        f"shop.categories {_WITHOUT}",
        "LIMIT or OFFSET",
        "depends_on",
    ),
    Refused(
        "Aggregate over another column",
        "select p.id, q.n::text as content from shop.products p"
        " join (select max(r.product_id) as product_id, count(*) as n from shop.reviews r group by r.author_id) q"
        " on q.product_id = p.id",
        "VS203",
        f"shop.reviews {_WITHOUT}",
    ),
    Refused(
        "GROUP BY without the path column",
        "select p.id, q.n::text as content from shop.products p join (select c.id, count(*) over () as n"
        " from shop.categories c group by c.id) q on q.id = p.category_id",
        "VS203",
        f"shop.categories {_WITHOUT}",
        "is not in PARTITION BY",
    ),
    Refused(
        "DISTINCT ON another column",
        "select p.id, q.body as content from shop.products p left join (select distinct on (r.author_id) r.product_id,"
        " r.body from shop.reviews r order by r.author_id, r.id) q on q.product_id = p.id",
        "VS203",
        f"shop.reviews {_WITHOUT}",
        "has DISTINCT ON, and r.product_id is not in it",
    ),
    Refused(
        "Window over other rows",
        "select p.id, q.body as content from shop.products p left join (select r.product_id, r.body,"
        " rank() over (order by r.stars) as n from shop.reviews r) q on q.product_id = p.id and q.n = 1",
        "VS203",
        f"shop.reviews {_WITHOUT}",
        "not in PARTITION BY",
    ),
    Refused(
        "Grouping sets",
        "select p.id, q.n::text as content from shop.products p join (select r.product_id, count(*) as n"
        " from shop.reviews r group by rollup (r.product_id)) q on q.product_id = p.id",
        "VS203",
        f"shop.reviews {_WITHOUT}",
    ),
    Refused(
        "Equality under OR",
        "select p.id, r.body as content from shop.products p"
        " join shop.reviews r on p.id = r.product_id or p.title = r.body",
        "VS203",
        f"shop.reviews {_WITHOUT}",
        hint="not under OR or NOT",
    ),
    Refused(
        "Equality under NOT",
        "select p.id, r.body as content from shop.products p join shop.reviews r on not (r.product_id = p.id)",
        "VS203",
        f"shop.reviews {_WITHOUT}",
    ),
    Refused(
        "NOT IN (SELECT …)",
        "select p.id, p.title as content from shop.products p where p.id not in (select product_id from shop.reviews)",
        "VS203",
        f"shop.reviews {_WITHOUT}",
        'near "shop.reviews)"',
    ),
    Refused(
        "IN under OR",
        f"{_OF_PRODUCTS} where p.published or p.id in (select product_id from shop.reviews)",
        "VS203",
        f"shop.reviews {_WITHOUT}",
    ),
    Refused(
        "= (SELECT …)",
        f"{_OF_PRODUCTS} where p.category_id = (select c.id from shop.categories c where c.name = 'x')",
        "VS203",
        f"shop.categories {_WITHOUT}",
    ),
    Refused(
        "Join on an inequality",
        "select p.id, c.name as content from shop.products p join shop.categories c on c.rank > p.category_id",
        "VS203",
        f"shop.categories {_WITHOUT}",
    ),
    Refused(
        "Join on values of a function in FROM",
        "select p.id, g.name as content from shop.products p, unnest(p.tags) u(t) join shop.tags g on g.name = u.t",
        "VS203",
        f"shop.tags {_WITHOUT}",
    ),
    Refused(
        "The kept side of a left join",
        f"{_OF_PRODUCTS} where exists (select from shop.authors a left join shop.reviews r on a.id = p.category_id)",
        "VS203",
        f"shop.authors {_WITHOUT}",
    ),
    Refused(
        "A value made of LEFT JOIN's nulls",
        "select p.id, d.name as content from shop.products p left join shop.reviews a on a.product_id = p.id"
        " left join shop.authors d on d.id = coalesce(a.author_id, 0)",
        "VS203",
        f"shop.authors {_WITHOUT}",
        "may have a value where LEFT JOIN finds no row",
    ),
    Refused(
        "A table that only the far side of a view leads to",
        f"{_OF_PRODUCTS} join shop.top_reviews t on t.product_id = p.id",
        "VS203",
        f"shop.reviews {_WITHOUT}",
        "in the view shop.top_reviews",
    ),
    Refused(
        "GROUP BY without the root's key",
        "select p.id, max(r.body) as content from (select p.id from shop.products p) q join shop.products p"
        " on p.id = q.id join shop.reviews r on r.product_id = p.id group by p.id",
        "VS203",
        "group by without the whole key",
        "GROUP BY",
        "Group by p_1.id",
        shown=False,
    ),
    Refused(
        "Aggregate without GROUP BY",
        "select max(p.id) as id, max(p.title) as content from shop.products p",
        "VS203",
        "an aggregate without group by",
        hint="group by id",
    ),
    Refused(
        "Grouping sets at the top",
        "select p.id, max(p.title) as content from shop.products p group by cube (p.id)",
        "VS203",
        "grouping sets",
        "GROUP BY CUBE",
        shown=False,
    ),
    Refused(
        "DISTINCT ON other columns at the top",
        "select distinct on (p.title) p.id, p.title as content from shop.products p",
        "VS203",
        "distinct on without the whole key",
        hint="distinct on p.id",
    ),
    Refused(
        "Window over several keys at the top",
        "select p.id, max(p.title) over (partition by p.category_id) as content from shop.products p",
        "VS203",
        "a window function over rows of several keys",
        "OVER",
        "partition by p.id",
    ),
    Refused("LIMIT at the top", f"{_OF_PRODUCTS} limit 3", "VS203", "limit or offset", "line 1, column 54", "WHERE"),
    Refused(
        "Root behind LIMIT",
        "select v.id, v.title as content from (select * from shop.products limit 4) v",
        "VS203",
        "root of the document is behind limit",
    ),
    Refused(
        "Root behind GROUP BY",
        "select r.product as id, r.best as content from shop.ratings r",
        "VS203",
        "root of the document is behind group by",
        hint="Begin with the table",
    ),
    Refused(
        "Root that is no table",
        "select g as id, 'x' as content from generate_series(1, 3) g",
        "VS203",
        "no root table",
        "line 1, column 37",
    ),
    Refused(
        "RIGHT and FULL JOIN",
        "select p.id, p.title as content from shop.categories c right join shop.products p on c.id = p.category_id",
        "VS203",
        "a right join",
        "line 1, column 56",
        "Begin with the table",
    ),
    Refused(
        "UNION, INTERSECT, EXCEPT",
        f"{_OF_PRODUCTS} union select c.id, c.name from shop.categories c",
        "VS203",
        "a set operation",
        "line 1, column 54",
    ),
    Refused(
        "Set operation in a view",
        f"{_OF_PRODUCTS} join shop.either e on e.id = p.id",
        "VS203",
        "a set operation",
        "shop.either",
        shown=False,
    ),
    Refused(
        "Recursive query",
        "with recursive t as (select id, parent_id from shop.categories where id = 1 union all select c.id, c.parent_id"
        " from t join shop.categories c on c.parent_id = t.id) select p.id, p.title as content"
        " from shop.products p join t on t.id = p.category_id",
        "VS203",
        "a recursive query",
        "line 1, column 6",
        "depends_on",
    ),
    Refused(
        "Data-modifying CTE",
        f"with gone as (delete from shop.tags returning id) {_OF_PRODUCTS} join gone g on g.id = p.id",
        "VS201",
        "writes",
    ),
    Refused("TABLESAMPLE", f"{_OF_PRODUCTS} tablesample system (10)", "VS203", "tablesample"),
    Refused("FOR UPDATE", f"{_OF_PRODUCTS} for update", "VS201", "locks rows"),
    Refused(
        "Materialized view",
        f"{_OF_PRODUCTS} join shop.frozen f on f.id = p.id",
        "VS203",
        "reads a materialized view",
        'near "shop.frozen f',
        "the table it is made from",
    ),
    Refused(
        "Catalog table",
        f"{_OF_PRODUCTS} where exists (select from pg_class c where c.relname = p.title)",
        "VS203",
        "reads a catalog table",
    ),
    Refused(
        "Partition beside the root",
        f"{_OF_PRODUCTS} join shop.orders_early o on o.product_id = p.id",
        "VS203",
        "reads a partition",
        "shop.orders_early",
        "shop.orders",
    ),
    Refused(
        "Aliased join",
        f"{_OF_PRODUCTS} join (shop.categories c join shop.tags t on t.id = c.rank) j (a) on j.a = p.category_id",
        "VS203",
        "a join with a name of its own",
    ),
    Refused(
        "Aggregate of an outer query's columns",
        "select p.id, (select max(p.title)) as content from shop.products p group by p.id",
        "VS203",
        "an aggregate of an outer query",
    ),
    Refused(
        "Set-returning function in the select list",
        "select p.id, unnest(p.tags) as content from shop.products p",
        "VS203",
        "a set-returning function",
        "unnest",
    ),
    Refused(
        "Volatile function in a view",
        "select p.id, m.name as content from shop.products p join shop.moody m on m.id = p.id",
        "VS204",
        "a volatile function",
        "random()",
    ),
    Refused(
        "Function of time", f"{_OF_PRODUCTS} where now() > '2020-01-01'", "VS204", "the time", "now()", "refresh_every"
    ),
    Refused(
        "Volatile function, with options.refresh_every",
        "select p.id, clock_timestamp()::text as content from shop.products p",
        "VS204",
        "a volatile function",
        options={"refresh_every": "1 day"},
    ),
    Refused(
        "Function of session, with options.refresh_every",
        "select p.id, current_user::text as content from shop.products p",
        "VS204",
        "depends on the session",
        options={"refresh_every": "1 day"},
        shown=False,
    ),
)
