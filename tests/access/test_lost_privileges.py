"""A privilege that is taken from an embedding's owner counts at the next evaluation, and so does its return."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop import Connection, declare, open_shop, refused, rows, run, value

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]


@pytest.fixture
def role(db: Connection, make_role: MakeRole, tiny_model: Path) -> str:
    """An admin who may read and capture shop.products, which is the superuser's."""
    open_shop(db, tiny_model)
    role = make_role("vsync_admin")
    run(db, f"grant usage, create on schema shop to {role}; create schema own authorization {role}")
    run(db, f"grant trigger on shop.products to {role}; grant select (id, title, hidden) on shop.products to {role}")
    run(
        db,
        "create table shop.orders (id int primary key, product_id int, note text); "
        "create index on shop.orders (product_id)",
    )
    run(db, f"grant select on shop.orders to {role}")
    return role


@pytest.fixture
def owner(role: str, connect: Connect) -> Connection:
    session = connect(user=role)
    declare(session)
    return session


@pytest.mark.parametrize(
    ("revoke", "grant"),
    [
        ("revoke select (hidden) on shop.products from {0}", "grant select (hidden) on shop.products to {0}"),
        (
            "alter table shop.products enable row level security",
            "alter table shop.products disable row level security",
        ),
    ],
)
def test_a_rule_is_not_given_values_that_its_owner_may_not_read(
    owner: Connection, db: Connection, role: str, revoke: str, grant: str
) -> None:
    run(owner, "create table own.seen (hidden text)")
    run(
        owner,
        "create function own.note(text) returns boolean language plpgsql immutable "
        "as $$ begin raise 'saw %', $1; end $$",
    )
    db.execute("call vsync.work()")
    owner.execute("select vsync.create_rule('spy', 'catalog', 'own.note(new.hidden) and old.hidden is null', 'skip')")
    db.execute("update shop.products set hidden = 'before'")
    db.execute("call vsync.work()")
    assert value(db, "select last_error from vsync.stat_rules where name = 'spy'") == "saw before"
    run(db, revoke.format(role))
    db.execute("update shop.products set hidden = 'after'")
    db.execute("call vsync.work()")
    assert "permission denied for" in value(db, "select last_error from vsync.stat_rules where name = 'spy'")
    assert value(db, "select broken from vsync.rules where name = 'spy'") is None
    problems = [detail for (detail,) in rows(db, "select detail from vsync.doctor() where name = 'rules'")]
    assert any("permission denied" in detail for detail in problems)
    run(db, grant.format(role))
    db.execute("update shop.products set hidden = 'again'")
    db.execute("call vsync.work()")
    assert value(db, "select last_error from vsync.stat_rules where name = 'spy'") == "saw again"


def test_a_document_that_is_replaced_captures_no_table_without_the_privilege(owner: Connection, db: Connection) -> None:
    triggers = "select count(*) from pg_trigger where tgrelid = 'shop.orders'::regclass"
    notes = "(select string_agg(o.note, ' ' order by o.id) from shop.orders as o where o.product_id = p.id)"
    run(db, f"grant create on schema vsync_data to {owner.info.user}")  # which vsync gives to nobody
    run(
        owner,
        "create or replace view vsync_data.catalog_v1_document as "
        f"select p.id, p.title || coalesce({notes}, '') as content from shop.products as p",
    )
    owner.execute("select vsync.repair_capture('catalog')")
    assert value(db, triggers) == 0
    assert "permission denied for table shop.orders" in value(db, "select broken from vsync_internal.progress")


@pytest.mark.parametrize("call", ["repair_capture('catalog')", "set_capture('catalog', 'trigger')"])
def test_capture_that_was_taken_away_comes_back_with_the_privilege_only(
    owner: Connection, db: Connection, role: str, call: str
) -> None:
    triggers = "select count(*) from pg_trigger where tgrelid = 'shop.products'::regclass and not tgisinternal"
    if call.startswith("set"):
        owner.execute("select vsync.set_capture('catalog', 'manual')")
    else:
        run(db, "drop trigger vsync_update on shop.products")
    before = value(db, triggers)
    run(db, f"revoke trigger on shop.products from {role}")
    refused(lambda: run(owner, f"select vsync.{call}"), "VS002")
    assert value(db, triggers) == before
    run(db, f"grant trigger on shop.products to {role}")
    run(owner, f"select vsync.{call}")
    assert value(db, triggers) == 4


def test_a_version_that_follows_again_needs_trigger_on_what_it_reads(
    owner: Connection, db: Connection, role: str
) -> None:
    run(db, f"grant trigger on shop.orders to {role}")
    document = (
        "select p.id, p.title || coalesce((select string_agg(o.note, ',' order by o.id) from shop.orders o"
        " where o.product_id = p.id), '') as content from shop.products p"
    )
    assert value(owner, "select vsync.add_version('catalog', document => %s)", document) == 2
    run(owner, "select vsync.activate_version('catalog', 2, force => true)")
    run(owner, "select vsync.activate_version('catalog', 1, force => true)")
    run(owner, "select vsync.end_rollback('catalog')")
    run(db, f"revoke trigger on shop.orders from {role}")
    report = refused(lambda: owner.execute("select vsync.resume_version('catalog', 2)"), "VS002")
    assert report.message_hint == f"grant trigger on shop.orders to {role}"
    assert value(db, "select count(*) from pg_trigger where tgrelid = 'shop.orders'::regclass") == 0
    run(db, report.message_hint or "")
    assert value(owner, "select vsync.resume_version('catalog', 2)") is True
    assert value(db, "select count(*) from pg_trigger where tgrelid = 'shop.orders'::regclass") == 4
