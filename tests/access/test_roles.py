"""What docs/reference/roles.md says each role can do is what each role can do."""

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, denied, open_shop, refused, rows, run, value

_DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "roles.md"
_ROW = re.compile(r"^\| (function|procedure|view) `vsync\.(\w+)` \| (yes|no) \| (yes|no) \| (yes|no) \| yes \|$", re.M)
_ROLES = ("vsync_reader", "vsync_operator", "vsync_admin")
_REFUSE_THEMSELVES = {"register_model", "configure", "index_statements"}


def documented() -> dict[tuple[str, str], tuple[bool, ...]]:
    table = _ROW.findall(_DOCUMENTED.read_text(encoding="utf-8"))
    return {(kind, name): tuple(answer == "yes" for answer in answers) for kind, name, *answers in table}


def test_the_table_lists_every_public_object_and_no_other(db: Connection) -> None:
    routines = "select case prokind when 'p' then 'procedure' else 'function' end, proname from pg_proc"
    public = set(rows(db, f"{routines} where pronamespace = 'vsync'::regnamespace"))
    public |= set(rows(db, "select 'view', relname from pg_class where relnamespace = 'vsync'::regnamespace"))
    assert set(documented()) == public


@pytest.mark.parametrize("place", range(3), ids=_ROLES)
def test_a_role_holds_the_privileges_of_its_column(db: Connection, place: int) -> None:
    role = _ROLES[place]
    routines = "select distinct proname::text, has_function_privilege(%s, oid, 'execute') from pg_proc"
    callable_ = dict(rows(db, f"{routines} where pronamespace = 'vsync'::regnamespace", role))
    views = "select relname::text, has_table_privilege(%s, oid, 'select') from pg_class"
    readable = dict(rows(db, f"{views} where relnamespace = 'vsync'::regnamespace", role))
    for (kind, name), answers in documented().items():
        if name not in _REFUSE_THEMSELVES:
            assert (readable if kind == "view" else callable_)[name] == answers[place], name


def test_nobody_but_the_owner_may_write_any_table_or_view(db: Connection) -> None:
    for role in (*_ROLES, "vsync_sandbox"):
        query = (
            "select oid::regclass::text from pg_class where relkind in ('r', 'p', 'v') and relnamespace in "
            "('vsync'::regnamespace, 'vsync_internal'::regnamespace, 'vsync_data'::regnamespace) "
            "and has_table_privilege(%s, oid, 'insert, update, delete, truncate, trigger, references')"
        )
        assert rows(db, query, role) == []


def test_a_role_without_grants_can_call_nothing_and_read_nothing(
    db: Connection, connect: Callable[..., Connection], make_role: Callable[..., str], tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    declare(db)
    db.execute("call vsync.work()")
    role = make_role()
    schemas = "('vsync'::regnamespace, 'vsync_internal'::regnamespace, 'vsync_data'::regnamespace)"
    executable = f"select oid::regprocedure::text from pg_proc where pronamespace in {schemas}"
    assert rows(db, f"{executable} and has_function_privilege(%s, oid, 'execute')", role) == []
    stranger = connect(user=role)
    for relation in rows(
        db, f"select oid::regclass::text from pg_class where relkind in ('r', 'p', 'v') and relnamespace in {schemas}"
    ):
        denied(stranger, f"select * from {relation[0]}")
    denied(stranger, "select * from shop.catalog")
    denied(stranger, "select vsync.embed('tiny', 'text')")
    denied(stranger, "call vsync.work()")
    denied(stranger, "create table vsync_data.mine (id int)")


def test_models_and_settings_are_refused_to_an_admin(
    connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    admin = connect(user=make_role("vsync_admin"))
    refused(lambda: admin.execute("select vsync.configure('threads', '1')"), "VS002")
    refused(lambda: admin.execute("select vsync.register_model('m', 'file:///etc')"), "VS002")
    for inner in ("configure('threads', '1')", "inspect_model('file:///etc', '{}')"):
        with pytest.raises(psycopg.Error):
            admin.execute(f"select vsync_internal.{inner}")


def test_an_operator_who_is_no_superuser_drains_the_queue(
    db: Connection, connect: Callable[..., Connection], make_role: Callable[..., str], tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    declare(db, chunk='{"tokens": 20}')
    operator = connect(user=make_role("vsync_operator"))
    operator.execute("call vsync.work()")
    assert value(operator, "select documents from vsync.stat_embeddings") == 3
    db.execute("update shop.products set title = 'poor' where id = 1; delete from shop.products where id = 2")
    operator.execute("call vsync.work(interval '10 milliseconds')")
    operator.execute("call vsync.work(embedding => 'catalog')")
    assert rows(db, "select id, content from shop.catalog order by id") == [(1, "poor"), (3, "product 3")]
    assert value(operator, "select vsync.refresh('catalog')") == 2
    assert value(operator, "select count(*) from vsync.doctor() where level = 'error'") == 0
    denied(operator, "select * from shop.products")


def test_a_reader_searches_what_it_may_read(
    db: Connection, connect: Callable[..., Connection], make_role: Callable[..., str], tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    declare(db)
    db.execute("call vsync.work()")
    role = make_role("vsync_reader")
    reader = connect(user=role)
    for query in (
        "select * from vsync.search('catalog', 'product 1')",
        "table shop.catalog",
        "table vsync_data.catalog_v1",
    ):
        denied(reader, query)
    run(db, f"grant usage on schema shop to {role}; grant select on shop.products to {role}")
    assert len(rows(reader, "select * from vsync.search('catalog', 'product 1')")) == 3
    assert value(reader, "select count(*) from shop.catalog") == 3
    assert value(reader, "select count(*) from vsync.explain_embedding('catalog')") == 1


def test_grants_on_view_and_root_are_enough_for_the_view(
    db: Connection, connect: Callable[..., Connection], make_role: Callable[..., str], tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    declare(db)
    db.execute("call vsync.work()")
    role = make_role()
    run(db, f"grant usage on schema shop to {role}; grant select on shop.catalog to {role}")
    web = connect(user=role)
    denied(web, "table shop.catalog")
    run(db, f"grant select on shop.products to {role}")
    assert value(web, "select count(*) from shop.catalog") == 3
