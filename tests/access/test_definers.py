"""Functions with the rights of the installer: who may not call them is refused at once and is left no lock."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from fix_cluster import Connect, Connection, MakeRole
from shop import declare, open_shop, refused, rows, run, value

Signature = tuple[str, str, bool, list[str], list[str]]
_LOCKS = ("turns", "rules", "holds", "fold", "publication", "wal", "grants")
# by the name of a parameter; every other one is null
_ARGUMENTS: dict[str, Any] = {
    "embedding": "catalog",
    "version": 1,
    "version_id": 1,
    "relation": "shop.products",
    "hold": 1,
    "owner": "postgres",
    "enabled": True,
    "if_exists": True,
    "if_not_exists": True,
    "capture": "trigger",
    "condition": "true",
    "action": "exclude",
    "document": "select 1",
    "key": "1",
    "query": "q",
    "data": "catalog_v1",
    "ticket": "forged",
}
# of another's embedding they say what vsync's views say, or they ask for a stage or a ticket first
_TELLING = {
    "capture_facts",
    "check_new_embedding",
    "hold_owner",
    "notice_difference",
    "released_versions",
    "admit",
    "create_embedding",
}
_HELD = "select mode from pg_locks where pid = pg_backend_pid() and mode not in ('AccessShareLock', 'ExclusiveLock')"


@pytest.fixture
def catalog(db: Connection, tiny_model: Path) -> Connection:
    """The embedding catalog of the superuser, with rule cheap and hold 1."""
    open_shop(db, tiny_model)
    declare(db)
    db.execute("call vsync.work()")
    db.execute("select vsync.create_rule('cheap', 'catalog', 'new.id > 5', 'exclude')")
    db.execute("select vsync.pause_version('catalog', 1)")
    db.execute(
        "insert into vsync_internal.holds (embedding, version_id, rule_id, revision, documents, sample)"
        " select 'catalog', 1, id, 1, 1, '{1}' from vsync_internal.rules"
    )
    return db


def signatures(db: Connection, where: str) -> list[Signature]:
    """Schema, name, whether it is a procedure, names and types of the parameters."""
    return rows(
        db,
        "select pronamespace::regnamespace::text, proname, prokind = 'p', coalesce(proargnames[:pronargs], '{}'),"
        " array(select t::regtype::text from unnest(proargtypes) with ordinality as u (t, i) order by i)"
        " from pg_proc where pronamespace in ('vsync'::regnamespace, 'vsync_internal'::regnamespace)"
        f" and prorettype not in ('trigger'::regtype, 'event_trigger'::regtype) and {where} order by 2",
    )


def call(db: Connection, found: Signature, given: dict[str, Any]) -> None:
    schema, name, procedure, parameters, types = found
    passed = [given.get(parameter) for parameter in parameters]
    # a row type is looked up by its table, which others may have locked
    typed = ["%s" if kind.startswith("vsync_internal.") else f"%s::{kind}" for kind in types]
    run(db, f"{'call' if procedure else 'select'} {schema}.{name}({', '.join(typed)})", *passed)


def refused_with(db: Connection, found: Signature, given: dict[str, Any]) -> str | None:
    try:
        call(db, found, given)
    except psycopg.Error as error:
        return error.sqlstate
    return None


def lock_everything(holder: Connection, *, tables: bool) -> None:
    """Hold what vsync locks; tables: its own tables, too, in the strongest mode."""
    for kind in _LOCKS:
        holder.execute("select vsync_internal.lock_table(%s, 'share row exclusive')", [kind])
    holder.execute("lock table shop.products in access exclusive mode")
    for table in ("lock_rows", "embeddings", "versions", "progress", "rules", "holds", "serving", "dependencies"):
        run(holder, f"select from vsync_internal.{table} for update")
    schemas = "('vsync_data', 'vsync_internal')" if tables else "('vsync_data')"
    found = rows(
        holder,
        "select oid::regclass::text from pg_class where relkind in ('r', 'p')"
        f" and relnamespace::regnamespace::text in {schemas} order by oid",
    )
    for (table,) in found:
        run(holder, f"lock table {table} in access exclusive mode")


def test_a_role_without_grants_is_refused_by_every_function_before_it_waits(
    catalog: Connection, connect: Connect, make_role: MakeRole
) -> None:
    role = make_role()
    # so that the function itself is what refuses
    run(catalog, f"grant usage on schema vsync, vsync_internal to {role}")
    everything = signatures(catalog, "provariadic = 0")
    assert len(everything) > 300
    nobody = connect(user=role)
    nobody.execute("set lock_timeout = '1ms'")
    holder = connect(autocommit=False)
    lock_everything(holder, tables=True)
    for found in everything:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"for (function|procedure) "):
            call(nobody, found, {})


@pytest.mark.parametrize("member", ["vsync_reader", "vsync_operator", "vsync_admin"])
def test_functions_for_owners_refuse_others_before_they_wait_and_leave_them_no_lock(
    catalog: Connection, connect: Connect, make_role: MakeRole, member: str
) -> None:
    role = make_role(member)
    run(catalog, f"grant usage on schema shop to {role}")
    other = connect(user=role, autocommit=False)
    mine = f"prosecdef and has_function_privilege('{member}', oid, 'execute')"
    owners = signatures(
        catalog,
        f"{mine} and (proname in ('release_table', 'resume_version', 'released_versions')"
        " or not has_function_privilege('vsync_operator', oid, 'execute'))",
    )
    holder = connect(autocommit=False)
    lock_everything(holder, tables=False)
    for found in owners:
        other.execute("set local lock_timeout = '1ms'")
        given = _ARGUMENTS | {"name": "cheap" if "rule" in found[1] else "catalog"}
        if found[1] == "create_rule":
            given["name"] = "another"
        refusal = refused_with(other, found, given)
        if found[1] not in _TELLING:
            assert refusal == "VS002", found[1]
        elif refusal is None:
            assert rows(other, _HELD) == [], found[1]
        else:
            assert refusal in ("VS001", "VS002"), found[1]
        other.rollback()


def test_a_creation_that_finds_the_name_taken_keeps_no_lock_on_it(
    catalog: Connection, connect: Connect, make_role: MakeRole
) -> None:
    other = connect(user=make_role("vsync_admin"), autocommit=False)
    create = "select vsync.create_embedding('catalog', 'select 1', 'tiny', if_not_exists => true)"
    other.execute(create.encode())
    other.execute("select vsync.drop_embedding('another', if_exists => true)")
    with pytest.raises(psycopg.Error), other.transaction():
        other.execute("select vsync_internal.alter_rule('cheap', null, null, null, null, null, null, true)")
    catalog.execute("set lock_timeout = '1ms'")
    catalog.execute("select vsync.resume_version('catalog', 1)")
    catalog.execute("select vsync.disable_rule('cheap')")
    declare(catalog, "another")


def test_who_owns_a_partition_alone_does_not_release_what_reads_the_whole(
    db: Connection, connect: Connect, make_role: MakeRole, tiny_model: Path
) -> None:
    open_shop(db, tiny_model)
    db.execute("create table shop.parts (id int primary key, title text) partition by range (id)")
    db.execute("create table shop.low partition of shop.parts for values from (0) to (10)")
    declare(db, document="select id, title as content from shop.parts")
    role = make_role("vsync_reader")
    run(db, f"grant usage on schema shop to {role}; alter table shop.low owner to {role}")
    owner = connect(user=role)
    refused(lambda: owner.execute("select vsync.release_table('shop.low')"), "VS002")
    run(db, f"alter table shop.parts owner to {role}")
    assert value(owner, "select vsync.release_table('shop.low')") == 1
