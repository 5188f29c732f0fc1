"""What a role of vsync, or the owner of an embedding, tries in order to run code as somebody else."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shop import DOCUMENT, Connection, declare, denied, open_shop, refused, rows, run, value
from spies import forget, plant_spy, spied

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]


@pytest.fixture
def owner(make_role: MakeRole) -> str:
    return make_role("vsync_admin")


@pytest.fixture
def shop(db: Connection, connect: Connect, owner: str, tiny_model: Path) -> Connection:
    """A session of the owner; shop.spy(text) tells which role ran it."""
    open_shop(db, tiny_model, owner=owner)
    mallory = connect(user=owner)
    plant_spy(mallory, owner, "vsync_sandbox", "postgres")
    # what vsync creates is safe even from who may replace it: no role but the installer is given this
    run(db, f"grant create on schema vsync_data to {owner}")
    return mallory


@pytest.mark.parametrize("rights", ["invoker", "definer"])
def test_a_replaced_render_function_runs_as_its_owner_or_not_at_all(
    shop: Connection, db: Connection, owner: str, rights: str
) -> None:
    declare(shop)
    db.execute("call vsync.work()")
    run(
        shop,
        "create or replace function vsync_data.catalog_v1_render(keys text[], ticket text) "
        f"returns table (key text, content text, further jsonb) language plpgsql volatile security {rights} as $$ "
        "begin perform shop.spy('render'); return query select k, 'forged', null::jsonb from unnest($1) as k; end $$",
    )
    shop.execute("update shop.products set title = 'x'")
    db.execute("call vsync.work()")
    assert spied(db) == {"invoker": set(), "definer": {owner}}[rights]
    failures = {"invoker": {("VS002",)}, "definer": set[tuple[str]]()}
    assert set(rows(db, "select sqlstate from vsync.failures")) == failures[rights]


def test_planning_over_the_root_never_runs_its_owners_code_as_the_worker(
    shop: Connection, db: Connection, owner: str
) -> None:
    shop.execute(
        "create function shop.evil(int) returns boolean immutable language plpgsql as $$ begin "
        "perform shop.spy('planner'); return true; end $$"
    )
    declare(shop)
    shop.execute("create index on shop.products (id) where shop.evil(1)")
    forget(shop, owner, "vsync_sandbox", "postgres")
    db.execute("select vsync.refresh('catalog')")
    db.execute("call vsync.work()")
    assert "postgres" not in spied(db)


def test_what_a_document_defers_to_the_commit_never_runs(shop: Connection, db: Connection) -> None:
    shop.execute("create table shop.later (x int)")
    shop.execute(
        "create function shop.deferred() returns trigger language plpgsql as $$ begin perform "
        "shop.spy('deferred'); return null; end $$"
    )
    shop.execute(
        "create constraint trigger later after insert on shop.later deferrable initially deferred "
        "for each row execute function shop.deferred()"
    )
    shop.execute(
        "create function shop.plant(text) returns text immutable language plpgsql as $$ begin perform "
        "shop.plant_inner(); return $1; end $$"
    )
    shop.execute(
        "create function shop.plant_inner() returns void volatile language plpgsql as $$ begin insert "
        "into shop.later values (1); end $$"
    )
    declare(shop, document="select id, shop.plant(title) as content from shop.products")
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.later") == 0
    assert spied(db) == set()


def test_a_search_path_left_behind_by_a_document_leads_the_worker_nowhere(
    shop: Connection, db: Connection, owner: str
) -> None:
    for name, arguments, answer in (
        ("hashtext", "text", "int language sql as $$ select (shop.spy('hashtext'))::int $$"),
        (
            "make_interval",
            "secs double precision",
            "interval language sql as $$ select interval '1s' where shop.spy('i') $$",
        ),
        ("set_config", "text, text, boolean", "text language sql as $$ select $2 where shop.spy('set_config') $$"),
    ):
        run(shop, f"create function shop.{name}({arguments}) returns {answer}")
    shop.execute(
        "create function shop.poison(text) returns text immutable language plpgsql as $$ begin "
        "perform shop.poison_inner(); return $1; end $$"
    )
    shop.execute(
        "create function shop.poison_inner() returns void language sql as $$ "
        "select pg_catalog.set_config('search_path', 'shop, pg_catalog', false) $$"
    )
    declare(shop, document="select id, shop.poison(title) as content from shop.products")
    before = value(db, "show search_path")
    db.execute("call vsync.work()")
    assert value(db, "select pg_catalog.current_setting('search_path')") == before
    assert spied(db) <= {owner}
    assert value(db, "select count(*) from shop.catalog") == 3


def test_casts_of_the_owners_key_type_are_never_called(shop: Connection, db: Connection, owner: str) -> None:
    shop.execute("create type shop.mood as enum ('glad', 'sad')")
    shop.execute("create table shop.moods (id shop.mood primary key, title text)")
    for target in ("text", "json", "jsonb"):
        shop.execute(
            f"create function shop.cast_{target}(shop.mood) returns {target} language plpgsql as "
            f"$$ begin perform shop.spy('{target}'); return '\"x\"'; end $$"
        )
        if target != "jsonb":
            shop.execute(
                f"create cast (shop.mood as {target}) with function shop.cast_{target}(shop.mood) as assignment"
            )
    shop.execute("insert into shop.moods values ('glad', 'a'), ('sad', 'b')")
    declare(shop, "moody", "select id, title || repeat('', 1 / length(title)) as content from shop.moods")
    db.execute("call vsync.work()")
    shop.execute("update shop.moods set title = title || 'x'; delete from shop.moods where id = 'sad'")
    db.execute("call vsync.work()")
    assert rows(db, "select key from vsync.search('moody', 'a')") == [({"id": "glad"},)]
    db.execute("select vsync.refresh('moody', '\"glad\"')")
    db.execute("select * from vsync.explain_row('moody', '\"glad\"')")
    shop.execute("revoke all on shop.moods from public")
    shop.execute("update shop.moods set title = ''")
    db.execute("call vsync.work()")
    assert value(db, "select key from vsync.failures") == {"id": "glad"}
    assert spied(db) == set()


@pytest.mark.parametrize("kind", ["composite", "composite of a domain", "array of a domain"])
def test_key_types_that_run_their_owners_code_when_read_are_refused(shop: Connection, kind: str) -> None:
    shop.execute("create domain shop.d as text check (shop.spy(value))")
    shop.execute("create type shop.plain as (a int); create type shop.c as (a shop.d)")
    kind = {"composite": "shop.plain", "composite of a domain": "shop.c", "array of a domain": "shop.d[]"}[kind]
    run(shop, f"create table shop.odd (id {kind} primary key, title text)")
    refused(lambda: declare(shop, "odd_search", "select id, title as content from shop.odd"), "VS203")


_CREATE = "select vsync_internal.create_embedding(%s, %s, 1, 'trigger', null, '{}', '{}', %s)"


def staged(session: Connection, name: str, query: str) -> str:
    """Create a document's view where vsync has a caller create it; return the schema."""
    stage = value(session, "select vsync_internal.open_stage(current_user)")
    run(session, f"create view {stage}.{name}_v1_document as {query}")
    return stage


