"""Documents are rendered with their owner's rights, whoever runs the worker; what the owner cannot see is an error."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop import Connection, declare, denied, open_shop, refused, rows, run, value

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]


@pytest.fixture
def owner(make_role: MakeRole) -> str:
    return make_role("vsync_admin")


@pytest.fixture
def shop(db: Connection, connect: Connect, owner: str, tiny_model: Path) -> Connection:
    """A session of the owner of shop.products, who is no superuser."""
    open_shop(db, tiny_model, owner=owner)
    return connect(user=owner)


def test_an_admin_who_owns_a_table_creates_and_drops_an_embedding(shop: Connection, db: Connection, owner: str) -> None:
    declare(shop)
    db.execute("call vsync.work()")
    assert value(shop, "select count(*) from shop.catalog") == 3
    assert value(shop, "select owner from vsync.embeddings") == owner
    assert value(shop, "select vsync.repair_capture('catalog')") == 0
    assert value(shop, "select vsync.drop_embedding('catalog')") == "catalog"


def test_an_owner_that_is_renamed_stays_the_owner(
    shop: Connection, db: Connection, owner: str, connect: Connect, make_role: MakeRole
) -> None:
    declare(shop)
    db.execute("call vsync.work()")
    shop.close()
    run(db, f"alter role {owner} rename to {owner}_renamed")
    renamed = connect(user=f"{owner}_renamed")
    assert value(db, "select owner from vsync.embeddings") == f"{owner}_renamed"
    run(renamed, "alter table shop.products rename title to name")
    renamed.execute("update shop.products set name = 'renamed'")
    db.execute("call vsync.work()")
    assert rows(renamed, "select distinct content from shop.catalog") == [("renamed",)]
    run(db, f"create role {owner} login; grant vsync_admin to {owner}")
    other = connect(user=owner)
    refused(lambda: other.execute("select vsync.drop_embedding('catalog')"), "VS002")
    assert value(renamed, "select vsync.add_version('catalog', chunk => %s)", '{"tokens": 20}') == 2
    assert value(renamed, "select vsync.drop_embedding('catalog')") == "catalog"
    run(db, f"reassign owned by {owner}_renamed to postgres; drop owned by {owner}_renamed; drop role {owner}_renamed")


def test_render_runs_as_the_owner_and_not_as_the_worker(
    shop: Connection, db: Connection, owner: str, connect: Connect, make_role: MakeRole
) -> None:
    shop.execute(
        "create function shop.who(text) returns text immutable language plpgsql "
        "as $$ begin return current_user || ' ' || $1; end $$"
    )
    declare(shop, document="select id, shop.who(title) as content from shop.products")
    db.execute("call vsync.work()")
    shop.execute("update shop.products set title = 'other' where id = 1")
    connect(user=make_role("vsync_operator")).execute("call vsync.work()")
    contents = {content for (content,) in rows(shop, "select content from shop.catalog")}
    assert contents == {f"{owner} other", f"{owner} product 2", f"{owner} product 3"}


def test_a_column_the_owner_may_not_read_is_refused_at_creation(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    role = make_role("vsync_admin")
    run(
        db,
        f"grant usage, create on schema shop to {role}; grant trigger, select (id, title) on shop.products to {role}",
    )
    other = connect(user=role)
    refused(lambda: declare(other, document="select id, hidden as content from shop.products"), "VS002")
    declare(other)
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.catalog") == 3


@pytest.mark.parametrize(
    "missing", ["trigger on table shop.products", "create on schema shop", "select on shop.products"]
)
def test_each_privilege_that_is_missing_is_named(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path, missing: str
) -> None:
    open_shop(db, tiny_model)
    role = make_role("vsync_admin")
    run(db, f"grant usage, create on schema shop to {role}; grant trigger, select on shop.products to {role}")
    run(db, f"revoke {missing} from {role}")
    other = connect(user=role)
    report = refused(lambda: declare(other), "VS002")
    assert (report.message_hint or "").startswith(f"grant {missing.split()[0]}")
    assert value(db, "select count(*) from pg_class where relnamespace = 'vsync_data'::regnamespace") == 0


def test_a_privilege_lost_later_is_an_error_and_deletes_nothing(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    role = make_role("vsync_admin")
    run(db, f"grant usage, create on schema shop to {role}; grant trigger, select on shop.products to {role}")
    declare(connect(user=role))
    db.execute("call vsync.work()")
    run(db, f"revoke select on shop.products from {role}")
    db.execute("update shop.products set title = 'changed'")
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.catalog") == 3
    assert rows(db, "select * from vsync.failures") == []
    assert "permission denied" in value(db, "select last_error from vsync.stat_embeddings")
    assert value(db, "select pending from vsync.stat_embeddings") == 3
    run(db, f"grant select on shop.products to {role}")
    db.execute("call vsync.work()")
    assert {row[0] for row in rows(db, "select content from shop.catalog")} == {"changed"}


def test_rows_hidden_from_the_owner_are_an_error_and_not_a_deletion(shop: Connection, db: Connection) -> None:
    declare(shop)
    db.execute("call vsync.work()")
    shop.execute(
        "alter table shop.products enable row level security; alter table shop.products force row level security"
    )
    db.execute("select vsync.refresh('catalog')")
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.catalog") == 3
    assert "row-level security" in value(db, "select last_error from vsync.stat_embeddings")
    db.execute("select vsync.retry('catalog')")
    db.execute("update shop.products set title = title || '!'")
    db.execute("select vsync_internal.fold()")
    db.execute("update vsync_internal.progress set phase = 'done'")
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.catalog") == 3
    assert "row-level security" in value(db, "select last_error from vsync.stat_embeddings")
    assert value(db, "select pending from vsync.stat_embeddings") == 3


def test_creation_over_rows_hidden_from_the_owner_is_refused(shop: Connection) -> None:
    shop.execute(
        "alter table shop.products enable row level security; alter table shop.products force row level security"
    )
    refused(lambda: declare(shop), "VS002")


def test_only_members_of_the_owner_drop_or_repair(shop: Connection, connect: Connect, make_role: MakeRole) -> None:
    declare(shop)
    other = connect(user=make_role("vsync_admin"))
    refused(lambda: other.execute("select vsync.drop_embedding('catalog')"), "VS002")
    refused(lambda: other.execute("select vsync.repair_capture('catalog')"), "VS002")


def test_a_member_of_the_owner_may_drop(shop: Connection, connect: Connect, make_role: MakeRole, owner: str) -> None:
    declare(shop)
    member = connect(user=make_role(owner))
    assert value(member, "select vsync.drop_embedding('catalog')") == "catalog"


def test_set_role_decides_who_owns_and_takes_the_sessions_own_rights_away(
    shop: Connection, db: Connection, make_role: MakeRole, owner: str
) -> None:
    run(db, f"set role {owner}")
    declare(db, "by_role")
    assert value(db, "select owner from vsync.embeddings where name = 'by_role'") == owner
    run(db, f"reset role; set role {make_role('vsync_admin')}")
    refused(lambda: db.execute("select vsync.drop_embedding('by_role')"), "VS002")
    db.execute("reset role")
    shop.execute("select vsync.drop_embedding('by_role')")


def test_the_owners_search_path_resolves_the_document_and_is_then_forgotten(shop: Connection, db: Connection) -> None:
    shop.execute("set search_path = shop")
    shop.execute("select vsync.create_embedding('catalog', 'select id, title as content from products', 'tiny')")
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.catalog") == 3


def test_the_owner_cannot_write_the_vectors(shop: Connection) -> None:
    declare(shop)
    denied(shop, "delete from vsync_data.catalog_v1")
    denied(shop, "delete from vsync_internal.marks")
