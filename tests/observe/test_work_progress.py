"""call vsync.work() tells whoever waits for it how far it is."""

from pathlib import Path

import pytest
from psycopg.errors import Diagnostic

from shop import Connection, declare, open_shop, run

SLOW = (
    "create or replace function shop.slow(id bigint, t text) returns text language plpgsql immutable as "
    "$$ begin if id = 1 then {}; end if; return t; end $$"
)


@pytest.fixture
def told(db: Connection, tiny_model: Path) -> list[str]:
    """What the session was told."""
    open_shop(db, tiny_model, products=40)
    messages: list[str] = []

    def hear(report: Diagnostic) -> None:
        messages.append(f"{report.severity}: {report.message_primary}")

    db.add_notice_handler(hear)
    return messages


def test_a_call_that_takes_long_tells_how_far_it_is_and_a_short_one_does_not(db: Connection, told: list[str]) -> None:
    declare(db, document="select id, title as content from shop.products")
    told.clear()
    run(db, "call vsync.work()")
    assert told == []
    document = "select id, shop.slow(id, title) || '!' as content from shop.products"
    run(db, SLOW.format("null"))
    run(db, f"select vsync.add_version('catalog', document => $q${document}$q$)")
    run(db, SLOW.format("perform pg_sleep(10.5)"))
    told.clear()
    run(db, "call vsync.work()")
    assert told == ['NOTICE: "catalog" version 2: backfilling, 0 of 40, 40 waiting']
