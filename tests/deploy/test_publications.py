"""Publications that contain vsync's own tables stop nothing, and the doctor names them with a remedy."""

from pathlib import Path

import pytest

from shop import Connection, declare, open_shop, register, rows, run, value
from versions.rollout import add_version, work

EVERYTHING = "for all tables"
OURS = "for tables in schema vsync_internal, vsync_data"
BY_NAME = "for table vsync_internal.marks, vsync_internal.log, shop.products"
PUBLICATIONS = "select detail, remediation from vsync.doctor() where name = 'publications' and level = 'warning'"


@pytest.fixture
def shop(db: Connection, tiny_model: Path, tiny_model_other: Path) -> Connection:
    open_shop(db, tiny_model)
    register(db, tiny_model_other, "other")
    return db


def live(db: Connection) -> None:
    """Use every part of vsync that writes, from the first embedding to the last drop."""
    declare(db)
    declare(db, "rebuilt")
    work(db)
    run(db, "update shop.products set title = 'changed' where id = 1")
    run(db, "delete from shop.products where id = 2")
    work(db)
    assert rows(db, "select id, content from shop.catalog order by id") == [(1, "changed"), (3, "product 3")]
    run(db, "select vsync.create_rule('small', 'catalog', 'new.hidden = ''x''', 'skip')")
    run(db, "select vsync.create_rule('late', 'catalog', 'new.hidden = ''y''', 'defer', '{\"for\": \"1 ms\"}')")
    run(db, "update shop.products set title = 'skipped', hidden = 'x' where id = 1")
    run(db, "update shop.products set title = 'deferred', hidden = 'y' where id = 3")
    work(db)
    run(db, "select vsync.alter_rule('small', priority => 3)")
    run(db, "update vsync_internal.decided set at = at - interval '2 days'")
    run(db, "select vsync_internal.forget_decisions()")
    run(db, "select vsync.drop_rule('small'), vsync.drop_rule('late')")
    work(db)
    assert add_version(db, model="other") == 2
    work(db)
    run(db, "select vsync.start_experiment('catalog', 2, 1)")
    run(db, "select vsync.report_outcome('catalog', 2, 'click')")
    run(db, "select vsync.activate_version('catalog', 2)")
    run(db, "select vsync.judge('catalog', 'red', '1', 2), vsync.judge('catalog', 'red', '1', null)")
    run(db, "select vsync.rollback_version('catalog'), vsync.end_rollback('catalog')")
    run(db, "select vsync.pause_version('catalog', 1), vsync.resume_version('catalog', 1), vsync.refresh('catalog')")
    run(db, "select vsync.configure('threads', '2'), vsync.configure('threads', null)")
    run(db, "truncate shop.products")
    work(db)
    run(db, "update vsync_internal.identity set database = 0")
    run(db, "select vsync_internal.adopt()")
    work(db)
    run(db, "select vsync.drop_version('catalog', 2), vsync.drop_embedding('catalog'), vsync.drop_embedding('rebuilt')")


@pytest.mark.parametrize("tables", [EVERYTHING, OURS])
def test_a_whole_life_goes_on_while_every_table_is_published(shop: Connection, tables: str) -> None:
    run(shop, f"create publication everything {tables}")
    live(shop)


def test_every_table_of_vsync_can_be_updated_and_deleted_from_while_it_is_published(shop: Connection) -> None:
    declare(shop)
    run(shop, "select vsync_internal.make_counter(v) from vsync_internal.versions as v")
    without = (
        "select c.oid::regclass::text from pg_class as c where c.relkind in ('r', 'p') and c.relpersistence = 'p' "
        "and c.relnamespace in ('vsync_internal'::regnamespace, 'vsync_data'::regnamespace) and c.relreplident <> 'f' "
        "and not (c.relreplident = 'd' "
        "and exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary))"
    )
    assert rows(shop, without) == []


@pytest.mark.parametrize("tables", [EVERYTHING, OURS, BY_NAME])
def test_the_doctor_names_a_publication_of_vsyncs_tables_and_its_remedy_works(shop: Connection, tables: str) -> None:
    declare(shop)
    assert rows(shop, PUBLICATIONS) == []
    run(shop, f'create publication "to Kafka" {tables}')
    ((detail, remedy),) = rows(shop, PUBLICATIONS)
    assert '"to Kafka"' in detail
    for statement in remedy.split("; "):
        run(shop, statement)
    assert rows(shop, PUBLICATIONS) == []
    published = value(shop, "select count(*) from pg_publication_tables where tablename = 'products'")
    assert published == (0 if tables == OURS else 1)


def test_the_publication_of_capture_by_wal_is_none_of_them(shop: Connection) -> None:
    declare(shop, capture="wal")
    work(shop)
    assert value(shop, "select count(*) from pg_publication") == 1
    assert rows(shop, PUBLICATIONS) == []
