"""Creating, altering, disabling and dropping rules: who may, what is refused, and what is kept of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shop import Connection, declare, open_shop, refused, rows, run, value

MakeRole = Callable[..., str]
Connect = Callable[..., Connection]

_DOCUMENT = """select p.id, p.title || coalesce(' in ' || c.name, '') as content, p.price, p.tenant
    from shop.products as p left join shop.categories as c on c.id = p.category_id"""


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model)
    db.execute("create table shop.categories (id int primary key, name text)")
    db.execute("alter table shop.products add price numeric(10, 2), add category_id int")
    declare(db, document=_DOCUMENT)
    return db


def create(db: Connection, name: str, condition: str, action: str = "skip", params: str = "{}", **more: Any) -> None:
    named = "".join(f", {option} => %s" for option in more)
    call = f"select vsync.create_rule(%s, 'catalog', %s, %s, %s{named})"
    run(db, call, name, condition, action, params, *more.values())


def rule(db: Connection, name: str, columns: str) -> tuple[Any, ...]:
    return rows(db, f"select {columns} from vsync.rules where name = %s", name)[0]


def test_what_a_rule_reads_decides_its_stage(shop: Connection) -> None:
    for name, condition, stage in (
        ("price", "abs(new.price - old.price) < 1", "change"),
        ("op", "change.op = 'update' and change.documents > 10", "change"),
        ("typo", "vsync.text_change(last.content, doc.content) < 0.02", "document"),
        ("price_sum", "abs(doc.price - last.price) < 1 and new.title <> ''", "document"),
        ("night", "localtime > '22:00'", "document"),
    ):
        create(shop, name, condition)
        assert rule(shop, name, "stage, in_force, revision, relation, broken") == (stage, True, 1, None, None)
    create(shop, "big", "change.documents > 2", "hold", '{"relation": "shop.categories"}')
    assert rule(shop, "big", "stage, relation::text") == ("change", "shop.categories")


@pytest.mark.parametrize(
    ("condition", "action", "params", "sqlstate"),
    [
        ("new.prise > 1", "skip", "{}", "VS602"),
        ("old.price > 1 and doc.price > 1", "skip", "{}", "VS602"),
        ("new.price > 1", "dance", "{}", "VS001"),
        ("new.price > 1", "skip", '{"relation": "shop.nothing"}', "VS602"),
        ("new.price > 1", "skip", '{"relation": "no name at all"}', "VS602"),
        ("new.price > 1", "defer", '{"for": "yesterday"}', "VS001"),
        ("new.price > 1", "defer", '{"for": "-1 hour"}', "VS001"),
        ("new.price > 1", "defer", '{"for": "1000000000 years"}', "VS001"),
        ("new.price > 1", "skip", "[]", "VS001"),
        ("new.price", "skip", "{}", "VS601"),
        ("new.price > 'a lot'", "skip", "{}", "VS601"),
        ("nothing_like_it(new.price)", "skip", "{}", "VS601"),
        ("random() < 0.5", "skip", "{}", "VS601"),
        ("pg_sleep(0) is null", "skip", "{}", "VS601"),
        ("clock_timestamp() > doc.price::text::timestamptz", "skip", "{}", "VS601"),
        ("generate_series(1, 2) = 1", "skip", "{}", "VS601"),
        ("sum(new.price) > 1", "skip", "{}", "VS601"),
        ("new.price > 1", "prioritize", '{"expression": "new.title"}', "VS601"),
        ("new.price > 1", "prioritize", '{"expression": "random()"}', "VS601"),
        ("exists (select from shop.categories where name = doc.tenant)", "skip", "{}", "VS601"),
        ("1 = (select count(*) from shop.nothing)", "skip", '{"subqueries": true}', "VS601"),
        ("", "skip", "{}", "VS601"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_and_leaves_nothing(
    shop: Connection, condition: str, action: str, params: str, sqlstate: str
) -> None:
    refused(lambda: create(shop, "bad", condition, action, params), sqlstate)
    assert rows(shop, "select * from vsync.rules") == rows(shop, "select * from vsync.rule_history") == []
    assert value(shop, "select count(*) from pg_class where relname like '%probe%'") == 0


def test_subqueries_where_they_are_asked_for(shop: Connection) -> None:
    counted = "(select count(*) from shop.categories as c where c.name = doc.tenant) > 0"
    create(shop, "counted", counted, params='{"subqueries": true}')
    assert rule(shop, "counted", "stage") == ("document",)
    volatile = "exists (select from shop.categories where random() < 0.5)"
    refused(lambda: create(shop, "luck", volatile, params='{"subqueries": true}'), "VS601")


def test_every_revision_is_kept(shop: Connection) -> None:
    create(shop, "r", "new.price > 1", priority=3)
    assert value(shop, "select vsync.alter_rule('r', condition => 'new.price > 2', valid_until => '2999-01-01')") == 2
    assert value(shop, "select vsync.disable_rule('r')") == 3
    assert value(shop, "select vsync.disable_rule('r')") == 3
    assert value(shop, "select vsync.enable_rule('r')") == 4
    assert value(shop, "select vsync.alter_rule('r', valid_until => 'infinity', priority => 0)") == 5
    assert rule(shop, "r", "condition, priority, valid_until, enabled") == ("new.price > 2", 0, None, True)
    assert value(shop, "select vsync.drop_rule('r')") == "r"
    history = "select revision, change, condition, priority, enabled, valid_until is null from vsync.rule_history"
    assert rows(shop, f"{history} where name = 'r' order by revision") == [
        (1, "create", "new.price > 1", 3, True, True),
        (2, "alter", "new.price > 2", 3, True, False),
        (3, "disable", "new.price > 2", 3, False, False),
        (4, "enable", "new.price > 2", 3, True, False),
        (5, "alter", "new.price > 2", 0, True, True),
        (6, "drop", "new.price > 2", 0, True, True),
    ]
    create(shop, "r", "new.price > 9")
    assert value(shop, f"select count(*) from ({history} where name = 'r') as h") == 7


def test_an_alteration_that_is_refused_changes_nothing(shop: Connection) -> None:
    create(shop, "r", "new.price > 1", "defer", '{"for": "1 hour"}')
    before = rows(shop, "select * from vsync_internal.rules")
    refused(lambda: run(shop, "select vsync.alter_rule('r', action => 'skip')"), "VS001")
    refused(lambda: run(shop, "select vsync.alter_rule('r', condition => 'new.nothing')"), "VS602")
    late = "select vsync.alter_rule('r', valid_from => '2030-01-01', valid_until => '2029-01-01')"
    refused(lambda: run(shop, late), "VS001")
    assert rows(shop, "select * from vsync_internal.rules") == before
    assert value(shop, "select count(*) from vsync.rule_history") == 1


def test_names(shop: Connection) -> None:
    create(shop, "r", "true")
    refused(lambda: create(shop, "r", "false"), "VS301")
    refused(lambda: create(shop, "", "false"), "VS001")
    refused(lambda: run(shop, "select vsync.create_rule('x', 'catalog', null, 'skip')"), "VS001")
    refused(lambda: run(shop, "select vsync.create_rule('x', 'katalog', 'true', 'skip')"), "VS302")
    for call in ("drop_rule('q')", "enable_rule('q')", "disable_rule('q')", "alter_rule('q', priority => 1)"):
        refused(lambda call=call: run(shop, f"select vsync.{call}"), "VS603")
    assert value(shop, "select vsync.drop_rule('q', if_exists => true)") is None


def test_validity(shop: Connection) -> None:
    create(shop, "past", "true", valid_until="2001-01-01")
    create(shop, "future", "true", valid_from="2999-01-01")
    create(shop, "always", "true", valid_from="-infinity", valid_until="infinity")
    assert rows(shop, "select name from vsync.rules where in_force") == [("always",)]
    assert rule(shop, "always", "valid_from, valid_until") == (None, None)
    assert rows(shop, "select name from vsync_internal.rules_asked(1)") == [("always",)]
    backwards = {"valid_from": "2030-01-01", "valid_until": "2029-01-01"}
    refused(lambda: create(shop, "never", "true", **backwards), "VS001")


def test_two_sessions_create_one_name(shop: Connection, connect: Connect) -> None:
    other = connect(autocommit=False)
    create(other, "r", "true")
    shop.execute("set lock_timeout = '200ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        create(shop, "r", "false")
    other.commit()
    refused(lambda: create(shop, "r", "false"), "VS301")


def test_dropping_the_embedding_drops_its_rules(shop: Connection) -> None:
    create(shop, "r", "true")
    create(shop, "hide", "doc.price > 3", "exclude")
    shop.execute("select vsync.drop_embedding('catalog')")
    for table in ("rules", "rule_revisions", "rule_stats", "decided", "holds"):
        assert value(shop, f"select count(*) from vsync_internal.{table}") == 0
    assert value(shop, "select count(*) from pg_proc where pronamespace = 'vsync_data'::regnamespace") == 0
    declare(shop, document=_DOCUMENT)
    create(shop, "r", "true")


def test_a_new_version_must_fit_every_rule(shop: Connection) -> None:
    create(shop, "r", "doc.price > 3")
    add = "select vsync.add_version('catalog', document => 'select id, title as content from shop.products')"
    report = refused(lambda: run(shop, add), "VS402")
    assert "disable_rule('r')" in (report.message_hint or "")
    assert value(shop, "select count(*) from vsync.versions") == 1
    shop.execute("select vsync.disable_rule('r')")
    assert value(shop, add) == 2
    refused(lambda: run(shop, "select vsync.enable_rule('r')"), "VS601")


def test_the_session_keeps_its_settings(shop: Connection) -> None:
    shop.execute("set timezone = 'Asia/Tokyo'; set datestyle = 'German'")
    with shop.transaction():
        create(shop, "r", "localtime < '09:00'")
        assert value(shop, "show timezone") == "Asia/Tokyo"
        assert value(shop, "show transaction_read_only") == "off"


def test_only_the_owner_of_the_embedding_changes_its_rules(
    shop: Connection, connect: Connect, make_role: MakeRole, db: Connection
) -> None:
    create(shop, "r", "true")
    stranger = connect(user=make_role("vsync_admin"))
    for call in (
        "create_rule('s', 'catalog', 'true', 'skip')",
        "alter_rule('r', priority => 3)",
        "drop_rule('r')",
        "enable_rule('r')",
        "disable_rule('r')",
    ):
        refused(lambda call=call: run(stranger, f"select vsync.{call}"), "VS002")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(connect(user=make_role("vsync_operator")), f"select vsync.{call}")
    internal = "select vsync_internal.drop_rule('r')"
    refused(lambda: run(stranger, internal), "VS002")
    assert rule(db, "r", "revision") == (1,)


def test_a_member_of_the_owner_changes_rules_and_a_superuser_under_another_role_does_not(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    owner = make_role("vsync_admin")
    open_shop(db, tiny_model, owner=owner)
    declare(connect(user=owner))
    member = connect(user=make_role(owner))
    create(member, "r", "length(doc.content) > 3")
    member.execute("select vsync.drop_rule('r')")
    other = make_role("vsync_admin")
    run(db, f"set role {other}")
    refused(lambda: create(db, "r", "true"), "VS002")
    db.execute("reset role")
    create(db, "r", "true")


def test_what_the_owner_may_not_read_no_rule_reads(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    owner = make_role("vsync_admin")
    open_shop(db, tiny_model, owner=owner)
    db.execute(
        "create table public.secrets (word text); create function public.tell() returns text stable "
        "language sql as $$ select 'x' $$; revoke all on function public.tell() from public"
    )
    declare(connect(user=owner))
    for session in (connect(user=owner), db):
        for condition in ("exists (select from public.secrets)", "public.tell() = doc.content"):
            report = refused(lambda s=session, c=condition: create(s, "spy", c, params='{"subqueries": true}'), "VS601")
            assert "permission denied" in (report.message_detail or "")


@pytest.mark.parametrize("name", ["it's", 'a "quoted" name', "$$ %I %s", "ключ"])
def test_rules_of_an_embedding_with_an_odd_name(db: Connection, tiny_model: Path, name: str) -> None:
    open_shop(db, tiny_model)
    declare(db, name, "select id, title as content, hidden from shop.products")
    run(db, "select vsync.create_rule('hide', %s, 'doc.hidden = ''x''', 'exclude')", name)
    run(db, "select vsync.create_rule('small', %s, 'vsync.text_change(last.content, doc.content) < 0.9', 'skip')", name)
    run(db, "select vsync.create_rule('wait', %s, 'new.tenant <> old.tenant', 'hold')", name)
    run(db, "call vsync.work()")
    run(db, "update shop.products set hidden = 'x' where id = 1")
    run(db, "update shop.products set title = title || '!' where id = 2")
    run(db, "update shop.products set tenant = 'b', title = 'another text' where id = 3")
    run(db, "call vsync.work()")
    found = rows(db, "select key ->> 'id', content from vsync.search(%s, 'product', 5) order by 1", name)
    assert found == [("2", "product 2"), ("3", "product 3")]
    assert rows(db, "select held from vsync.audit(%s)", name) == [(2,)]
    run(db, "select vsync.drop_embedding(%s)", name)
    assert rows(db, "select name from vsync.rules") == []


def test_a_rule_of_a_copied_database_gets_a_number_of_its_own(shop: Connection) -> None:
    """Logical replication brings rows and leaves the sequences behind; no worker has been there yet."""
    create(shop, "first", "true")
    run(shop, "alter sequence vsync_internal.rules_id_seq restart")
    run(shop, "update vsync_internal.identity set system_identifier = 1")
    create(shop, "second", "true")
    assert rows(shop, "select name from vsync.rules order by name") == [("first",), ("second",)]
