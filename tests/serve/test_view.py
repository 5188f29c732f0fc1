"""The serving view and query_vector: index order, one call of the model, any kind of transaction or plan."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop import Connection, declare, open_shop, rows, run, value

_NEAREST = "select id from shop.catalog order by embedding <=> vsync.query_vector('catalog', 'product 9') limit 5"


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model, 2000)
    declare(db)
    db.execute("call vsync.work()")
    db.execute("analyze vsync_data.catalog_v1")
    return db


def plan(db: Connection, query: str) -> str:
    return "\n".join(row[0] for row in rows(db, f"explain {query}"))


def test_order_by_distance_on_the_view_uses_the_index(shop: Connection) -> None:
    assert "Index Scan using catalog_v1_ann" in plan(shop, _NEAREST)
    assert rows(shop, _NEAREST)[0] == (9,)


def test_order_by_distance_uses_the_index_through_a_join_to_the_root(shop: Connection) -> None:
    joined = (
        "select p.id, p.title from shop.catalog as v join shop.products as p using (id) "
        "order by v.embedding <=> vsync.query_vector('catalog', 'product 9') limit 5"
    )
    assert "Index Scan using catalog_v1_ann" in plan(shop, joined)
    assert rows(shop, joined)[0] == (9, "product 9")


def test_order_by_distance_uses_the_index_for_a_reader_under_row_level_security(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    role = make_role("vsync_reader")
    run(shop, f"grant usage on schema shop to {role}; grant select on shop.products to {role}")
    reader = connect(user=role)
    assert "Index Scan using catalog_v1_ann" in plan(reader, _NEAREST)
    shop.execute(
        "alter table shop.products enable row level security; create policy few on shop.products using (id < 1000)"
    )
    assert "Index Scan using catalog_v1_ann" in plan(reader, _NEAREST)
    assert rows(reader, _NEAREST)[0] == (9,)


def test_the_view_has_the_documented_columns_and_no_dimension(shop: Connection) -> None:
    columns = (
        "select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum) "
        "from pg_attribute where attrelid = 'shop.catalog'::regclass"
    )
    assert value(shop, columns) == (
        "id integer, chunk integer, content text, embedding vector, version integer, embedded_at "
        "timestamp with time zone"
    )
    assert "security_invoker=true" in value(
        shop, "select reloptions from pg_class where oid = 'shop.catalog'::regclass"
    )


def test_a_generic_plan_orders_by_the_index(shop: Connection) -> None:
    shop.execute("set plan_cache_mode = force_generic_plan")
    run(shop, f"prepare nearest (text) as {_NEAREST.replace(chr(39) + 'product 9' + chr(39), '$1')}")
    assert "Index Scan using catalog_v1_ann" in plan(shop, "execute nearest('product 3')")
    for i in range(1, 9):
        assert rows(shop, f"execute nearest('product {i}')")[0] == (i,)
    shop.execute("prepare searched (text, int) as select key from vsync.search('catalog', $1, $2)")
    for i in range(1, 9):
        assert rows(shop, f"execute searched('product {i}', {i})")[0] == ({"id": i},)
        assert len(rows(shop, f"execute searched('product {i}', {i})")) == i


@pytest.mark.parametrize(
    "settings",
    [
        "set default_transaction_isolation = 'repeatable read'",
        "set default_transaction_isolation = 'serializable'",
        "set default_transaction_read_only = on",
        (
            "set max_parallel_workers_per_gather = 4; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; "
            "set min_parallel_table_scan_size = 0; set force_parallel_mode = on"
        ),
        "set enable_seqscan = off",
        "set enable_indexscan = off; set enable_bitmapscan = off",
        "set enable_sort = off",
        "set jit = on; set jit_above_cost = 0",
        (
            "set datestyle = 'German'; set timezone = 'Asia/Tokyo'; set extra_float_digits = -15; set "
            "bytea_output = 'escape'"
        ),
        "set search_path = ''",
        "set search_path = pg_temp, pg_catalog",
        "set standard_conforming_strings = off",
        "set row_security = off",
        "set work_mem = '64kB'",
    ],
)
def test_search_and_view_answer_under_every_setting(shop: Connection, settings: str) -> None:
    if shop.info.server_version >= 160000:
        settings = settings.replace("force_parallel_mode", "debug_parallel_query")
    run(shop, settings)
    assert next(key["id"] for (key,) in rows(shop, "select key from vsync.search('catalog', 'product 9', 100)")) == 9
    with shop.transaction():
        nearest = _NEAREST.replace("<=>", "operator(public.<=>)")
        assert rows(shop, nearest)[0] == (9,)
        assert value(shop, "select count(*) from vsync.search('catalog', 'product 9', 100)") == 100


def test_a_snapshot_sees_the_vectors_of_its_time(shop: Connection, connect: Callable[..., Connection]) -> None:
    reader = connect()
    reader.execute("begin isolation level repeatable read")
    assert value(reader, "select content from shop.catalog where id = 9") == "product 9"
    shop.execute("update shop.products set title = 'changed' where id = 9")
    shop.execute("call vsync.work()")
    assert value(reader, "select content from shop.catalog where id = 9") == "product 9"
    assert rows(reader, "select content from vsync.search('catalog', 'product 9', 1)") == [("product 9",)]
    reader.execute("commit")
    assert value(reader, "select content from shop.catalog where id = 9") == "changed"


_COUNT = """
create function public.model_calls() returns int language plpython3u as $py$
from vsync_engine.models.embedder import Model
if not hasattr(Model, "calls"):
    Model.calls, run = 0, Model.run
    def counted(self, batch):
        Model.calls += 1
        return run(self, batch)
    Model.run = counted
