"""doctor() finds each thing it looks for, says what to do, and is silent when all is well."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop import Connection, declare, open_shop, register, rows, run, value


@pytest.fixture
def shop(db: Connection, tiny_model_poison: Path) -> Connection:
    open_shop(db, tiny_model_poison)
    declare(db)
    db.execute("call vsync.work()")
    db.execute("set hnsw.iterative_scan = strict_order")
    return db


def findings(db: Connection) -> dict[str, tuple[str, str]]:
    """Level and remediation by the name of the check, for all that is not well."""
    found = rows(db, "select name, level, detail, remediation from vsync.doctor() where level <> 'ok'")
    assert all(detail and remediation for _, _, detail, remediation in found)
    return {name: (level, remediation) for name, level, _, remediation in found}


def test_nothing_is_found_where_all_is_well(shop: Connection) -> None:
    assert findings(shop) == {}
    checks = {name for (name,) in rows(shop, "select name from vsync.doctor()")}
    assert checks == {
        "capture triggers",
        "embeddings",
        "failures",
        "models",
        "workers",
        "pgvector",
        "indexes",
        "replication",
        "event triggers",
        "log",
        "wal slot",
        "replica identity",
        "rules",
        "documents",
        "publications",
        "serving",
        "locks",
        "sandbox",
        "own locks",
        "engine",
    }


@pytest.mark.parametrize(
    "harm",
    [
        "alter table shop.products disable trigger vsync_update",
        "alter table shop.products disable trigger all",
        "alter table shop.products enable replica trigger vsync_insert",
    ],
)
def test_a_trigger_that_does_not_always_fire_is_found_and_its_remedy_works(shop: Connection, harm: str) -> None:
    run(shop, harm)
    level, remedy = findings(shop)["capture triggers"]
    assert level == "error"
    shop.execute("update shop.products set title = 'unseen' where id = 1")
    run(shop, remedy)
    shop.execute("call vsync.work()")
    assert findings(shop) == {}
    assert value(shop, "select content from shop.catalog where id = 1") == "unseen"


def test_a_trigger_that_fires_in_ordinary_sessions_only_is_found(shop: Connection) -> None:
    shop.execute("alter event trigger vsync_follow_ddl disable")
    run(shop, "alter table shop.products enable trigger vsync_delete")
    level, remedy = findings(shop)["capture triggers"]
    assert level == "warning"
    run(shop, remedy)
    assert "capture triggers" not in findings(shop)


def test_a_dropped_trigger_is_found_where_no_event_trigger_put_it_back(shop: Connection) -> None:
    shop.execute("alter event trigger vsync_follow_ddl disable")
    shop.execute("drop trigger vsync_truncate on shop.products")
    found = findings(shop)
    assert found["capture triggers"][0] == "error"
    assert found["event triggers"][0] == "warning"


def test_a_table_that_became_a_parent_is_found_and_its_remedy_works(shop: Connection) -> None:
    run(shop, "create table shop.used () inherits (shop.products)")
    level, remedy = findings(shop)["capture triggers"]
    assert (level, remedy) == ("error", "alter table shop.used no inherit shop.products")
    run(shop, remedy)
    assert findings(shop) == {}
    run(shop, "drop table shop.used; select vsync.drop_embedding('catalog')")
    declare(shop, document="select id, title as content from only shop.products")
    shop.execute("call vsync.work()")
    run(shop, "create table shop.used () inherits (shop.products)")
    assert findings(shop) == {}


def test_a_broken_embedding_is_found(shop: Connection) -> None:
    shop.execute("alter table shop.products drop column title cascade")
    assert findings(shop)["embeddings"][0] == "error"


def test_parked_documents_are_found(shop: Connection) -> None:
    shop.execute("select vsync.configure('max_attempts', '1')")
    shop.execute("update shop.products set title = 'poisonpill' where id = 1")
    shop.execute("call vsync.work()")
    assert findings(shop)["failures"][0] == "warning"


def test_a_model_that_cannot_be_used_is_found_until_it_can(shop: Connection, make_model: Callable[..., Path]) -> None:
    directory = make_model()
    register(shop, directory, "own")
    shop.execute("select vsync.create_embedding('of_own', 'select id, title as content from shop.products', 'own')")
    (directory / "model.onnx").rename(directory / "away.onnx")
    shop.execute("call vsync.work()")
    assert findings(shop)["models"][0] == "error"
    (directory / "away.onnx").rename(directory / "model.onnx")
    assert value(shop, "select vsync.retry('of_own')") is not None
    shop.execute("call vsync.work()")
    assert findings(shop) == {}
    assert value(shop, "select count(*) from shop.of_own") == 3


def test_work_without_a_worker_is_found(shop: Connection, connect: Callable[..., Connection]) -> None:
    shop.execute("update shop.products set title = 'x' where id = 1")
    shop.execute("select vsync_internal.fold()")
    assert findings(shop)["workers"] == ("warning", "call vsync.work(), or run: vsync worker")
    connect().execute("select vsync_internal.begin_work()")
    assert "workers" not in findings(shop)


def test_a_missing_vector_index_is_found(shop: Connection) -> None:
    shop.execute("drop index vsync_data.catalog_v1_ann")
    assert findings(shop)["indexes"][0] == "warning"
    shop.execute("call vsync.work()")
    assert findings(shop) == {}


def test_a_session_without_iterative_scan_is_told(shop: Connection) -> None:
    shop.execute("reset hnsw.iterative_scan")
    level, remedy = findings(shop)["pgvector"]
    assert level == "info"
    run(shop, remedy)


def test_a_root_that_is_the_target_of_a_subscription_is_found(shop: Connection) -> None:
    shop.execute("create subscription s connection 'dbname=none' publication p with (connect = false)")
    shop.execute(
        "insert into pg_subscription_rel (srsubid, srrelid, srsubstate) select oid, "
        "'shop.products'::regclass, 'r' from pg_subscription where subname = 's'"
    )
    assert findings(shop)["replication"][0] == "error"
    shop.execute("delete from pg_subscription_rel; alter subscription s set (slot_name = none); drop subscription s")


def test_a_missing_event_trigger_is_found(shop: Connection) -> None:
    shop.execute("alter event trigger vsync_notice_drop disable")
    assert findings(shop)["event triggers"][0] == "warning"


def test_changes_left_unfolded_are_found(shop: Connection) -> None:
    shop.execute("update shop.products set title = 'x' where id = 1")
    shop.execute("update vsync_internal.log set captured_at = now() - interval '1 hour'")
    assert findings(shop)["log"][0] == "warning"


def test_an_engine_of_another_version_or_none_is_found(shop: Connection) -> None:
    shop.execute(
        "create or replace function vsync_internal.version() returns text language sql immutable as $$ "
        "select '9.9.9' $$"
    )
    assert findings(shop)["engine"][0] == "error"
    shop.execute(
        "create or replace function vsync_internal.engine_version() returns text language plpgsql as $$ "
        "begin raise 'no module'; end $$"
    )
    assert findings(shop)["engine"][0] == "error"
    shop.execute("alter extension vsync drop function vsync_internal.engine_version()")
    shop.execute("drop function vsync_internal.engine_version()")
    assert findings(shop)["engine"][0] == "info"


def test_findings_are_ordered_by_gravity(shop: Connection) -> None:
    shop.execute("reset hnsw.iterative_scan; alter event trigger vsync_notice_drop disable")
    shop.execute("alter table shop.products disable trigger all")
    levels = [level for (level,) in rows(shop, "select level from vsync.doctor()")]
    assert levels == sorted(levels, key=["error", "warning", "info", "ok"].index)
    assert len(set(levels)) == 4