def test_only_what_the_caller_staged_is_taken(shop: Connection, db: Connection) -> None:
    query = "select id, title as content from shop.products"
    stage = staged(shop, "forged", query)
    for place in ("shop", "public", "vsync_data", None):
        refused(lambda place=place: shop.execute(_CREATE, ("forged", DOCUMENT, place)), "VS001")
    refused(lambda: shop.execute(_CREATE, ("absent", DOCUMENT, stage)), "VS002")
    shop.execute(_CREATE, ("forged", DOCUMENT, stage))
    assert value(db, "select root::text from vsync.embeddings where name = 'forged'") == "shop.products"


def test_somebody_elses_root_is_not_captured_through_the_internal_function(shop: Connection, db: Connection) -> None:
    db.execute("create table public.open (id int primary key, body text); grant select on public.open to public")
    stage = staged(shop, "spying", "select id, body as content from public.open")
    refused(lambda: shop.execute(_CREATE, ("spying", "x", stage)), "VS002")


def test_somebody_elses_document_view_is_not_taken_over(shop: Connection, db: Connection) -> None:
    stage = staged(db, "theirs", "select id, title as content from shop.products")
    refused(lambda: shop.execute(_CREATE, ("theirs", DOCUMENT, stage)), "VS002")
    stage = value(shop, "select vsync_internal.open_stage(current_user)")
    run(db, f"create view {stage}.theirs_v1_document as select id, title as content from shop.products")
    refused(lambda: shop.execute(_CREATE, ("theirs", DOCUMENT, stage)), "VS002")


