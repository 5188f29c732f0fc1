"""Vector indexes: quantized ones that search uses, rebuilding beside the old one, recall."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg
import pytest

from shop import Connection, declare, denied, open_shop, refused, register, rows, run, value
from versions.rollout import activate, add_version, assert_clean, work

_SCANS = "select coalesce(sum(idx_scan), 0) from pg_stat_user_indexes where indexrelname ~ '_ann'"
_DEFINITION = "select pg_get_indexdef('vsync_data.catalog_v1_ann'::regclass)"
_SEARCH = "select (key ->> 'id')::int, distance from vsync.search('catalog', %s, %s)"
_EXACT = (
    "select id, embedding <=> vsync.query_vector('catalog', %s) from shop.catalog "
    "order by embedding <=> vsync.query_vector('catalog', %s), id limit %s"
)

KINDS = {
    '{"quantize": "halfvec"}': r"USING hnsw \(\(\(embedding\)::halfvec\(64\)\) halfvec_cosine_ops\)",
    '{"quantize": "halfvec", "distance": "l2"}': "halfvec_l2_ops",
    '{"quantize": "halfvec", "distance": "inner_product", "type": "ivfflat", "lists": 4}': "ivfflat.*halfvec_ip_ops",
    '{"quantize": "binary"}': r"\(\(binary_quantize\(embedding\)\)::bit\(64\)\) bit_hamming_ops",
    '{"quantize": "binary", "type": "ivfflat", "lists": 4}': "ivfflat.*bit_hamming_ops",
    '{"quantize": "none", "m": 8}': r"\(embedding vector_cosine_ops\) WITH \(m='8'\)",
}


def wide_shop(db: Connection, make_model: Callable[..., Path], products: int, index: str) -> None:
    """An embedding of 64 dimensions, so that bits tell something."""
    open_shop(db, make_model(dimensions=64), products)
    declare(db, index=index)
    work(db)
    run(db, "analyze vsync_data.catalog_v1")


def scans(db: Connection, query: str, *arguments: object) -> int:
    """Return how many scans of vector indexes a query makes."""
    run(db, "select pg_stat_force_next_flush()")
    before = value(db, _SCANS)
    rows(db, query, *arguments)
    run(db, "select pg_stat_force_next_flush()")
    return value(db, _SCANS) - before


@pytest.mark.parametrize("index", KINDS)
def test_search_uses_the_index_whatever_it_holds_and_tells_exact_distances(
    db: Connection, make_model: Callable[..., Path], index: str
) -> None:
    wide_shop(db, make_model, 3000, index)
    assert re.search(KINDS[index], value(db, _DEFINITION))
    assert scans(db, _SEARCH, "product 700", 5) == 1
    found = rows(db, _SEARCH, "product 700", 10)
    assert found[0][0] == 700
    assert len(found) == 10
    if "distance" not in index:
        run(db, "set enable_indexscan = off")
        exact = dict(rows(db, _EXACT, "product 700", "product 700", 3000))
        assert [row[1] for row in found] == pytest.approx([exact[row[0]] for row in found])
        assert len({row[0] for row in found} & set(list(exact)[:10])) >= 7
    assert len(rows(db, _SEARCH, "product 700", 3000)) == 3000


def test_a_plain_order_by_does_not_use_a_quantized_index_and_the_doctor_says_so(
    db: Connection, make_model: Callable[..., Path]
) -> None:
    wide_shop(db, make_model, 3000, '{"quantize": "halfvec"}')
    assert scans(db, _EXACT, "product 700", "product 700", 10) == 0
    said = "select detail from vsync.doctor() where name = 'indexes' and level = 'info'"
    assert "halfvec" in value(db, said)


def test_without_its_index_a_quantized_version_is_searched_exactly(
    db: Connection, make_model: Callable[..., Path]
) -> None:
    wide_shop(db, make_model, 300, '{"quantize": "binary"}')
    run(db, "drop index vsync_data.catalog_v1_ann")
    assert rows(db, _SEARCH, "product 7", 20) == rows(db, _EXACT, "product 7", "product 7", 20)


@pytest.mark.parametrize(
    ("dimensions", "quantize", "limit"), [(2001, "none", "2000"), (4001, "halfvec", "4000"), (4001, "none", "2000")]
)
def test_more_dimensions_than_an_index_takes_are_refused_with_what_takes_them(
    db: Connection, make_model: Callable[..., Path], dimensions: int, quantize: str, limit: str
) -> None:
    open_shop(db, make_model(dimensions=dimensions))
    report = refused(lambda: declare(db, index=f'{{"quantize": "{quantize}"}}'), "VS001")
    assert f"at most {limit}" in (report.message_detail or "")
    hinted = re.search(r"index => '(\{.*?\})'", report.message_hint or "")
    assert hinted
    declare(db, index=hinted[1])
    work(db)
    assert len(rows(db, "select * from vsync.search('catalog', 'product 1', 3)")) == 3


@pytest.mark.parametrize(
    "index",
    [
        '{"quantize": "int8"}',
        '{"quantize": null, "type": "nope"}',
        '{"quantize": "binary", "distance": "l2"}',
        '{"quantize": "binary", "distance": "inner_product"}',
        '{"quantize": "halfvec", "type": "none"}',
        '{"quantise": "halfvec"}',
    ],
)
def test_nonsense_is_refused_at_every_entry(shop: Connection, index: str) -> None:
    refused(lambda: declare(shop, "another", index=index), "VS001")
    refused(lambda: add_version(shop, options=f'{{"index": {index}}}'), "VS001")
    refused(lambda: rows(shop, "select vsync.index_statements('catalog', 1, %s)", index), "VS001")


def test_a_version_takes_its_quantization_from_the_active_one(db: Connection, make_model: Callable[..., Path]) -> None:
    wide_shop(db, make_model, 50, '{"quantize": "binary", "m": 8}')
    refused(lambda: add_version(db, options='{"index": {"distance": "l2"}}'), "VS001")
    for options in ('{"type": "ivfflat"}', '{"type": "none"}', '{"quantize": "none"}'):
        add_version(db, options=f'{{"index": {options}}}')
    assert [row[0] for row in rows(db, "select index from vsync.versions where version > 1 order by version")] == [
        {"type": "ivfflat", "distance": "cosine", "quantize": "binary"},
        {"type": "none", "distance": "cosine"},
        {"type": "hnsw", "distance": "cosine", "quantize": "none", "m": 8},
    ]


def rebuild(db: Connection, index: str | None = None, version: int | None = None) -> None:
    for (statement,) in rows(db, "select statement from vsync.index_statements('catalog', %s, %s)", version, index):
        run(db, statement)


def indexes(db: Connection) -> list[str]:
    query = "select indexname from pg_indexes where schemaname = 'vsync_data' and indexname like '%ann%'"
    return [row[0] for row in rows(db, query)]


def test_a_rebuild_with_other_options_serves_and_follows_all_the_while(
    db: Connection, make_model: Callable[..., Path], connect: Callable[..., Connection]
) -> None:
    wide_shop(db, make_model, 3000, "{}")
    reader, writer = connect(), connect()
    oid = value(db, "select 'vsync_data.catalog_v1_ann'::regclass::oid")
    for (statement,) in rows(db, "select statement from vsync.index_statements('catalog', null, %s)", '{"m": 8}'):
        run(db, statement)
        # between any two statements there is one whole index, and search and workers use it
        assert scans(reader, _SEARCH, "product 700", 5) == 1
        run(writer, "update shop.products set title = title || '.' where id = 1")
        work(writer)
    assert value(db, "select 'vsync_data.catalog_v1_ann'::regclass::oid") != oid
    assert value(db, "select index ->> 'm' from vsync.versions") == "8"
    assert "m='8'" in value(db, _DEFINITION)
    assert indexes(db) == ["catalog_v1_ann"]
    assert value(db, "select count(*) from vsync_internal.index_builds") == 0
    assert_clean(db, 1)


def test_the_swap_waits_for_no_reader_and_an_older_snapshot_goes_on(
    db: Connection, make_model: Callable[..., Path], connect: Callable[..., Connection]
) -> None:
    wide_shop(db, make_model, 3000, "{}")
    statements = [
        row[0] for row in rows(db, "select vsync.index_statements('catalog', 1, %s)", '{"quantize": "halfvec"}')
    ]
    swap = next(i for i, statement in enumerate(statements) if "swap_index" in statement)
    for statement in statements[:swap]:
        run(db, statement)
    reader = connect()
    run(reader, "begin isolation level repeatable read")
    before = rows(reader, _SEARCH, "product 7", 5)
    run(db, "set lock_timeout = '1s'")
    run(db, statements[swap])
    assert rows(reader, _SEARCH, "product 7", 5) == before
    run(reader, "commit")
    run(db, statements[swap + 1])
    assert scans(reader, _SEARCH, "product 7", 5) == 1


def test_an_index_can_be_given_up_and_come_back(shop: Connection) -> None:
    rebuild(shop, '{"type": "none"}')
    assert indexes(shop) == []
    work(shop)
    assert indexes(shop) == []
    rebuild(shop, '{"type": "hnsw"}')
    assert indexes(shop) == ["catalog_v1_ann"]


def _broken_off(db: Connection, connect: Callable[..., Connection], name: str) -> None:
    """Leave an invalid index behind, as a crash does: cancelled while it waits for an older transaction."""
    holder = connect()
    run(holder, "begin; lock table vsync_data.catalog_v1 in row exclusive mode")
    run(db, "set statement_timeout = '200ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        run(db, f"create index concurrently {name} on vsync_data.catalog_v1 using hnsw (embedding vector_cosine_ops)")
    run(db, "reset statement_timeout")
    run(holder, "rollback")


def test_what_a_broken_build_left_is_noticed_and_cleaned(shop: Connection, connect: Callable[..., Connection]) -> None:
    _broken_off(shop, connect, "catalog_v1_ann_next")
    found = "select detail, remediation from vsync.doctor() where name = 'indexes' and level = 'warning'"
    ((detail, remedy),) = rows(shop, found)
    assert "catalog_v1_ann_next" in detail
    assert remedy.startswith("vsync index rebuild catalog 1")
    report = refused(lambda: run(shop, 'select vsync_internal.swap_index(1, \'{"type": "hnsw"}\')'), "VS405")
    assert "broke off" in (report.message_detail or "")
    rebuild(shop)
    assert indexes(shop) == ["catalog_v1_ann"]
    assert rows(shop, found) == []


def test_an_index_that_is_not_whole_counts_as_none_and_a_worker_builds_it(
    shop: Connection, connect: Callable[..., Connection]
) -> None:
    run(shop, "drop index vsync_data.catalog_v1_ann")
    _broken_off(shop, connect, "catalog_v1_ann")
    assert value(shop, "select indexed from vsync.stat_embeddings") is False
    work(shop)
    assert value(shop, "select indexed from vsync.stat_embeddings") is True
    assert value(shop, "select bool_and(indisvalid) from pg_index where indrelid = 'vsync_data.catalog_v1'::regclass")


def test_one_build_at_a_time(shop: Connection, connect: Callable[..., Connection]) -> None:
    other = connect()
    run(other, "select vsync_internal.hold_index(1)")
    report = refused(lambda: rebuild(shop), "VS405")
    assert str(other.info.backend_pid) in (report.message_detail or "")
    run(shop, "drop index vsync_data.catalog_v1_ann")
    assert value(shop, "select vsync_internal.build_index(1)") is False


def test_only_who_installed_vsync_builds_beside(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    admin = connect(user=make_role("vsync_admin"))
    refused(lambda: rows(admin, "select vsync.index_statements('catalog')"), "VS002")
    denied(admin, 'select vsync_internal.swap_index(1, \'{"type": "none"}\')')


def test_the_recall_is_what_the_index_finds_of_the_exact_answer(
    db: Connection, make_model: Callable[..., Path]
) -> None:
    wide_shop(db, make_model, 2000, '{"type": "ivfflat", "lists": 200}')
    recall = value(db, "select vsync.estimate_recall('catalog', k => 10, samples => 400)")
    assert recall == pytest.approx(_by_hand(db, 10, 400), abs=1e-4)
    assert 0 < recall < 1
    stored = "select index, recall, recall_at > now() - interval '1 minute' from vsync.stat_versions"
    assert rows(db, stored) == [("ivfflat", recall, True)]
    rebuild(db, '{"type": "hnsw", "quantize": "halfvec"}')
    assert rows(db, stored) == [("hnsw halfvec", None, None)]
    assert value(db, "select vsync.estimate_recall('catalog')") > 0.95
    rebuild(db, '{"type": "none"}')
    assert value(db, "select vsync.estimate_recall('catalog', 1)") is None
    assert rows(db, stored) == [("none", None, None)]


def _by_hand(db: Connection, k: int, samples: int) -> float:
    stored = rows(db, "select id, embedding::real[] from vsync_data.catalog_v1 order by content_hash")
    vectors = np.array([row[1] for row in stored])
    run(db, "set ivfflat.probes = 10; set ivfflat.iterative_scan = relaxed_order; set enable_seqscan = off")
    nearest = (
        "select id from vsync_data.catalog_v1 where id <> %s order by embedding <=> "
        "(select embedding from vsync_data.catalog_v1 where id = %s) limit %s"
    )
    shares: list[float] = []
    for row in range(samples):
        distances = 1 - vectors @ vectors[row] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[row])
        distances[row] = 9
        exact = {stored[i][0] for i in np.argsort(distances)[:k]}
        found = {one for (one,) in rows(db, nearest, stored[row][0], stored[row][0], k)}
        shares.append(len(exact & found) / k)
    run(db, "reset all")
    return sum(shares) / samples


@pytest.mark.parametrize("arguments", ["k => 0", "k => null", "samples => 0", "samples => 1001"])
def test_a_recall_of_nothing_is_refused(shop: Connection, arguments: str) -> None:
    refused(lambda: run(shop, f"select vsync.estimate_recall('catalog', {arguments})"), "VS001")


def test_a_version_of_its_own_index_is_searched_by_it_after_the_switch(
    db: Connection, make_model: Callable[..., Path]
) -> None:
    wide_shop(db, make_model, 3000, "{}")
    register(db, make_model(dimensions=64, seed=2), "other")
    add_version(db, model="other", options='{"index": {"quantize": "binary"}}')
    work(db)
    activate(db, 2)
    assert rows(db, _SEARCH, "product 7", 1) == [(7, pytest.approx(0, abs=1e-6))]
    assert scans(db, _SEARCH, "product 7", 1) == 1


def test_a_reader_behind_row_level_security_finds_what_it_may_see(
    db: Connection, make_model: Callable[..., Path], connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    wide_shop(db, make_model, 1000, '{"quantize": "binary"}')
    role = make_role("vsync_reader")
    run(db, f"grant usage on schema shop to {role}; grant select on shop.products to {role}")
    run(db, "alter table shop.products enable row level security")
    run(db, "create policy few on shop.products using (id % 50 = 7)")
    found = rows(connect(user=role), _SEARCH, "product 507", 20)
    assert found[0][0] == 507
    assert sorted(row[0] for row in found) == list(range(7, 1000, 50))
