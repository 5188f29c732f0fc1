"""Tenants of one table at random: each finds, counts and infers its own documents and no others."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chaos.battery import Battery
from chaos.verdict import Verdict, tiny_vectors
from fix_cluster import Connect, Connection, MakeRole
from shop import declare as declare_catalog
from shop import denied, open_shop, rows, run, value

_MISSED = 0.01  # of the searches: an approximate index may, and then another one of the tenant's own comes instead
TENANTS = ("a", "b", "c", "nobody")
CLOSED = (
    "table vsync.stat_embeddings",
    "table vsync.stat_queue",
    "table vsync.failures",
    "table vsync_internal.marks",
    "table vsync_internal.log",
    "table vsync_internal.leases",
    "table vsync_data.catalog_v1_document",
    "select * from vsync.audit('catalog')",
    "select * from vsync.audit('catalog', true)",
    "select * from vsync.explain_row('catalog', '1')",
    "select * from vsync.explain_impact('shop.products', '1')",
    "select * from vsync.compare_versions('catalog', 1, 1)",
    "select vsync.refresh('catalog')",
    "select vsync.retry('catalog')",
    "select vsync_data.catalog_v1_count('')",
    "select vsync_data.catalog_v1_keys(null, 10, '')",
    "select vsync_data.catalog_v1_hashes(null, null, '')",
    "select vsync_internal.stored_keys(v, null, 10) from vsync_internal.versions as v",
)


def session_of(connect: Connect, role: str, tenant: str) -> Connection:
    session = connect(user=role)
    session.execute("select set_config('shop.tenant', %s, false)", [tenant])
    return session


def judge(session: Connection, own: dict[int, str], query: str, k: int) -> tuple[Verdict, bool]:
    """Compare what a tenant sees with what it owns: rows, counts, and the nearest of its own; True if it missed one."""
    seen = dict(rows(session, "select id, content from shop.catalog"))
    counted = value(session, "select count(*) from vsync_data.catalog_v1")
    found = rows(session, "select (key ->> 'id')::int, distance from vsync.search('catalog', %s, %s)", query, k)
    wanted = tiny_vectors([query])[0]
    vectors = tiny_vectors(list(own.values())) if own else ()
    distances = dict(zip(own, (1 - float(vector @ wanted) for vector in vectors), strict=True))
    nearest = sorted(distances.values())[:k]
    right = len(found) == len(nearest) and np.allclose(
        [row[1] for row in found], sorted(distances.get(row[0], 2.0) for row in found), atol=1e-4
    )
    missed = any(row[1] > nearest[-1] + 1e-4 for row in found)
    foreign = seen.keys() - own.keys() | {row[0] for row in found} - own.keys()
    verdict = Verdict(
        lost=len(own.keys() - seen.keys()) + (not right),
        stale=sum(seen[key] != own[key] for key in seen.keys() & own.keys()),
        extra=len(foreign) + abs(counted - len(own)),
    )
    return verdict, missed


@pytest.mark.parametrize("rounds", [4, pytest.param(200, marks=pytest.mark.chaos, id="200 rounds")])
def test_a_tenant_learns_nothing_of_the_others(
    db: Connection,
    connect: Connect,
    make_role: MakeRole,
    tiny_model: Path,
    battery: Battery,
    share: Callable[[int], int],
    rounds: int,
) -> None:
    open_shop(db, tiny_model, 150)
    declare_catalog(db)
    role = make_role("vsync_reader")
    run(db, f"grant usage on schema shop to {role}; grant select on shop.products to {role}")
    db.execute("alter table shop.products enable row level security")
    db.execute("create policy own on shop.products using (tenant = current_setting('shop.tenant', true))")
    db.execute("call vsync.work()")
    db.execute("analyze")
    sessions = {tenant: session_of(connect, role, tenant) for tenant in TENANTS}
    chance, missed = battery.chance, 0
    for _ in range(rounds if rounds == 4 else share(rounds)):
        for key in chance.sample(range(1, 151), 20):
            change = "update shop.products set tenant = %s, title = %s where id = %s"
            db.execute(change, [chance.choice(TENANTS[:3]), f"title {chance.randrange(1000)}", key])
            battery.faults += 1
        db.execute("call vsync.work()")
        for tenant, session in sessions.items():
            own = dict(rows(db, "select id, title from shop.products where tenant = %s", tenant))
            query, k = f"title {chance.randrange(1000)}", chance.choice((1, 5, 50, 1000))
            verdict, inexact = judge(session, own, query, k)
            battery.found(verdict)
            missed += inexact
    assert missed <= battery.rests * _MISSED
    for tenant, session in sessions.items():
        for query in CLOSED:
            denied(session, query)
        assert rows(session, "select * from pg_stats where schemaname = 'vsync_data'") == [], tenant
        assert rows(session, "select * from pg_stat_activity where query like '%%title%%' and usename <> user") == []
