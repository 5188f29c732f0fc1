"""Text that another version of the same model holds is copied, not embedded."""

from shop import Connection, rows, run, value
from versions.rollout import activate, add_version, assert_clean, totals, work

_EQUAL = (
    "select count(*) from vsync_data.catalog_v1 as a join vsync_data.catalog_v2 as b using (content_hash) "
    "where a.embedding = b.embedding"
)


def test_the_same_document_and_model_send_nothing_to_the_model(shop: Connection) -> None:
    add_version(shop, options='{"index": {"distance": "l2"}}')
    work(shop)
    assert totals(shop)[2] == (0, 0, 20)
    assert value(shop, _EQUAL) == 20
    assert_clean(shop, 1, 2)


def test_an_equal_chunk_is_copied_and_the_others_are_embedded(shop: Connection) -> None:
    run(shop, "update shop.products set title = 'a much longer title than the others have' where id = 1")
    work(shop)
    add_version(shop, chunk='{"tokens": 14}')
    work(shop)
    embedded, sent, copied = totals(shop)[2]
    assert (embedded, copied) == (sent, 19)
    assert embedded == value(shop, "select max(chunks) from vsync_data.catalog_v2") > 1
    assert_clean(shop, 1, 2)


def test_another_model_copies_nothing(shop: Connection) -> None:
    add_version(shop, model="other")
    work(shop)
    assert totals(shop)[2] == (20, 20, 0)
    assert value(shop, _EQUAL) == 0


def test_an_edit_is_embedded_once_for_all_versions_of_a_model(shop: Connection) -> None:
    add_version(shop)
    work(shop)
    before = totals(shop)
    run(shop, "update shop.products set title = 'edited' where id = 1")
    work(shop)
    after = totals(shop)
    assert sum(after[version][1] - before[version][1] for version in (1, 2)) == 1
    assert_clean(shop, 1, 2)


def test_the_model_registered_under_another_name_is_the_same_model(shop: Connection) -> None:
    source = value(shop, "select source from vsync.models where name = 'tiny'")
    run(shop, "select vsync.register_model('same', %s)", source)
    add_version(shop, model="same")
    work(shop)
    assert totals(shop)[2] == (0, 0, 20)
    assert rows(shop, "select label from vsync.versions order by version") == [("1.0",), ("1.1",)]


def test_vectors_of_a_retired_version_that_stopped_following_are_copied_too(shop: Connection) -> None:
    add_version(shop, model="other")
    work(shop)
    activate(shop, 2)
    run(shop, "select vsync.end_rollback('catalog')")
    add_version(shop, model="tiny")
    work(shop)
    assert totals(shop)[3] == (0, 0, 20)
    run(shop, "select vsync.drop_version('catalog', 1)")
    run(shop, "update shop.products set title = 'fresh' where id = 1")
    work(shop)
    assert_clean(shop, 2, 3)