def test_bad_options_are_refused_by_the_internal_function_too(shop: Connection) -> None:
    stage = staged(shop, "bad", "select id, title as content from shop.products")
    call = "select vsync_internal.create_embedding('bad', 'x', 1, 'trigger', %s, %s, '{}', %s)"
    refused(lambda: shop.execute(call, ("[]", "{}", stage)), "VS001")
    refused(lambda: shop.execute(call, (None, '{"m": "4); drop table shop.products; --"}', stage)), "VS001")


WORKERS_OWN = (
    "publish(1, '[]', 1)",
    "render(1, '{1}')",
    "claim(1, 10)",
    "fail(1, '{1}', '{}')",
    "release(1)",
    "refresh('catalog', null)",
    "retry('catalog', null)",
    "fold()",
    "rotate()",
    "backfill(1)",
    "back_off(1, '{}', '1 day')",
    "adopt()",
    "resume(true)",
    "build_index(1)",
    "stat_embeddings()",
    "stat_queue()",
    "explain_row('catalog', '1')",
    "explain_impact('pg_class', '1')",
    "audit('catalog', true)",
    "audit_page(1, null, 10, true)",
    "model_spec(1)",
    "duties()",
    "reserve(1, '{}')",
)
NOBODYS = (
    "erase(null, 1, '{1}')",
    "mark(1, '{1}', 1, now())",
    "settle(1, 1, '{1}')",
    "stat_vectors('catalog_v1; drop table x')",
    "sync_capture('pg_class')",
    "install_triggers(1, 'pg_class')",
    "replace_view('catalog')",
    "create_version('catalog', 2, 1, 'x', null, '{}', 'building', '{}', 'postgres')",
    "take_down(1, 'x')",
    "put_up(1)",
    "take_from_stage('vsync_stage_1_1', 'catalog_v1')",
    "give('{}', 'vsync_admin')",
    "rekey('catalog', '[]')",
    "embed_texts(1, 'query', '{x}')",
    "call_keys('catalog_v1', null, 1, '')",
    "call_missing('catalog_v1', '{1}', '')",
    "call_count('catalog_v1', '')",
    "call_hashes('catalog_v1', null, null, '')",
    "call_tuples('catalog_v1', 'select null', '1', '')",
    "audit_compare(null, null, null, true)",
    "audit_repair(null, '{1}', '{t}', '{t}')",
    "impact_keys(null, '{0}', '1')",
    "stored_keys(null, null, 1)",
    "call_render('catalog_v1', '{1}', '')",
    "call_delta('catalog_v1', 1, '{1}', null, 1, '')",
    "ticket('catalog_v1')",
    "let_readers_run('vsync_admin')",
    "let_readers_end('vsync_admin')",
)


def test_a_reader_cannot_call_what_is_the_workers(db: Connection, connect: Connect, make_role: MakeRole) -> None:
    reader = connect(user=make_role("vsync_reader"))
    for call in (*WORKERS_OWN, *NOBODYS):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(f"select vsync_internal.{call}")


def test_an_admin_cannot_call_what_only_internals_call(connect: Connect, make_role: MakeRole) -> None:
    admin = connect(user=make_role("vsync_admin"))
    for call in NOBODYS:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute(f"select vsync_internal.{call}")


