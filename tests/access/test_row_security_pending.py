"""A row that moves to another tenant takes no text along: not while its change is pending, nor under a rule."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from races.steps import blocked
from shop import Connection, declare, open_shop, rows, run, value

Connect = Callable[..., Connection]
MakeRole = Callable[..., str]
POLICY = "create policy own on shop.products using (tenant = current_setting('shop.tenant', true))"
TYPES = {
    "timestamptz": "now()",
    "float8": "0.1",
    "bytea": "'x'",
    "interval": "'1 day'",
    "shop.kind": "'x'",
    "text[]": "'{ä}'",
    "tstzrange": "tstzrange(now(), null)",
    "jsonb": "'{}'",
    "money": "1",
    "shop.day": "now()",
    "date[]": "array[now()::date]",
    "shop.pair": "'(1,ö)'",
    "point": "'(0.1,0.2)'",
    "xml": "'<a/>'",
    "bpchar(3)": "'a'",
    "int4multirange": "'{}'",
    "oidvector": "'1 2'",
    "regclass": "'pg_class'",
    "tsvector": "'a'",
    "name": "'n'",
    '"char"': "'c'",
    "numeric": "1.10",
}
MOVE = "update shop.products set tenant = 'b', title = 'of b' where id = 1"


class Tenants:
    """Sessions of one reader, a tenant each."""

    def __init__(self, connect: Connect, role: str, names: str = "ab") -> None:
        self._sessions = {name: connect(user=role) for name in names}
        for name, session in self._sessions.items():
            session.execute("select set_config('shop.tenant', %s, false)", [name])

    def __getitem__(self, name: str) -> Connection:
        return self._sessions[name]

    def seen(self, name: str) -> dict[int, str]:
        """Return what a tenant sees; the view, the vector table and a search agree."""
        session = self._sessions[name]
        seen = dict(rows(session, "select id, content from shop.catalog"))
        assert seen == dict(rows(session, "select id, content from vsync_data.catalog_v1"))
        found = rows(session, "select (key ->> 'id')::int from vsync.search('catalog', 'product', 1000)")
        assert sorted(key for (key,) in found) == sorted(seen)
        return seen


def secure(db: Connection) -> None:
    db.execute("alter table shop.products enable row level security")
    run(db, POLICY)


@pytest.fixture
def role(db: Connection, make_role: MakeRole, tiny_model: Path) -> str:
    open_shop(db, tiny_model, 3)
    role = make_role("vsync_reader")
    run(db, f"grant usage on schema shop to {role}; grant select on shop.products to {role}")
    return role


@pytest.fixture
def tenants(db: Connection, connect: Connect, role: str) -> Tenants:
    secure(db)
    declare(db)
    db.execute("call vsync.work()")
    return Tenants(connect, role)


def test_a_moved_row_shows_no_tenant_the_text_of_the_other(db: Connection, tenants: Tenants) -> None:
    assert set(tenants.seen("a")) == {1, 2, 3}
    run(db, MOVE)
    assert (set(tenants.seen("a")), tenants.seen("b")) == ({2, 3}, {})
    db.execute("call vsync.work()")
    assert (set(tenants.seen("a")), tenants.seen("b")) == ({2, 3}, {1: "of b"})


def test_a_moved_row_of_the_same_text_is_shown_again_without_the_model(db: Connection, tenants: Tenants) -> None:
    before = value(db, "select inference_total from vsync_internal.progress")
    db.execute("update shop.products set tenant = 'b' where id = 1")
    assert tenants.seen("b") == {}
    db.execute("call vsync.work()")
    assert tenants.seen("b") == {1: "product 1"}
    assert value(db, "select inference_total from vsync_internal.progress") == before
    db.execute("update shop.products set tenant = 'a' where id = 1")
    assert 1 not in tenants.seen("a")
    db.execute("call vsync.work()")
    assert set(tenants.seen("a")) == {1, 2, 3}


@pytest.mark.parametrize("action", ["skip", "defer"])
@pytest.mark.parametrize("condition", ["true", "new.id > 0", "doc.id > 0"])
def test_no_rule_keeps_an_old_text_that_nobody_sees(
    db: Connection, tenants: Tenants, action: str, condition: str
) -> None:
    params = '{"for": "1 day"}' if action == "defer" else "{}"
    run(db, "select vsync.create_rule('keep', 'catalog', %s, %s, %s)", condition, action, params)
    run(db, MOVE)
    db.execute("update shop.products set title = 'new of a' where id = 2")
    assert tenants.seen("b") == {}
    db.execute("call vsync.work()")
    assert tenants.seen("b") == {1: "of b"}
    assert tenants.seen("a") == {2: "product 2", 3: "product 3"}
    db.execute("update shop.products set tenant = 'a' where id = 1")
    db.execute("call vsync.work()")
    assert tenants.seen("a") == {1: "of b", 2: "product 2", 3: "product 3"}


@pytest.mark.parametrize("condition", ["true", "doc.id > 0"])
def test_what_waits_for_a_yes_is_hidden_until_then(db: Connection, tenants: Tenants, condition: str) -> None:
    run(db, "select vsync.create_rule('ask', 'catalog', %s, 'hold')", condition)
    run(db, MOVE)
    db.execute("call vsync.work()")
    assert tenants.seen("b") == {}
    db.execute("select vsync.approve(id) from vsync.holds where state = 'waiting'")
    db.execute("call vsync.work()")
    assert tenants.seen("b") == {1: "of b"}


def test_a_worker_between_render_and_publish_hands_over_no_text(
    db: Connection, tenants: Tenants, connect: Connect
) -> None:
    db.execute("update shop.products set title = 'still of a' where id = 1")
    worker = connect()
    worker.execute("select vsync_internal.fold()")
    (token, keys) = rows(worker, "select token, keys from vsync_internal.claim(1, 10)")[0]
    rendered = rows(worker, "select key, content, hash, made from vsync_internal.render(%s, %s)", token, keys)
    run(db, MOVE)
    published = """select vsync_internal.publish(%s, (select json_agg(json_build_object('key', %s::text, 'chunk', 0,
        'content', %s::text, 'hash', %s::text, 'document', %s::text, 'vector', %s::text, 'made',
        %s::text, 'truncated', false, 'fresh', true))::text), 1)"""
    ((key, content, digest, made),) = rendered
    vector = value(db, "select embedding::text from vsync_data.catalog_v1 where id = 1")
    assert value(worker, published, token, key, content, digest, digest, vector, made) == 1
    assert value(db, "select content from vsync_data.catalog_v1 where id = 1") == "still of a"
    assert (set(tenants.seen("a")), tenants.seen("b")) == ({2, 3}, {})
    worker.execute("select vsync_internal.release(%s)", [token])
    db.execute("call vsync.work()")
    assert tenants.seen("b") == {1: "of b"}


def test_a_text_and_what_it_was_made_from_are_of_one_snapshot(
    db: Connection, tenants: Tenants, connect: Connect
) -> None:
    db.execute("update shop.products set title = 'still of a' where id = 1")
    worker, other = connect(), connect(autocommit=False)
    worker.execute("select vsync_internal.fold()")
    (token, keys) = rows(worker, "select token, keys from vsync_internal.claim(1, 10)")[0]
    other.execute("lock table vsync_internal.secret")  # between the rendering statement and the document
    with ThreadPoolExecutor(1) as pool:
        render = "select content from vsync_internal.render(%s, %s)"
        rendered = pool.submit(rows, worker, render, token, keys)
        while not blocked(other, worker):
            assert not rendered.done()
        run(db, MOVE)
        other.rollback()
        assert rendered.result() == [("still of a",)]
    worker.execute("select vsync_internal.release(%s)", [token])
    db.execute("call vsync.work()")
    assert tenants.seen("b") == {1: "of b"}


def test_a_row_that_moves_there_and_back_shows_what_it_said_before(db: Connection, tenants: Tenants) -> None:
    run(db, MOVE)
    db.execute("update shop.products set tenant = 'a', title = 'back' where id = 1")
    assert tenants.seen("a")[1] == "product 1"
    db.execute("call vsync.work()")
    assert tenants.seen("a")[1] == "back"


def test_policies_that_come_change_and_go_are_followed(db: Connection, connect: Connect, role: str) -> None:
    declare(db)
    db.execute("call vsync.work()")
    secure(db)
    tenants = Tenants(connect, role)
    assert set(tenants.seen("a")) == {1, 2, 3}
    run(db, MOVE)
    assert tenants.seen("b") == {}
    db.execute("call vsync.work()")
    assert tenants.seen("b") == {1: "of b"}
    db.execute("alter policy own on shop.products using (hidden = current_setting('shop.tenant', true))")
    db.execute("update shop.products set hidden = 'a'")
    assert tenants.seen("a") == {}
    db.execute("call vsync.work()")
    assert set(tenants.seen("a")) == {1, 2, 3}
    db.execute("drop policy own on shop.products")
    assert tenants.seen("a") == {}
    db.execute("create policy all_of_them on shop.products using (current_setting('shop.tenant', true) = 'a')")
    db.execute("update shop.products set hidden = 'b'")
    assert (set(tenants.seen("a")), tenants.seen("b")) == ({1, 2, 3}, {})
    assert value(db, "select policy from vsync_internal.versions") is None


def test_only_policies_for_reading_count(db: Connection, tenants: Tenants) -> None:
    form = "select policy from vsync_internal.versions"
    before = value(db, form)
    db.execute("create policy writes on shop.products for update using (hidden <> 'x')")
    assert value(db, form) == before
    db.execute("create policy reads on shop.products as restrictive for select using (products is not null)")
    assert len(value(db, form)["columns"]) == 4
    assert set(tenants.seen("a")) == {1, 2, 3}
    db.execute("alter table shop.products drop column hidden cascade")
    db.execute("alter table shop.products disable row level security")
    assert value(db, form) is None
    assert set(tenants.seen("a")) == {1, 2, 3}


def test_policies_that_come_while_a_change_is_pending_show_nothing_of_it(
    db: Connection, connect: Connect, role: str
) -> None:
    declare(db)
    db.execute("call vsync.work()")
    run(db, MOVE)
    secure(db)
    tenants = Tenants(connect, role)
    assert tenants.seen("b") == {}
    found = rows(db, "select left(detail, 1), substring(detail, 'hidden') from vsync.doctor() where name = 'documents'")
    assert found == [("3", "hidden")]
    db.execute("call vsync.work()")
    assert (set(tenants.seen("a")), tenants.seen("b")) == ({2, 3}, {1: "of b"})
    assert rows(db, "select level from vsync.doctor() where name = 'documents'") == [("ok",)]


def test_who_may_read_single_columns_is_not_refused(db: Connection, tenants: Tenants, role: str) -> None:
    run(db, f"revoke select on shop.products from {role}; grant select (id) on shop.products to {role}")
    assert set(tenants.seen("a")) == {1, 2, 3}
    run(db, MOVE)
    assert (set(tenants.seen("a")), tenants.seen("b")) == ({2, 3}, {})
    db.execute("alter table shop.products rename tenant to owner; alter table shop.products rename to goods")
    assert (set(tenants.seen("a")), tenants.seen("b")) == ({2, 3}, {})
    db.execute("call vsync.work()")
    assert tenants.seen("b") == {1: "of b"}


def test_a_released_document_shows_no_text_of_another_tenant(db: Connection, tenants: Tenants) -> None:
    db.execute("select vsync.release_table('shop.products')")
    assert set(tenants.seen("a")) == {1, 2, 3}
    run(db, MOVE)
    assert (set(tenants.seen("a")), tenants.seen("b")) == ({2, 3}, {})
    db.execute("select vsync.resume_table('shop.products')")
    assert tenants.seen("b") == {}
    db.execute("call vsync.work()")
    assert tenants.seen("b") == {1: "of b"}


def test_all_chunks_of_a_key_of_several_columns_come_and_go_together(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    open_shop(db, tiny_model, 1)
    db.execute(
        "create table shop.parts (shop int, number text, tenant text, body text, primary key (shop, number)) "
        "partition by list (shop); create table shop.parts_1 partition of shop.parts for values in (1)"
    )
    db.execute("insert into shop.parts select 1, 'n' || i, 'a', repeat('word ', 200) from generate_series(1, 3) as i")
    db.execute("alter table shop.parts enable row level security")
    db.execute("create policy own on shop.parts using (tenant = current_setting('shop.tenant', true))")
    chunk = '{"tokens": 64}'
    declare(db, "found", "select shop, number, body as content from shop.parts", chunk=chunk, capture="wal")
    db.execute("call vsync.work()")
    role = make_role("vsync_reader")
    run(db, f"grant usage on schema shop to {role}; grant select on shop.parts to {role}")
    tenants = Tenants(connect, role)
    seen = "select number, count(*) from vsync_data.found_v1 group by 1 order by 1"
    chunks = dict(rows(tenants["a"], seen))
    assert set(chunks) == {"n1", "n2", "n3"}
    assert min(chunks.values()) > 1
    db.execute("update shop.parts set tenant = 'b' where number = 'n1'")
    assert rows(tenants["b"], seen) == []
    db.execute("call vsync.work()")
    assert rows(tenants["b"], seen) == [("n1", chunks["n1"])]
    assert set(dict(rows(tenants["a"], seen))) == {"n2", "n3"}


def test_values_of_any_type_are_the_same_in_every_session(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    open_shop(db, tiny_model, 1)
    db.execute("create type shop.kind as enum ('x'); create type shop.pair as (i int, t text)")
    db.execute("create domain shop.day as date; create table shop.typed (id int primary key, t text)")
    for i, (kind, default) in enumerate(TYPES.items()):
        run(db, f"alter table shop.typed add c{i} {kind} default {default}")
    db.execute("insert into shop.typed values (1, 'text')")
    db.execute("alter table shop.typed enable row level security")
    db.execute("create policy all_of_it on shop.typed using (typed is not null)")
    declare(db, "found", "select id, t as content from shop.typed")
    db.execute("call vsync.work()")
    role = make_role("vsync_reader")
    run(db, f"grant usage on schema shop to {role}; grant select on shop.typed to {role}")
    session = connect(user=role)
    session.execute(
        "set timezone = 'Asia/Tokyo'; set datestyle = 'German, DMY'; set intervalstyle = 'iso_8601'; "
        "set extra_float_digits = -5; set bytea_output = 'escape'; set client_encoding = 'latin1'"
    )
    assert rows(session, "select id from vsync_data.found_v1") == [(1,)]
    db.execute("update shop.typed set c0 = c0 + interval '1 hour'")
    assert rows(session, "select id from vsync_data.found_v1") == []


@pytest.mark.parametrize("rounds", [30, pytest.param(500, marks=pytest.mark.chaos, id="500 rounds")])
def test_no_session_sees_a_text_that_was_never_its_tenants(
    db: Connection, connect: Connect, role: str, rounds: int
) -> None:
    secure(db)
    declare(db)
    tenants = Tenants(connect, role, "abc")
    chance = random.Random(20261201)
    was: dict[tuple[int, str], set[str]] = {}
    steps = 0

    def write(key: int) -> None:
        nonlocal steps
        steps += 1
        tenant, title = chance.choice("abc"), chance.choice((f"text {steps}", "common", "product 1"))
        if chance.random() < 0.3:
            (title,) = rows(db, "select title from shop.products where id = %s", key)[0]
        db.execute("update shop.products set tenant = %s, title = %s where id = %s", [tenant, title, key])
        was.setdefault((key, tenant), set()).add(title)

    db.execute("insert into shop.products select i, 'product ' || i, '', 'a' from generate_series(4, 8) as i")
    for key in range(1, 9):
        was[key, "a"] = {f"product {key}"}
    run(db, "select vsync.create_rule('keep', 'catalog', 'mod(new.id, 2) = 0', 'skip')")
    for _ in range(rounds):
        for _ in range(chance.randrange(4)):
            write(chance.randrange(1, 9))
        if chance.random() < 0.4:
            db.execute("call vsync.work()")
        if chance.random() < 0.1:
            db.execute("alter policy own on shop.products using (tenant || '' = current_setting('shop.tenant', true))")
        now = dict(rows(db, "select id, tenant from shop.products"))
        for tenant in "abc":
            for key, content in tenants.seen(tenant).items():
                assert now[key] == tenant
                assert content in was[key, tenant]
    db.execute("call vsync.work()")
    now = dict(rows(db, "select id, tenant from shop.products"))
    for tenant in "abc":
        assert set(tenants.seen(tenant)) == {key for key, owner in now.items() if owner == tenant}
