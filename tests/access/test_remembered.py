"""Query vectors that a session remembers are of one role; DISCARD ALL forgets them. Owners that change or go."""

from collections.abc import Callable
from pathlib import Path

from shop import Connection, declare, open_shop, refused, run, value

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

_COUNT = (
    "create function public.remembered() returns int language plpython3u security definer as "
    "$$ from vsync_engine.models import session_cache; return len(session_cache._remembered) $$"
)


def test_a_role_is_not_answered_from_what_another_one_asked(
    db: Connection, make_role: MakeRole, tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    declare(db)
    db.execute(_COUNT)
    ask = "select vsync.query_vector('catalog', 'a query')::text"
    first = value(db, ask)
    assert value(db, ask) == first
    assert value(db, "select public.remembered()") == 1
    for how in ("set role {}", "set session authorization {}"):
        run(db, how.format(make_role("vsync_reader")))
        before = value(db, "select public.remembered()")
        assert value(db, ask) == first
        assert value(db, "select public.remembered()") == before + 1
        db.execute("reset role; reset session authorization")
    db.execute("discard all")
    assert value(db, ask) == first
    assert value(db, "select public.remembered()") == 1


def test_an_embedding_whose_owner_was_dropped_is_dropped_by_the_installer(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    role = make_role("vsync_admin")
    run(db, f"grant usage, create on schema shop to {role}; grant trigger, select on shop.products to {role}")
    owner = connect(user=role)
    declare(owner)
    db.execute("call vsync.work()")
    owner.close()
    run(db, f"drop owned by {role} cascade; drop role {role}")
    other = connect(user=make_role("vsync_admin"))
    refused(lambda: other.execute("select vsync.drop_embedding('catalog')"), "VS002")
    assert value(db, "select vsync.drop_embedding('catalog')") == "catalog"
    assert value(db, "select count(*) from pg_trigger where tgrelid = 'shop.products'::regclass") == 0


def test_a_role_that_owned_objects_are_reassigned_to_owns_the_embedding(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    old, new = make_role("vsync_admin"), make_role()
    for role in (old, new):
        run(db, f"grant usage, create on schema shop to {role}; grant trigger, select on shop.products to {role}")
    session = connect(user=old)
    declare(session)
    db.execute("call vsync.work()")
    session.close()
    run(db, f"reassign owned by {old} to {new}; drop owned by {old}; drop role {old}")
    assert value(db, "select owner from vsync.embeddings") == new
    db.execute("update shop.products set title = 'changed'")
    db.execute("call vsync.work()")
    db.execute("select vsync.retry('catalog')")
    db.execute("call vsync.work()")
    assert value(db, "select string_agg(distinct content, ',') from shop.catalog") == "changed"
    run(db, f"grant vsync_admin to {new}")
    assert value(connect(user=new), "select vsync.drop_embedding('catalog')") == "catalog"
    run(db, f"drop owned by {new}; drop role {new}")


def test_a_hold_is_decided_by_the_role_that_the_embedding_was_reassigned_to(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    old, new = make_role("vsync_admin"), make_role("vsync_admin")
    for role in (old, new):
        run(db, f"grant usage, create on schema shop to {role}; grant trigger, select on shop.products to {role}")
    session = connect(user=old)
    declare(session)
    db.execute("call vsync.work()")
    session.execute("select vsync.create_rule('waiting', 'catalog', 'true', 'hold')")
    db.execute("update shop.products set title = 'changed' where id = 1")
    db.execute("call vsync.work()")
    run(db, f"reassign owned by {old} to {new}")
    refused(lambda: session.execute("select vsync.approve(1)"), "VS002")
    run(connect(user=new), "select vsync.approve(1)")
