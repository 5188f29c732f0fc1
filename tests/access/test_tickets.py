"""What reads documents opens to a ticket of vsync: nothing that an owner plants reads another owner's documents."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shop import Connection, declare, open_shop, refused, rows, run, value

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

_JOINED = "select p.id, p.title || t.name as content from shop.products as p join shop.tenants as t on t.id = p.tenant"
_READERS = {
    "render": "select string_agg(r.content, '') from vsync_data.catalog_v1_render('{1,2,3}', %L) as r",
    "keys": "select vsync_data.catalog_v1_keys(null, 10, %L)::text",
    "missing": "select vsync_data.catalog_v1_missing('{1,77}', %L)::text",
    "count": "select vsync_data.catalog_v1_count(%L)::text",
    "hashes": "select string_agg(h.hash::text, '') from vsync_data.catalog_v1_hashes(null, null, %L) as h",
    "tuples": "select vsync_data.catalog_v1_tuples('select array_agg(title) from shop.products', null, %L)::text",
    "delta": "select vsync_data.catalog_v1_delta_1('{a}', null, 10, %L)::text",
}
_RENDER = "vsync_data.bait_v1_render(keys text[], ticket text) returns table (key text, content text, further jsonb)"


@pytest.fixture
def owner(make_role: MakeRole) -> str:
    return make_role("vsync_admin")


@pytest.fixture
def shop(db: Connection, connect: Connect, owner: str, tiny_model: Path) -> Connection:
    """A session of the owner of an embedding "catalog" that nobody else may read."""
    open_shop(db, tiny_model, owner=owner)
    shop = connect(user=owner)
    shop.execute("create table shop.tenants (id text primary key, name text)")
    shop.execute("insert into shop.tenants values ('a', ' of a tenant')")
    declare(shop, document=_JOINED)
    return shop


@pytest.fixture
def thief(shop: Connection, connect: Connect, make_role: MakeRole, db: Connection) -> Connection:
    """A session of another owner; den.steal(tickets) tries every reader of "catalog" and returns what came of it."""
    del shop
    role = make_role("vsync_admin")
    run(db, f"create schema den authorization {role}")
    run(db, f"grant create on schema vsync_data to {role}")  # which vsync gives to nobody
    thief = connect(user=role)
    thief.execute("create table den.papers (id int primary key, title text); insert into den.papers values (1, 'mine')")
    declare(thief, "bait", "select id, title as content from den.papers")
    thief.execute("grant usage on schema den to public")
    calls = ", ".join(f"$call${call}$call$" for call in _READERS.values())
    run(
        thief,
        "create function den.steal(tickets text[]) returns text language plpgsql as $$ "
        "declare v_call text; v_ticket text; v_got text; v_loot text := ''; begin "
        f"foreach v_call in array array[{calls}] loop foreach v_ticket in array tickets loop begin "
        "execute format(v_call, v_ticket) into v_got; v_loot := v_loot || coalesce(v_got, '') || ' '; "
        "exception when others then v_loot := v_loot || sqlstate || ' '; end; end loop; end loop; "
        "return v_loot; end $$",
    )
    return thief


@pytest.mark.parametrize("rights", ["invoker", "definer"])
def test_a_replaced_reader_opens_no_other_owners_reader(thief: Connection, db: Connection, rights: str) -> None:
    forged = "select k, den.steal(array[$2, null, '']), null::jsonb from unnest($1) as k"
    body = f"begin return query {forged}; end"
    run(thief, f"create or replace function {_RENDER} language plpgsql volatile security {rights} as $${body}$$")
    db.execute("call vsync.work()")
    if rights == "definer":
        assert value(db, "select content from vsync_data.bait_v1") == "42501 " * 3 * len(_READERS)
    else:
        assert "is not what vsync made" in value(
            db, "select last_error from vsync.stat_embeddings where embedding = 'bait'"
        )
    _nothing_was_stolen(db)


def test_the_sandbox_itself_opens_no_reader_without_its_ticket(thief: Connection, db: Connection) -> None:
    db.execute("call vsync.work()")
    steal = "format('select array[den.steal(%L)]', array[vsync_internal.ticket('bait_v1'), null, ''])"
    stolen = value(db, f"select vsync_internal.call_excluded({steal}, null)")
    assert stolen == ["VS002 " * 3 * len(_READERS)]
    _nothing_was_stolen(db)


def _nothing_was_stolen(db: Connection) -> None:
    assert value(db, "select count(*) from shop.catalog where content like 'product%of a tenant'") == 3
    for place in ("vsync_data.bait_v1", "vsync.failures", "vsync_internal.log", "vsync.stat_embeddings"):
        assert value(db, f"select count(*) from {place} as t where t::text like '%product%'") == 0, place


@pytest.mark.parametrize("reader", _READERS)
def test_a_ticket_opens_one_version_in_one_transaction(thief: Connection, db: Connection, reader: str) -> None:
    del thief
    call = "select format(%s, vsync_internal.ticket(%s))"
    with db.transaction():
        own, other = (value(db, call, _READERS[reader], data) for data in ("catalog_v1", "bait_v1"))
        assert value(db, own)
        for wrong in (
            other,
            *(value(db, "select format(%s, %s::text)", _READERS[reader], ticket) for ticket in (None, "")),
        ):
            with db.transaction(force_rollback=True):
                refused(lambda wrong=wrong: run(db, wrong), "VS002")
        assert value(db, own)
    refused(lambda: run(db, own), "VS002")


def test_nobody_reads_what_tickets_are_made_with(db: Connection) -> None:
    secret = "select length(value) from vsync_internal.secret"
    assert rows(db, secret) == [(32,)]
    readers = "select rolname from pg_roles where has_table_privilege(oid, 'vsync_internal.secret', 'select')"
    assert set(rows(db, f"{readers} and not rolsuper")) <= {("pg_read_all_data",)}
    makers = "has_function_privilege(oid, 'vsync_internal.ticket(name)', 'execute')"
    assert rows(db, f"select rolname from pg_roles where {makers} and not rolsuper") == []


def test_an_embedding_goes_on_when_its_owner_is_no_admin_any_more(shop: Connection, db: Connection, owner: str) -> None:
    run(db, f"revoke vsync_admin from {owner}")
    db.execute("call vsync.work()")
    shop.execute("update shop.tenants set name = ' of another'")
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.catalog where content like 'product%of another'") == 3
    assert value(db, "select documents from vsync.explain_impact('shop.tenants', '\"a\"')") == 3
    assert rows(db, "select * from vsync.audit('catalog')") == [(1, 3, 0, 0, 0, 0, 0)]
    assert value(db, "select vsync.refresh('catalog')") == 3


def test_a_role_is_left_with_no_grant_when_its_last_embedding_is_dropped(
    shop: Connection, db: Connection, owner: str
) -> None:
    grants = "select count(*) from pg_shdepend where deptype = 'a' and refobjid = %s::regrole"
    declare(shop, "second")
    granted = value(db, grants, owner)
    assert granted >= 4
    shop.execute("select vsync.drop_embedding('second')")
    assert value(db, grants, owner) == granted
    shop.execute("select vsync.drop_embedding('catalog')")
    assert value(db, grants, owner) == 0
