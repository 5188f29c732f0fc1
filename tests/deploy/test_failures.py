"""What meets a whole version leaves it alone for a while and costs no document an attempt; what meets one parks it."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, open_shop, register, rows, run, value
from versions.rollout import work

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]
DOCUMENT = "select id, o.body(title) as content from shop.products"
BODY = "create or replace function o.body(t text) returns text language plpgsql immutable as $$ begin {} end $$"
PARKED = "select count(*) from vsync.failures"
OTHERS = "select content from shop.others_e where id = 1"


def breaks(body: str) -> str:
    return BODY.format(body)


@pytest.fixture
def owner(make_role: MakeRole) -> str:
    return make_role("vsync_admin")


@pytest.fixture
def shop(db: Connection, tiny_model: Path, owner: str) -> Connection:
    """Embedding catalog of another role's, over its function; others_e of our own."""
    open_shop(db, tiny_model, 40)
    run(db, "create table shop.others (id int primary key, title text); insert into shop.others values (1, 'first')")
    declare(db, "others_e", "select id, title as content from shop.others")
    run(db, f"grant usage, create on schema shop to {owner}; grant select, trigger on shop.products to {owner}")
    run(db, f"create schema o authorization {owner}; set role {owner}")
    run(db, breaks("return t;"))
    run(db, "grant usage on schema o to public")
    declare(db, document=DOCUMENT)
    run(db, "reset role")
    run(db, "select vsync.configure('max_attempts', '1')")
    work(db)
    assert value(db, "select count(*) from shop.catalog") == 40
    return db


TAKEN_AWAY = {
    "a privilege on the table": (
        "revoke select on shop.products from {owner}",
        "grant select on shop.products to {owner}",
    ),
    "a privilege inside of a function": (
        breaks("return pg_catalog.pg_read_file('/etc/hostname');"),
        breaks("return t;"),
    ),
    "a function that the function calls": (breaks("return o.gone(t);"), breaks("return t;")),
    "a table that the function reads": (breaks("return (select o from o.gone);"), breaks("return t;")),
    "a full disk": (breaks("raise sqlstate '53100';"), breaks("return t;")),
    "memory": (breaks("raise sqlstate '53200';"), breaks("return t;")),
    "a foreign server": (breaks("raise sqlstate '08001';"), breaks("return t;")),
    "a lock": (breaks("raise sqlstate '55P03';"), breaks("return t;")),
    "a file": (breaks("raise sqlstate '58P01';"), breaks("return t;")),
}


@pytest.mark.parametrize("changed", ["id = 1", "id < 40"])
@pytest.mark.parametrize("cause", TAKEN_AWAY)
def test_what_meets_every_document_parks_none_and_is_tried_again_by_itself(
    shop: Connection, owner: str, cause: str, changed: str
) -> None:
    harm, remedy = (text.format(owner=owner) for text in TAKEN_AWAY[cause])
    run(shop, harm)
    run(shop, f"update shop.products set title = 'changed' where {changed}")
    run(shop, "update shop.others set title = 'changed'")
    work(shop)
    assert value(shop, OTHERS) == "changed"
    assert value(shop, PARKED) == 0
    assert value(shop, "select count(*) from vsync_internal.marks where attempts > 0") == 0
    (found,) = rows(shop, "select level, detail from vsync.doctor() where name = 'models' and level <> 'ok'")
    assert found[0] == "error"
    assert value(shop, "select last_error from vsync.stat_embeddings where embedding = 'catalog'") in found[1]
    run(shop, remedy)
    work(shop)
    assert value(shop, "select content from shop.catalog where id = 1") == "changed"
    assert rows(shop, "select name from vsync.doctor() where level in ('error', 'warning')") == []
    assert value(shop, "select sum(failed_total) from vsync.stat_embeddings") == 0


def test_a_running_worker_tries_it_again_without_being_told(shop: Connection, owner: str) -> None:
    run(shop, f"revoke select on shop.products from {owner}")
    run(shop, "update shop.products set title = 'changed' where id = 1")
    work(shop)
    run(shop, f"grant select on shop.products to {owner}")
    run(shop, "update vsync_internal.progress set retry_at = retry_at - interval '1 minute'")
    run(shop, "call vsync.work(duration => '1 second')")
    assert value(shop, "select content from shop.catalog where id = 1") == "changed"


