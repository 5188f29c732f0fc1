"""vsync.search: k documents where k exist, nearest first, with what is pending and which version it was."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop import Connection, declare, open_shop, rows, value


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model, 300)
    declare(db)
    db.execute("call vsync.work()")
    return db


def found(db: Connection, query: str, k: int) -> list[int]:
    return [key["id"] for (key,) in rows(db, "select key from vsync.search('catalog', %s, %s)", query, k)]


@pytest.mark.parametrize("k", [1, 40, 41, 100, 299, 300, 301, 10000])
def test_k_documents_where_k_exist(shop: Connection, k: int) -> None:
    answer = found(shop, "product 150", k)
    assert len(answer) == min(k, 300)
    assert len(set(answer)) == len(answer)
    assert answer[0] == 150


@pytest.mark.parametrize(
    "index",
    ['{"type": "none"}', '{"type": "ivfflat", "lists": 20}', '{"distance": "l2"}', '{"distance": "inner_product"}'],
)
def test_k_documents_with_every_index_and_distance(db: Connection, tiny_model: Path, index: str) -> None:
    open_shop(db, tiny_model, 300)
    declare(db, index=index)
    db.execute("call vsync.work()")
    assert len(found(db, "product 150", 120)) == 120
    assert found(db, "product 150", 1) == [150]
    assert value(db, "select count(*) from pg_indexes where indexname = 'catalog_v1_ann'") == int("none" not in index)


def test_k_documents_after_mass_deletes(shop: Connection) -> None:
    shop.execute("delete from shop.products where id > 20")
    shop.execute("call vsync.work()")
    assert sorted(found(shop, "product 299", 20)) == list(range(1, 21))


def test_k_documents_where_each_has_many_chunks_and_the_best_chunk_of_each(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model, 30)
    db.execute(
        "update shop.products set title = (select string_agg('part ' || id || ' ' || i || '.', ' ') from "
        "generate_series(1, 60) as i)"
    )
    declare(db, chunk='{"tokens": 40, "overlap": 5}')
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.catalog") > 300
    answer = rows(
        db, "select (key ->> 'id')::int, chunk, distance, content from vsync.search('catalog', 'part 7 31.', 30)"
    )
    assert sorted(row[0] for row in answer) == list(range(1, 31))
    best = (
        "select distinct on (id) id, chunk from shop.catalog order by id, embedding <=> "
        "vsync.query_vector('catalog', 'part 7 31.'), chunk"
    )
    db.execute("set enable_indexscan = off")
    assert {(row[0], row[1]) for row in answer} == set(rows(db, best))
    assert [row[2] for row in answer] == sorted(row[2] for row in answer)


def test_the_answer_is_the_exact_one(shop: Connection) -> None:
    shop.execute("set enable_indexscan = off; set enable_bitmapscan = off")
    exact = "select id from shop.catalog order by embedding <=> vsync.query_vector('catalog', 'product 7'), id limit 10"
    truth = [row[0] for row in rows(shop, exact)]
    shop.execute("reset all")
    assert found(shop, "product 7", 10) == truth


def test_search_leaves_the_sessions_settings_as_they_were(shop: Connection, connect: Callable[..., Connection]) -> None:
    names = ("hnsw.ef_search", "hnsw.iterative_scan", "ivfflat.probes", "enable_indexscan", "datestyle", "timezone")
    shop.execute("set hnsw.ef_search = 77; set hnsw.iterative_scan = relaxed_order; set datestyle = 'German'")
    before = [value(shop, f"show {name}") for name in names]
    found(shop, "product 1", 301)
    assert [value(shop, f"show {name}") for name in names] == before
    fresh = connect()
    found(fresh, "product 1", 301)
    assert value(fresh, "show hnsw.ef_search") == "40"
    assert value(fresh, "show hnsw.iterative_scan") == "off"
    assert value(fresh, "show enable_indexscan") == "on"


def test_a_null_query_finds_nothing(shop: Connection) -> None:
    assert rows(shop, "select * from vsync.search('catalog', null)") == []


def test_an_empty_embedding_finds_nothing(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model, 0)
    declare(db)
    assert rows(db, "select * from vsync.search('catalog', 'text')") == []
    db.execute("call vsync.work()")
    assert rows(db, "select * from vsync.search('catalog', 'text')") == []


def stale(db: Connection) -> set[int]:
    answer = rows(db, "select (key ->> 'id')::int, stale from vsync.search('catalog', 'product', 300)")
    return {key for key, is_stale in answer if is_stale}


def test_stale_tells_of_a_change_in_the_log_in_the_queue_and_on_a_page(shop: Connection) -> None:
    assert stale(shop) == set()
    shop.execute("update shop.products set title = 'x' where id = 5")
    assert stale(shop) == {5}
    shop.execute("select vsync_internal.fold()")
    assert value(shop, "select count(*) from vsync_internal.marks") == 1
    assert stale(shop) == {5}
    shop.execute(
        "insert into vsync_internal.pages (version_id, generation, captured_at, keys) values (1, 1, now(), '{8,9}')"
    )
    assert stale(shop) == {5, 8, 9}
    shop.execute("call vsync.work()")
    assert stale(shop) == set()


def test_stale_tells_of_a_truncate_and_of_a_refresh(shop: Connection) -> None:
    shop.execute("select vsync.refresh('catalog', '7')")
    assert stale(shop) == {7}
    shop.execute("call vsync.work(); ")
    shop.execute("truncate shop.products")
    assert stale(shop) == set(range(1, 301))
    shop.execute("select vsync_internal.fold()")
    assert stale(shop) == set(range(1, 301))
    shop.execute("call vsync.work()")
    assert found(shop, "product", 10) == []


def test_stale_ignores_another_embeddings_changes_and_irrelevant_columns(shop: Connection) -> None:
    shop.execute("update shop.products set hidden = 'x'")
    declare(shop, "hidden_search", "select id, hidden as content from shop.products")
    shop.execute("call vsync.work()")
    shop.execute("select vsync.refresh('hidden_search', '3')")
    assert stale(shop) == set()


def test_a_key_whose_row_is_new_is_not_found_before_it_is_embedded(shop: Connection) -> None:
    shop.execute("insert into shop.products values (1000, 'product new', '', 'a')")
    assert 1000 not in found(shop, "product new", 300)
    shop.execute("call vsync.work()")
    assert found(shop, "product new", 1) == [1000]


def test_the_version_is_told(shop: Connection) -> None:
    assert rows(shop, "select distinct version from vsync.search('catalog', 'x')") == [(1,)]
    assert rows(shop, "select distinct version from shop.catalog") == [(1,)]


def test_composite_and_text_keys_are_told_as_json(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model)
    db.execute(
        'create table shop.lines ("Order" uuid, day date, "n o" text, title text, primary key ("Order", day, "n o"))'
    )
    db.execute("insert into shop.lines values ('00000000-0000-0000-0000-000000000001', '2024-02-03', 'a\"b', 'first')")
    declare(db, "lines_search", 'select "Order", day, "n o" as line, title as content from shop.lines')
    db.execute("call vsync.work()")
    key = {"Order": "00000000-0000-0000-0000-000000000001", "day": "2024-02-03", "line": 'a"b'}
    assert rows(db, "select key, stale from vsync.search('lines_search', 'first')") == [(key, False)]
    db.execute("set datestyle = 'German, DMY'; update shop.lines set title = 'second'")
    assert rows(db, "select key, stale from vsync.search('lines_search', 'first')") == [(key, True)]


def test_a_few_thousand_vectors_are_searched_by_their_index(db: Connection, make_model: Callable[..., Path]) -> None:
    open_shop(db, make_model(dimensions=384), 3000)
    declare(db)
    db.execute("call vsync.work()")
    db.execute("analyze vsync_data.catalog_v1")
    scans = "select idx_scan from pg_stat_xact_user_tables where relid = 'vsync_data.catalog_v1'::regclass"
    with db.transaction():
        before = value(db, scans)
        assert found(db, "product 9", 10)[0] == 9
        assert value(db, scans) == before + 1


def test_search_leaves_the_planners_costs_as_they_were(shop: Connection) -> None:
    shop.execute("set cpu_operator_cost = 0.003")
    found(shop, "product 1", 5)
    assert value(shop, "show cpu_operator_cost") == "0.003"


def test_two_models_in_one_session_answer_each_with_its_own_vector(shop: Connection, tiny_model_other: Path) -> None:
    shop.execute("select vsync.register_model('other', %s)", (f"file://{tiny_model_other}",))
    first = value(shop, "select vsync.query_vector('catalog', 'product 7')::text")
    shop.execute("select vsync.add_version('catalog', 'other')")
    shop.execute("call vsync.work()")
    shop.execute("select vsync.activate_version('catalog', 2)")
    second = value(shop, "select vsync.query_vector('catalog', 'product 7')::text")
    assert second == value(shop, "select vsync.embed('other', 'product 7')::text") != first
    assert rows(shop, "select key ->> 'id', version from vsync.search('catalog', 'product 7', 1)") == [("7", 2)]
    shop.execute("select vsync.rollback_version('catalog')")
    assert value(shop, "select vsync.query_vector('catalog', 'product 7')::text") == first
    assert rows(shop, "select key ->> 'id', version from vsync.search('catalog', 'product 7', 1)") == [("7", 1)]
