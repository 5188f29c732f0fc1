"""A shelf of articles and their sections, one embedding over both, and what tests of rules ask about it."""

from pathlib import Path
from typing import Any

from fix_cluster import Connection
from shop import register, rows, run, value

DOCUMENT = """
select a.id, a.title || ' in ' || s.name as content, a.price
from shelf.articles as a join shelf.sections as s on s.id = a.section_id
where a.published
"""
_TABLES = """
create schema shelf;
create table shelf.sections (id int primary key, name text not null, frozen boolean not null default false);
create table shelf.articles (
    id int primary key, section_id int not null, title text not null, price numeric not null default 10,
    vip boolean not null default false, note text, published boolean not null default true);
create index on shelf.articles (section_id);
"""


def open_shelf(db: Connection, model: Path, articles: int = 4, **options: Any) -> None:
    """Make the tables with two sections and so many articles, half in each, and embed them."""
    register(db, model)
    run(db, _TABLES)
    if options.get("capture") == "wal":
        run(db, "alter table shelf.articles replica identity full; alter table shelf.sections replica identity full")
    run(db, "insert into shelf.sections values (1, 'one'), (2, 'two')")
    fill = "insert into shelf.articles select i, 1 + i %% 2, 'article ' || i from generate_series(1, %s::int) as i"
    run(db, fill, articles)
    named = "".join(f", {option} => %s" for option in options)
    run(db, f"select vsync.create_embedding('found', %s, 'tiny'{named})", DOCUMENT, *options.values())
    work(db)


def work(db: Connection) -> None:
    """Work off what is due."""
    run(db, "call vsync.work()")


def rule(db: Connection, name: str, condition: str, action: str, params: str = "{}", priority: int = 0) -> None:
    """Create a rule of the embedding."""
    run(db, "select vsync.create_rule(%s, 'found', %s, %s, %s, %s)", name, condition, action, params, priority)


def stored(db: Connection) -> dict[int, str]:
    """Return what is stored by key."""
    return dict(rows(db, "select id, content from vsync_data.found_v1"))


def text(db: Connection, key: int) -> str | None:
    """Return what is stored of one article."""
    return stored(db).get(key)


def marks(db: Connection) -> list[tuple[Any, ...]]:
    """Return key, verdict, rule and whether it waits for good, of every mark."""
    return rows(
        db,
        "select m.key, m.verdict, r.name, m.due_at = 'infinity' from vsync_internal.marks as m "
        "left join vsync_internal.rules as r on r.id = m.rule_id order by m.key",
    )


def sent(db: Connection) -> int:
    """Return how many texts went to the model so far."""
    return value(db, "select inference_total from vsync.stat_embeddings where embedding = 'found'")


def audited(db: Connection) -> dict[str, int]:
    """Return the figures of the audit that are not zero."""
    found = rows(db, "select missing, extra, stale, mixed, held from vsync.audit('found')")[0]
    return {name: n for name, n in zip(("missing", "extra", "stale", "mixed", "held"), found, strict=True) if n}