@pytest.mark.parametrize("sqlstate", ["42501", "42883", "22012", "P0001"])
@pytest.mark.parametrize("bad", ["= 'text 7'", "in ('text 1', 'text 2', 'text 3')", "< 'text 2'"])
def test_what_meets_some_documents_parks_those_and_no_other(shop: Connection, sqlstate: str, bad: str) -> None:
    run(shop, breaks(f"if t {bad} then raise sqlstate '{sqlstate}'; end if; return t;"))
    run(shop, "update shop.products set title = 'text ' || id")
    work(shop)
    number = value(shop, f"select count(*) from shop.products where title {bad}")
    assert value(shop, PARKED) == number
    fresh = "select count(*) from shop.catalog where content like 'text%%'"
    assert value(shop, fresh) == 40 - number


@pytest.mark.parametrize("sqlstate", ["22012", "P0001"])
def test_errors_of_documents_park_them_even_where_they_meet_all(shop: Connection, sqlstate: str) -> None:
    run(shop, breaks(f"raise sqlstate '{sqlstate}';"))
    run(shop, "update shop.products set title = 'changed'")
    work(shop)
    assert value(shop, PARKED) == 40


def test_a_read_only_database_is_no_documents_fault(shop: Connection) -> None:
    run(shop, "update shop.products set title = 'changed' where id < 6")
    run(shop, "select vsync_internal.fold()")
    run(shop, "set default_transaction_read_only = on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        run(shop, "call vsync.work()")
    run(shop, "reset default_transaction_read_only")
    work(shop)
    assert value(shop, "select sum(failed_total) from vsync.stat_embeddings") == 0
    assert value(shop, "select count(*) from shop.catalog where content = 'changed'") == 5


def test_a_dependency_that_may_not_be_read_is_followed_once_it_may_be(
    db: Connection, tiny_model: Path, make_role: MakeRole
) -> None:
    owner = make_role("vsync_admin")
    open_shop(db, tiny_model)
    run(db, "create table shop.notes (id int primary key, product int, note text)")
    run(db, "insert into shop.notes values (1, 1, 'a'), (2, 2, 'b')")
    run(
        db,
        f"grant usage, create on schema shop to {owner}; grant select, trigger on all tables in schema shop to {owner}",
    )
    document = (
        "select p.id, n.note as content from shop.products as p join shop.notes as n on n.product = p.id and n.id < 9"
    )
    run(db, f"set role {owner}")
    declare(db, document=document)
    run(db, "reset role")
    work(db)
    run(db, f"revoke select on shop.notes from {owner}")
    run(db, "update shop.notes set note = note || '!'")
    work(db)
    assert value(db, "select count(*) from vsync_internal.marks where attempts > 0") == 0
    run(db, f"grant select on shop.notes to {owner}")
    work(db)
    assert rows(db, "select content from shop.catalog order by 1") == [("a!",), ("b!",)]
    assert value(db, "select count(*) from vsync_internal.pages") == 0


def test_a_model_file_that_is_missing_costs_no_document_an_attempt(
    db: Connection, tiny_model: Path, make_model: Callable[..., Path]
) -> None:
    open_shop(db, tiny_model)
    directory = make_model()
    register(db, directory, "own")
    run(db, "select vsync.create_embedding('of_own', 'select id, title as content from shop.products', 'own')")
    (directory / "model.onnx").rename(directory / "away.onnx")
    work(db)
    assert value(db, PARKED) == 0
    (directory / "away.onnx").rename(directory / "model.onnx")
    work(db)
    assert value(db, "select count(*) from shop.of_own") == 3


def test_a_retry_of_all_ends_the_waits_of_pages_and_waits_for_none(shop: Connection, connect: Connect) -> None:
    page = (
        "insert into vsync_internal.pages (version_id, generation, captured_at, retry_at) "
        "select id, 1, now(), now() + interval '1 hour' from vsync_internal.versions returning id"
    )
    (page_of_others,), (page_of_catalog,) = rows(shop, page)
    other = connect()
    with other.transaction():
        run(other, "select from vsync_internal.pages where id = %s for update", page_of_others)
        run(shop, "select vsync.retry('catalog')")
        run(shop, "select vsync.retry('others_e')")
    waiting = "select id from vsync_internal.pages where retry_at is not null"
    assert rows(shop, waiting) == [(page_of_others,)]
    assert page_of_catalog != page_of_others