def test_granted_functions_that_build_sql_run_it_with_the_callers_rights(
    shop: Connection, connect: Connect, make_role: MakeRole
) -> None:
    reader = connect(user=make_role("vsync_reader"))
    keys = (
        '[{"output": "id", "column": "id", "type": "text", "builtin": true}, {"output": "x", "type": '
        '"shop.products", "builtin": true}]'
    )
    hostile = keys.replace('"text"', '"text as id from (select shop.spy(1::text)) as y --"')
    with pytest.raises(psycopg.Error):
        reader.execute('select vsync_internal.key_of(%s, \'{"id": 1, "x": 2}\')', (hostile,))
    definers = {
        name
        for (name,) in rows(
            shop,
            "select proname from pg_proc where prosecdef and pronamespace = 'vsync_internal'::regnamespace "
            "and has_function_privilege('vsync_reader', oid, 'execute')",
        )
    }
    assert definers == {
        "setting",
        "embed_clean",
        "current_model",
        "serving_model",
        "serving_version",
        "challenger",
        "check_served",
        "check_release",
        "release_table",
        "released_versions",
        "resume_version",
        "report_outcome",
        "index_term",
        "stale_keys",
        "find_embedding",
        "find_rule",
        "excluded_keys",
        "configuration",
        "graph",
        "version_at",
    }


def test_a_function_of_the_document_cannot_stop_the_worker_by_an_sqlstate_of_its_own(
    shop: Connection, db: Connection
) -> None:
    shop.execute(
        "create function shop.sulk(text) returns text immutable language plpgsql as $$ begin "
        "if $1 = 'product 2' then raise exception 'no' using errcode = 'ZZ123', detail = 'd', hint = "
        "'h'; end if; return $1; end $$"
    )
    declare(shop, document="select id, shop.sulk(title) as content from shop.products")
    db.execute("call vsync.work()")
    assert rows(db, "select key, sqlstate, message, detail from vsync.failures") == [({"id": 2}, "ZZ123", "no", "d")]
    assert value(db, "select count(*) from shop.catalog") == 2


def test_objects_planted_in_the_temporary_schema_are_not_found(shop: Connection, db: Connection) -> None:
    declare(shop)
    db.execute("call vsync.work()")
    shop.execute("create temp table products (id int, title text); create temp table pg_class (oid oid, relowner oid)")
    shop.execute("update shop.products set title = 'x' where id = 1")
    shop.execute("call vsync.work()")
    assert value(shop, "select count(*) from vsync.search('catalog', 'x')") == 3


def test_what_is_called_like_a_dropped_vector_table_is_not_read_with_the_installers_rights(
    shop: Connection, db: Connection, connect: Connect, owner: str
) -> None:
    declare(shop)
    shop.execute("select vsync.add_version('catalog')")
    shop.execute("call vsync.work()")
    old = connect(user=owner)
    old.execute("begin isolation level repeatable read")
    old.execute("select 1")
    shop.execute("select vsync.drop_version('catalog', 2)")
    trap = "select 0 as chunk, false as truncated from (select shop.spy('view') as n) as t where n"
    run(shop, f"create view shop.catalog_v2 as {trap}")
    run(db, f"revoke create on schema vsync_data from {owner}")
    for statement in (
        f"create view vsync_data.catalog_v2 as {trap}",
        f"create materialized view vsync_data.catalog_v2 as {trap} with no data",
        "create table vsync_data.catalog_v2 (chunk int, truncated boolean)",
        "create table vsync_data.catalog_v2 as select 0 as chunk",
        "select 0 as chunk into vsync_data.catalog_v2",
        "alter view shop.catalog_v2 set schema vsync_data",
        "alter table shop.catalog_v2 set schema vsync_data",
    ):
        denied(shop, statement)
    assert rows(old, "select version, documents from vsync.stat_embeddings") == [(1, 3), (2, None)]
    old.execute("commit")
    assert spied(db) == set()
