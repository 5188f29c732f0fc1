"""A document is tried in the session of whoever declares it: nobody declares one that runs another role's code."""

from collections.abc import Callable
from pathlib import Path

from shop import Connection, declare, open_shop, refused, run, value

SPY = """
    create sequence shop.seen;
    create function shop.note() returns bigint language sql volatile as $$ select nextval('shop.seen') $$;
    create function shop.spy(title text) returns text language plpgsql immutable as $$
    begin
        if current_user <> '{}' then perform shop.note(); end if;
        return title;
    end $$;
"""


def test_no_owner_code_runs_as_a_superuser_who_adds_a_version(
    db: Connection, connect: Callable[..., Connection], make_role: Callable[..., str], tiny_model: Path
) -> None:
    owner = make_role("vsync_admin")
    open_shop(db, tiny_model, owner=owner)
    session = connect(user=owner)
    run(session, SPY.format(owner))
    declare(session, "spied", "select id, shop.spy(title) as content from shop.products")
    db.execute("call vsync.work()")
    error = refused(lambda: db.execute("select vsync.add_version('spied')"), "VS002")
    assert owner in (error.message_hint or "")
    assert value(db, "select is_called from shop.seen") is False
    assert value(session, "select vsync.add_version('spied')") == 2
