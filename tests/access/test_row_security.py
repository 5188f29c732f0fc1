"""A tenant sees, finds and counts its own vectors and no others."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop import Connection, add, declare, denied, open_shop, rows, run, value

pytestmark = pytest.mark.battery
Connect = Callable[..., Connection]


@pytest.fixture
def tenant(db: Connection, connect: Connect, make_role: Callable[..., str], tiny_model: Path) -> Connection:
    """A reader who sees the 5 products of tenant b, among 600 of tenant a that are nearer to every query."""
    open_shop(db, tiny_model, 600)
    add(db, 1001, 1005, "b")
    db.execute("update shop.products set title = repeat('z', id - 1000) where tenant = 'b'")
    declare(db)
    db.execute("call vsync.work()")
    role = make_role("vsync_reader")
    run(db, f"grant usage on schema shop to {role}; grant select on shop.products to {role}")
    db.execute("alter table shop.products enable row level security")
    db.execute("create policy own on shop.products using (tenant = current_setting('shop.tenant', true))")
    session = connect(user=role)
    session.execute("set shop.tenant = 'b'")
    return session


OWN = {1001, 1002, 1003, 1004, 1005}


def test_the_view_and_the_vector_table_show_a_tenants_rows_only(tenant: Connection) -> None:
    assert {row[0] for row in rows(tenant, "select id from shop.catalog")} == OWN
    assert {row[0] for row in rows(tenant, "select id from vsync_data.catalog_v1")} == OWN
    assert value(tenant, "select count(*) from shop.catalog where content like 'product%'") == 0
    assert value(tenant, "select max(token) from vsync_data.catalog_v1 where id = 1") is None


def test_search_finds_as_many_of_the_tenants_rows_as_asked_and_exist(tenant: Connection) -> None:
    for k, found in ((1, 1), (3, 3), (5, 5), (10, 5), (1000, 5)):
        answer = rows(tenant, "select (key ->> 'id')::int, distance from vsync.search('catalog', 'product 7', %s)", k)
        assert len(answer) == found
        assert {key for key, _ in answer} <= OWN
        assert [distance for _, distance in answer] == sorted(distance for _, distance in answer)


def test_search_finds_the_nearest_of_the_tenants_rows(tenant: Connection) -> None:
    tenant.execute("set enable_indexscan = off")
    exact = "select id from shop.catalog order by embedding <=> vsync.query_vector('catalog', 'product 7') limit 3"
    nearest = [row[0] for row in rows(tenant, exact)]
    tenant.execute("reset enable_indexscan")
    assert [row[0]["id"] for row in rows(tenant, "select key from vsync.search('catalog', 'product 7', 3)")] == nearest


def test_an_ordered_scan_of_the_view_finds_the_tenants_rows_with_iterative_scan(tenant: Connection) -> None:
    tenant.execute("set hnsw.iterative_scan = strict_order; set enable_seqscan = off")
    ordered = "select id from shop.catalog order by embedding <=> vsync.query_vector('catalog', 'product 7') limit 5"
    assert {row[0] for row in rows(tenant, ordered)} == OWN


def test_another_tenant_of_the_same_session_is_asked_anew(tenant: Connection) -> None:
    tenant.execute("prepare q as select count(*) from vsync.search('catalog', 'product 7', 1000)")
    tenant.execute("prepare v as select count(*) from shop.catalog")
    assert (value(tenant, "execute q"), value(tenant, "execute v")) == (5, 5)
    tenant.execute("set shop.tenant = 'a'")
    assert (value(tenant, "execute q"), value(tenant, "execute v")) == (600, 600)
    tenant.execute("set shop.tenant = 'none'")
    assert (value(tenant, "execute q"), value(tenant, "execute v")) == (0, 0)


def test_a_function_that_looks_at_rows_sees_the_tenants_only(tenant: Connection) -> None:
    tenant.execute(
        "create function pg_temp.peek(id int, content text) returns boolean language plpgsql cost 0.0001 "
        "as $$ begin raise notice '%', content; return true; end $$"
    )
    seen: list[str] = []
    tenant.add_notice_handler(lambda notice: seen.append(notice.message_primary or ""))
    for relation in ("shop.catalog", "vsync_data.catalog_v1"):
        tenant.execute(f"select count(*) from {relation} where pg_temp.peek(id, content)")
    assert len(seen) == 10
    assert all(set(content) == {"z"} for content in seen)


def test_what_counts_over_all_rows_is_closed_to_a_tenant(tenant: Connection) -> None:
    for query in (
        "table vsync.stat_embeddings",
        "table vsync.stat_queue",
        "table vsync.failures",
        "select * from vsync.explain_row('catalog', '1')",
        "select vsync.refresh('catalog')",
        "table vsync_internal.marks",
        "table vsync_internal.log",
        "table vsync_internal.leases",
        "table vsync_data.catalog_v1_document",
        "select vsync_data.catalog_v1_render('{1}', '')",
    ):
        denied(tenant, query)


def test_statistics_of_the_vector_table_are_hidden_from_a_tenant(tenant: Connection, db: Connection) -> None:
    db.execute("analyze vsync_data.catalog_v1")
    assert value(tenant, "select count(*) from pg_stats where schemaname = 'vsync_data'") == 0


def test_the_owner_of_the_root_sees_all_unless_forced(tenant: Connection, db: Connection, connect: Connect) -> None:
    del tenant
    owner = "vsync_test_owner"
    db.execute(f"drop role if exists {owner}")
    db.execute(f"create role {owner} login; grant usage on schema shop to {owner}; grant vsync_reader to {owner}")
    db.execute(f"alter table shop.products owner to {owner}")
    session = connect(user=owner)
    assert value(session, "select count(*) from shop.catalog") == 605
    db.execute("alter table shop.products force row level security")
    assert value(session, "select count(*) from shop.catalog") == 0
