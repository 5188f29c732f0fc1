"""A rollback long after: a thousand edits later it calls no model, and both versions are whole."""

from shop import Connection, rows, run, value
from versions.rollout import activate, add_version, assert_clean, assert_serves, totals, work

_EDITS = 1000


def test_a_rollback_after_a_thousand_edits_calls_no_model(shop: Connection) -> None:
    run(shop, "insert into shop.products select i, 'product ' || i from generate_series(21, 700) as i")
    work(shop)
    add_version(shop, model="other")
    work(shop)
    activate(shop, 2)
    for number in range(_EDITS // 10):
        first = number * 5 % 600 + 10
        run(
            shop,
            "update shop.products set title = 'edit ' || %s || ' of ' || id where id between %s and %s",
            number,
            first,
            first + 7,
        )
        run(shop, "delete from shop.products where id = %s", first)
        run(shop, "insert into shop.products values (%s, 'new ' || %s)", 1000 + number, number)
        if number % 25 == 0:
            work(shop)
    work(shop)
    before = totals(shop)
    assert before[1][0] > _EDITS / 2
    assert value(shop, "select vsync.rollback_version('catalog')") == 1
    assert_serves(shop, 1)
    found = dict(rows(shop, "select id, content from shop.catalog"))
    assert found == dict(rows(shop, "select id, title from shop.products"))
    assert rows(shop, "select key from vsync.search('catalog', 'edit', 800) where stale") == []
    work(shop)
    assert totals(shop) == before
    assert_clean(shop, 1, 2)
