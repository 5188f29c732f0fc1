"""pg_dump and restore bring models, embeddings and vectors back, and nothing is embedded again."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, open_shop, refused, rows, run, value
from vsync_admin.cluster import Cluster
from vsync_admin.extension import install_into

pytestmark = pytest.mark.battery
FORMATS = ("plain", "custom")


@pytest.fixture
def restore(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Connection]]:
    """Dump a database in a format and restore it into a new one of the same cluster; a session in that."""
    sessions: list[Connection] = []

    def run(db: Connection, form: str) -> Connection:
        bindir, copy = cluster.server.bindir, f"{db.info.dbname}_{form}"
        _sql(cluster, f'create database "{copy}"')
        dump = [bindir / "pg_dump", f"--format={form}", "-d", cluster.dsn(db.info.dbname)]
        if form == "plain":
            text = subprocess.run(dump, check=True, capture_output=True).stdout
            load = [bindir / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", cluster.dsn(copy)]
        else:
            file = tmp_path / "dump"
            subprocess.run([*dump, "-f", file], check=True)
            text, load = b"", [bindir / "pg_restore", "--exit-on-error", "-j", "2", "-d", cluster.dsn(copy), file]
        done = subprocess.run(load, input=text, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stderr.decode() == ""
        sessions.append(psycopg.connect(cluster.dsn(copy), autocommit=True))
        return sessions[-1]

    yield run
    for session in sessions:
        name = session.info.dbname
        session.close()
        _sql(cluster, f'drop database "{name}" with (force)')


def _sql(cluster: Cluster, statement: str) -> None:
    with psycopg.connect(cluster.dsn(), autocommit=True) as session:
        run(session, statement)


def _shop(db: Connection, model: Path) -> None:
    open_shop(db, model, 50)
    declare(db, chunk='{"tokens": 100}')
    declare(db, "by hand", capture="manual")
    db.execute("create table shop.parted (id int primary key, title text) partition by range (id)")
    db.execute("create table shop.part partition of shop.parted for values from (0) to (100)")
    db.execute("insert into shop.parted values (1, 'one')")
    declare(db, "parted_search", "select id, title as content from shop.parted")
    db.execute("select vsync.configure('batch_tokens', '256')")
    db.execute("call vsync.work()")


def _checked(db: Connection, copy: Connection) -> None:
    """The copy has what the original had, works off what was pending, embeds nothing twice, and captures on."""
    for table in ("vsync.models", "vsync.embeddings", "vsync.versions", "vsync.settings"):
        assert rows(copy, f"select * from {table} as t order by t::text") == rows(
            db, f"select * from {table} as t order by t::text"
        )
    vectors = "select id, content, embedding::text, version, embedded_at from shop.catalog order by 1"
    assert rows(copy, vectors) == rows(db, vectors)
    assert value(copy, "select content from shop.catalog where id = 7") == "product 7"
    before = dict(rows(copy, "select embedding, embedded_total from vsync.stat_embeddings"))
    copy.execute("call vsync.work()")
    after = dict(rows(copy, "select embedding, embedded_total from vsync.stat_embeddings"))
    assert {name: after[name] - before[name] for name in after} == {"catalog": 2, "by hand": 2, "parted_search": 0}
    expected = [(i, "pending" if i == 7 else f"product {i}") for i in range(1, 51) if i != 8] + [(100, "new")]
    assert rows(copy, "select id, content from shop.catalog order by id") == expected
    copy.execute("update shop.products set title = 'captured' where id = 9; update shop.part set title = 'captured'")
    copy.execute("call vsync.work()")
    assert rows(copy, "select key, stale from vsync.search('catalog', 'captured', 1)") == [({"id": 9}, False)]
    assert rows(copy, "select content from shop.parted_search") == [("captured",)]
    assert rows(copy, "select name, detail from vsync.doctor() where level in ('error', 'warning')") == []
    copy.execute("select vsync.drop_embedding('by hand')")
    declare(copy, "another")
    copy.execute("call vsync.work()")
    assert value(copy, "select count(*) from shop.another") == 50


def _pending(db: Connection) -> None:
    db.execute("update shop.products set title = 'pending' where id = 7; delete from shop.products where id = 8")
    db.execute("insert into shop.products values (100, 'new', '', 'a')")


@pytest.mark.parametrize("form", FORMATS)
def test_a_restored_database_goes_on_where_it_was_and_embeds_nothing_twice(
    db: Connection, tiny_model: Path, restore: Callable[..., Connection], form: str
) -> None:
    _shop(db, tiny_model)
    _pending(db)
    _checked(db, restore(db, form))


@pytest.mark.parametrize("form", FORMATS)
def test_a_restored_installation_without_an_extension_does_too(
    empty_dsn: str, tiny_model: Path, restore: Callable[..., Connection], form: str
) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as db:
        assert install_into(db) == []
        _shop(db, tiny_model)
        _pending(db)
        _checked(db, restore(db, form))


def test_a_restored_embedding_of_a_role_without_rights_goes_on(
    db: Connection, tiny_model: Path, restore: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    owner = make_role("vsync_admin")
    open_shop(db, tiny_model, owner=owner)
    run(db, f"set role {owner}")
    declare(db)
    run(db, f"reset role; revoke vsync_admin from {owner}")
    copy = restore(db, "custom")
    copy.execute("update shop.products set title = 'restored'")
    copy.execute("call vsync.work()")
    assert rows(copy, "select distinct content from vsync_data.catalog_v1") == [("restored",)]
    made_with = "select value from vsync_internal.secret"
    assert rows(copy, made_with) != rows(db, made_with)


@pytest.mark.parametrize("form", FORMATS)
def test_marks_and_claims_at_dump_time_are_found_again_by_comparing(
    db: Connection, tiny_model: Path, restore: Callable[..., Connection], form: str
) -> None:
    _shop(db, tiny_model)
    _pending(db)
    db.execute("select vsync_internal.fold()")
    assert value(db, "select count(*) from vsync_internal.claim(1, 1)") == 1
    _checked(db, restore(db, form))


def test_drop_extension_leaves_user_tables_that_can_be_written_and_no_object(db: Connection, tiny_model: Path) -> None:
    _shop(db, tiny_model)
    db.execute("drop extension vsync cascade")
    _pending(db)
    db.execute("alter table shop.products add column more text; drop table shop.part; create table shop.other (id int)")
    db.execute("truncate shop.products")
    left = "select nspname from pg_namespace where nspname like 'vsync%' union all select evtname from pg_event_trigger"
    assert rows(db, left) == []
    assert rows(db, "select tgname from pg_trigger where not tgisinternal") == []
    assert (
        rows(db, "select oid::regclass from pg_class where relnamespace = 'shop'::regnamespace and relkind = 'v'") == []
    )


def test_the_extension_can_be_created_again_and_used(db: Connection, tiny_model: Path) -> None:
    _shop(db, tiny_model)
    for _ in range(2):
        db.execute("drop extension vsync cascade")
        db.execute("create extension vsync cascade")
    with pytest.raises(psycopg.errors.UndefinedTable):
        db.execute("table shop.catalog")
    db.execute("select vsync.register_model('tiny', %s)", (f"file://{tiny_model}",))
    declare(db)
    db.execute("call vsync.work()")
    db.execute("update shop.products set title = 'again' where id = 1")
    db.execute("call vsync.work()")
    assert value(db, "select content from shop.catalog where id = 1") == "again"


def test_a_session_that_worked_before_works_with_the_extension_created_again(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model)
    declare(db)
    db.execute("call vsync.work()")
    db.execute("drop extension vsync cascade; ")
    db.execute("create extension vsync")
    db.execute("select vsync.register_model('tiny', %s)", (f"file://{tiny_model}",))
    declare(db)
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.catalog") == 3


def test_installing_twice_is_refused_and_leaves_the_first_one_working(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model)
    declare(db)
    with pytest.raises(psycopg.Error):
        install_into(db)
    db.execute("call vsync.work()")
    assert value(db, "select count(*) from shop.catalog") == 3
    refused(lambda: declare(db), "VS301")
