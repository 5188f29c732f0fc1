"""Documents that cannot be rendered or embedded: parked by themselves, readable, and never in the way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.battery import Battery
from chaos.load import DOCUMENT, open_shop
from chaos.rest import assert_at_rest
from fix_cluster import Connection
from races.steps import put, run, scalar, stored

RAISE = "create or replace function shop.body_of(id int, body text) returns text language plpgsql immutable as "
DIVIDE = RAISE + "'begin return case when mod(id, 10) = 0 then (1 / (id - id))::text else body end; end'"
SPEAK = RAISE + "$$begin if id = 7 then raise exception '%', repeat('ü€', 5000); end if; return body; end$$"
HEAL = RAISE + "'begin return body; end'"
_DIVIDING = DOCUMENT.replace(
    "i.body as", "i.body || case when i.id % 500 = 7 then (1 / (i.id - i.id))::text else '' end as"
)
FAILURES = "select key ->> 'id', attempts, parked, sqlstate, message from vsync.failures order by 1"


@pytest.fixture
def items(items: Connection) -> Connection:
    items.execute("set statement_timeout = '20 s'")
    items.execute("select vsync.configure('max_attempts', '3'), vsync.configure('retry_seconds', '0')")
    items.execute("insert into shop.items select g, 'text ' || g from generate_series(1, 50) as g")
    return items


@pytest.mark.parametrize("pill", ["poisonpill", "nanpill"])
def test_a_poison_text_is_parked_and_its_siblings_are_embedded_once(items: Connection, pill: str) -> None:
    put(items, 7, f"a {pill} b")
    items.execute("call vsync.work()")
    assert set(stored(items)) == set(range(1, 51)) - {7}
    [(key, attempts, parked, sqlstate, message)] = items.execute(FAILURES).fetchall()
    assert (key, attempts, parked, sqlstate) == ("7", 3, True, "VS102")
    assert message
    assert scalar(items, "select embedded_total from vsync.stat_embeddings") == 49
    put(items, 7, "a change revives it")
    assert_at_rest(items)


def test_a_document_that_cannot_be_rendered_is_parked_until_retried(items: Connection) -> None:
    run(items, DIVIDE)
    items.execute("call vsync.work()")
    assert set(stored(items)) == {key for key in range(1, 51) if key % 10}
    assert {row[3] for row in items.execute(FAILURES).fetchall()} == {"22012"}
    assert all(row[1:3] == (3, True) for row in items.execute(FAILURES).fetchall())
    items.execute("set session_replication_role = replica")  # nobody notices that the function is another one
    run(items, HEAL)
    items.execute("reset session_replication_role")
    items.execute("call vsync.work()")
    assert len(stored(items)) == 45, "parked is parked"
    assert scalar(items, "select vsync.retry('found', '10')") == 1
    items.execute("call vsync.work()")
    assert len(stored(items)) == 46
    assert scalar(items, "select vsync.retry('found')") == 4
    assert_at_rest(items)


def test_a_function_that_is_replaced_has_its_documents_looked_at_again(items: Connection) -> None:
    run(items, DIVIDE)
    items.execute("call vsync.work()")
    run(items, HEAL)
    items.execute("call vsync.work()")
    assert len(stored(items)) == 50
    assert_at_rest(items)


def test_an_update_that_poisons_a_document_leaves_its_old_vector_in_place(items: Connection) -> None:
    items.execute("call vsync.work()")
    put(items, 7, "poisonpill")
    items.execute("call vsync.work()")
    assert stored(items)[7] == "text 7"
    assert scalar(items, "select stale from vsync.search('found', 'text 7', 50) where key = '{\"id\": 7}'") is True


def test_an_error_of_any_length_and_script_stays_readable(items: Connection) -> None:
    run(items, SPEAK)
    items.execute("call vsync.work()")
    [(_, _, _, _, message)] = items.execute(FAILURES).fetchall()
    assert message.startswith("ü€ü€")
    assert len(message) <= 500


def test_a_poison_document_that_is_deleted_is_forgotten(items: Connection) -> None:
    put(items, 7, "poisonpill")
    items.execute("call vsync.work()")
    items.execute("delete from shop.items where id = 7")
    assert_at_rest(items)


def test_a_text_of_ten_megabytes_is_truncated_counted_and_harms_nobody(items: Connection) -> None:
    put(items, 7, "sentence after sentence, " * 400_000)
    items.execute("call vsync.work()")
    assert len(stored(items)) == 50
    assert scalar(items, "select array_agg(id) from vsync_data.found_v1 where truncated") == [7]
    assert items.execute(FAILURES).fetchall() == []


def test_old_failures_never_starve_new_work(items: Connection) -> None:
    items.execute("call vsync.work()")
    items.execute("select vsync.configure('max_attempts', '1000000'), vsync.configure('claim_limit', '5')")
    items.execute("update shop.items set body = 'poisonpill ' || id")
    items.execute("call vsync.work(duration => '0.5 s')")
    put(items, 99, "new work")
    items.execute("call vsync.work(duration => '2 s')")
    assert stored(items)[99] == "new work"
    items.execute("update shop.items set body = 'cured ' || id")
    assert_at_rest(items)


@pytest.mark.parametrize("rows", [400, pytest.param(50_000, marks=pytest.mark.chaos, id="50000 rows")])
def test_one_document_in_a_hundred_is_poison_and_the_others_do_not_notice(
    db: Connection, tiny_model_poison: Path, battery: Battery, share: Callable[[int], int], rows: int
) -> None:
    rows = rows if rows == 400 else share(rows)
    open_shop(db, battery.journal, tiny_model_poison, rows=rows, document=_DIVIDING)
    db.execute("select vsync.configure('max_attempts', '3'), vsync.configure('retry_seconds', '0')")
    dividing = frozenset(range(7, rows + 1, 500))
    chosen = battery.chance.sample([key for key in range(1, rows + 1) if key not in dividing], rows // 100)
    kinds = ("poisonpill", "nanpill", "long ")
    for i, key in enumerate(chosen):
        body = f"{kinds[i % 3]} {key} " * (10_000_000 // 12 if i == 5 else 1)
        db.execute("update shop.items set body = %s where id = %s", [body, key])
        battery.journal.acknowledge([("items", key, [key % 20, body])])
    parked = dividing | {key for i, key in enumerate(chosen) if i % 3 < 2}
    battery.faults += len(parked)
    battery.rest(db, parked=parked)
    assert scalar(db, "select min(attempts) from vsync.failures") == 3
    embedded = scalar(db, "select embedded_total from vsync.stat_embeddings")
    assert embedded == rows - len(parked), "siblings are embedded once"
    db.execute("update shop.kinds set name = name || '!' where id < 10")
    battery.journal.acknowledge(("kinds", kind, [f"kind {kind}!"]) for kind in range(10))
    battery.rest(db, parked=parked)
    db.execute("update shop.items set body = 'cured ' || id where id = any(%s)", [list(parked - dividing)])
    battery.journal.acknowledge(("items", key, [key % 20, f"cured {key}"]) for key in parked - dividing)
    db.execute("delete from shop.items where id = any(%s)", [list(dividing)])
    battery.journal.acknowledge(("items", key, None) for key in dividing)
    battery.rest(db)