return Model.calls
$py$
"""


def test_a_statement_calls_the_model_once_for_a_query(shop: Connection) -> None:
    shop.execute(_COUNT)
    before = value(shop, "select public.model_calls()")
    every_row = "select embedding <=> vsync.query_vector('catalog', 'once') from shop.catalog order by id"
    assert len(rows(shop, every_row)) == 2000
    assert value(shop, "select public.model_calls()") == before + 1
    rows(shop, _NEAREST.replace("product 9", "once"))
    rows(shop, "select * from vsync.search('catalog', 'once', 100)")
    assert value(shop, "select public.model_calls()") == before + 1
    rows(shop, "select * from vsync.search('catalog', 'twice', 100)")
    assert value(shop, "select public.model_calls()") == before + 2


def test_query_vector_is_the_models_query_embedding_with_its_prefix(
    shop: Connection, make_model: Callable[..., Path]
) -> None:
    shop.execute(
        "select vsync.register_model('prefixed', %s, %s)",
        (f"file://{make_model()}", '{"query_prefix": "query: ", "passage_prefix": "passage: "}'),
    )
    shop.execute("create table shop.notes (id int primary key, body text); insert into shop.notes values (1, 'text')")
    shop.execute(
        "select vsync.create_embedding('notes_search', 'select id, body as content from shop.notes', 'prefixed')"
    )
    shop.execute("call vsync.work()")
    expected = "select vsync.query_vector('notes_search', 'text') <=> vsync.embed('tiny', 'query: text')"
    assert value(shop, expected) == pytest.approx(0, abs=1e-6)
    stored = "select embedding <=> vsync.embed('tiny', 'passage: text') from shop.notes_search"
    assert value(shop, stored) == pytest.approx(0, abs=1e-6)
    assert value(shop, "select vsync.query_vector('notes_search', null)") is None


def test_search_is_stable_and_runs_in_a_read_only_transaction(shop: Connection) -> None:
    with shop.transaction():
        shop.execute("set transaction read only")
        assert value(shop, "select count(*) from vsync.search('catalog', 'x')") == 10
    volatility = "select distinct provolatile::text from pg_proc where proname in ('search', 'query_vector')"
    assert rows(shop, volatility + " and pronamespace = 'vsync'::regnamespace") == [("s",)]
