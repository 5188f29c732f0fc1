"""The audit finds exactly the damage done behind vsync's back, and with repair a worker puts exactly that right."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from races.steps import blocked, in_background, wait_until
from shop import DOCUMENT, Connection, declare, open_shop, refused, register, rows, run, value

PRODUCTS = 40
CLEAN = (PRODUCTS, 0, 0, 0, 0, 0)
LONG = (
    "update shop.products set title = "
    "(select string_agg('word ' || id || ' ' || i, '. ') from generate_series(1, 30) as i)"
)
CHUNKED = '{"tokens": 40}'
VECTORS = "vsync_data.catalog_v1"
COUNTS = ("checked", "missing", "extra", "stale", "mixed", "held")
VSYNC = [sys.executable, "-c", "from vsync_admin.cli import app; app()"]


def untriggered(event: str, statement: str) -> str:
    trigger = f"trigger vsync_{event}"
    return f"alter table shop.products disable {trigger}; {statement};alter table shop.products enable always {trigger}"


# what is done, (missing, extra, stale, mixed) it makes, texts the repair embeds
TAMPERED: dict[str, tuple[str, tuple[int, int, int, int], int]] = {
    "delete vectors": (f"delete from {VECTORS} where id in (3, 5, 40)", (3, 0, 0, 0), 3),
    "truncate the version's table": (f"truncate {VECTORS}", (PRODUCTS, 0, 0, 0), PRODUCTS),
    "edit a document hash": (f"update {VECTORS} set document_hash = sha256('x') where id = 7", (0, 0, 1, 0), 0),
    "edit a content": (f"update {VECTORS} set content = 'x' where id in (7, 8)", (0, 0, 2, 0), 0),
    "edit a content hash": (f"update {VECTORS} set content_hash = sha256('x') where id = 7", (0, 0, 1, 0), 1),
    "give a vector away to another text": (
        f"update {VECTORS} set content = 'y', content_hash = sha256('y') where id = 7",
        (0, 0, 1, 0),
        1,
    ),
    "renumber a chunk": (f"update {VECTORS} set chunk = 1 where id = 7", (0, 0, 1, 0), 0),
    "store a row that is no document": (
        f"create table t as select * from {VECTORS} where id = 1; update t set id = -1; insert into {VECTORS} table t",
        (0, 1, 0, 0),
        0,
    ),
    "move a row to another key": (f"update {VECTORS} set id = -id where id < 4", (3, 3, 0, 0), 0),
    "insert without triggers": (
        untriggered("insert", "insert into shop.products values (100, 'new'), (101, ''), (102, null)"),
        (1, 0, 0, 0),
        1,
    ),
    "update without triggers": (
        untriggered(
            "update",
            "update shop.products set title = case when id < 9 then 'changed ' || id else '' end "
            "where id in (1, 2, 3, 4, 9)",
        ),
        (0, 1, 4, 0),
        4,
    ),
    "delete without triggers": (
        untriggered("delete", "delete from shop.products where id < 6"),
        (0, 5, 0, 0),
        0,
    ),
}

TAMPERED_CHUNKS: dict[str, tuple[str, tuple[int, int, int, int], int]] = {
    "delete the first chunk": (f"delete from {VECTORS} where id = 3 and chunk = 0", (0, 0, 1, 0), 1),
    "delete one chunk": (f"delete from {VECTORS} where id = 3 and chunk = 2", (0, 0, 1, 0), 1),
    "delete the last chunk": (f"delete from {VECTORS} where id = 3 and chunk = chunks - 1", (0, 0, 1, 0), 1),
    "edit a chunk's content": (f"update {VECTORS} set content = 'x' where id = 3 and chunk = 2", (0, 0, 1, 0), 1),
    "edit a chunk's document hash": (
        f"update {VECTORS} set document_hash = sha256('x') where id = 3 and chunk = 2",
        (0, 0, 0, 1),
        0,
    ),
    "edit the first chunk's document hash": (
        f"update {VECTORS} set document_hash = sha256('x') where id = 3 and chunk = 0",
        (0, 0, 0, 1),
        0,
    ),
    "edit all document hashes, each otherwise": (
        f"update {VECTORS} set document_hash = sha256(chunk::text::bytea) where id = 3",
        (0, 0, 0, 1),
        0,
    ),
    "edit all document hashes alike": (
        f"update {VECTORS} set document_hash = sha256('x') where id = 3",
        (0, 0, 1, 0),
        0,
    ),
}


@pytest.fixture
def shop(db: Connection, tiny_model: Path) -> Connection:
    open_shop(db, tiny_model, PRODUCTS)
    declare(db)
    db.execute("call vsync.work()")
    return db


def audited(db: Connection, repair: bool = False, embedding: str = "catalog") -> tuple[int, ...]:
    """Return checked, missing, extra, stale, mixed, held of an embedding's only version."""
    ((version, *counts),) = rows(db, "select * from vsync.audit(%s, %s)", embedding, repair)
    assert version == 1
    return tuple(counts)


def paged(db: Connection, repair: bool = False, size: int = 7) -> tuple[int, ...]:
    """Return the same, summed over pages of at most some keys."""
    after, sums = None, [0] * 6
    for _ in range(10_000):
        query = (
            "select next_key, checked, missing, extra, stale, mixed, held from vsync_internal.audit_page(1, %s, %s, %s)"
        )
        ((after, *counts),) = rows(db, query, after, size, repair)
        sums = [total + count for total, count in zip(sums, counts, strict=True)]
        if after is None:
            return tuple(sums)
    raise AssertionError("the pages never end")


def embedded(db: Connection) -> int:
    return value(db, "select embedded_total from vsync.stat_embeddings where embedding = 'catalog'")


def contents(db: Connection) -> list[tuple[object, ...]]:
    return rows(db, f"select id, chunk, chunks, content, embedding::text from {VECTORS} order by id, chunk")


def found_and_repaired(db: Connection, found: tuple[int, ...], texts: int) -> None:
    """Both ways of reading find the damage; repair marks it; then all is as it must be, for so many texts embedded."""
    counts = audited(db)
    assert counts[1:] == (*found, 0)
    assert paged(db) == counts
    assert value(db, "select count(*) from vsync_internal.log") == 0
    before = embedded(db)
    assert paged(db, repair=True) == counts
    db.execute("call vsync.work()")
    assert audited(db)[1:] == CLEAN[1:]
    assert embedded(db) - before == texts


@pytest.mark.parametrize("damage", TAMPERED)
def test_damage_is_found_exactly_and_repaired_with_nothing_to_spare(shop: Connection, damage: str) -> None:
    assert audited(shop) == CLEAN
    statements, found, texts = TAMPERED[damage]
    good = contents(shop)
    shop.execute("truncate vsync_internal.log")
    run(shop, statements)
    # triggers that are enabled again have every document compared: here the audit alone has to see it
    shop.execute("truncate vsync_internal.log")
    found_and_repaired(shop, found, texts)
    if "shop.products" not in statements:
        assert contents(shop) == good


@pytest.mark.parametrize("damage", TAMPERED_CHUNKS)
def test_damage_to_chunks_is_found_exactly_and_repaired_with_nothing_to_spare(
    db: Connection, tiny_model: Path, damage: str
) -> None:
    open_shop(db, tiny_model, 5)
    db.execute(LONG.encode())
    declare(db, chunk=CHUNKED)
    db.execute("call vsync.work()")
    assert value(db, f"select min(chunks) from {VECTORS}") > 3
    assert audited(db) == (5, 0, 0, 0, 0, 0)
    statements, found, texts = TAMPERED_CHUNKS[damage]
    good = contents(db)
    db.execute("truncate vsync_internal.log")
    run(db, statements)
    found_and_repaired(db, found, texts)
    assert contents(db) == good


def test_one_call_finds_and_repairs_all_kinds_together(shop: Connection) -> None:
    run(shop, f"delete from {VECTORS} where id = 1; update {VECTORS} set content = 'x' where id = 2")
    run(shop, "alter table shop.products disable trigger vsync_delete; delete from shop.products where id = 3")
    assert audited(shop, repair=True) == (PRODUCTS, 1, 1, 1, 0, 0)
    assert value(shop, "select sum(cardinality(keys)) from vsync_internal.log where op = 'R'") == 3
    shop.execute("call vsync.work()")
    assert audited(shop) == (PRODUCTS - 1, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("name", ["catalog", "other"])
def test_a_vector_of_another_model_is_mixed(shop: Connection, tiny_model_other: Path, name: str) -> None:
    register(shop, tiny_model_other, "other")
    shop.execute(f"select vsync.create_embedding('other', '{DOCUMENT}', 'other')".encode())
    shop.execute("call vsync.work()")
    both = {"catalog": VECTORS, "other": "vsync_data.other_v1"}
    mine, others = both.pop(name), both.popitem()[1]
    assert audited(shop, embedding=name) == CLEAN
    run(shop, f"update {mine} as v set embedding = o.embedding from {others} as o where o.id = v.id and v.id < 4")
    assert audited(shop, embedding=name) == (PRODUCTS, 0, 0, 0, 3, 0)
    good = rows(shop, f"select embedding::text from {others} order by id")
    audited(shop, repair=True, embedding=name)
    shop.execute("call vsync.work()")
    assert audited(shop, embedding=name) == CLEAN
    assert rows(shop, f"select embedding::text from {others} order by id") == good
    assert (
        value(shop, f"select count(*) from {mine} as v join {others} as o using (id) where v.embedding = o.embedding")
        == 0
    )


def test_the_same_network_under_another_name_is_no_other_model(shop: Connection, tiny_model: Path) -> None:
    register(shop, tiny_model, "twin")
    shop.execute(f"select vsync.create_embedding('other', '{DOCUMENT}', 'twin')".encode())
    shop.execute("call vsync.work()")
    assert audited(shop) == CLEAN


def test_each_version_that_follows_changes_is_compared_with_its_own_model(
    shop: Connection, tiny_model_other: Path
) -> None:
    register(shop, tiny_model_other, "other")
    assert value(shop, "select vsync.add_version('catalog', 'other')") == 2
    found = "select version, checked, missing, extra, stale, mixed, held from vsync.audit('catalog', %s)"
    assert rows(shop, found, False) == [(1, *CLEAN), (2, PRODUCTS, PRODUCTS, 0, 0, 0, 0)]
    shop.execute("call vsync.work()")
    assert rows(shop, found, False) == [(1, *CLEAN), (2, *CLEAN)]
    second = "vsync_data.catalog_v2"
    run(shop, f"update {second} as v set embedding = o.embedding from {VECTORS} as o where o.id = v.id and v.id < 4")
    run(shop, f"delete from {VECTORS} where id = 40")
    # which of two models one vector is from cannot be told
    assert rows(shop, found, True) == [(1, PRODUCTS, 1, 0, 0, 3, 0), (2, PRODUCTS, 0, 0, 0, 3, 0)]
    shop.execute("call vsync.work()")
    assert rows(shop, found, False) == [(1, *CLEAN), (2, *CLEAN)]
    shop.execute("update vsync_internal.versions set following = false")
    # what is served is compared all the same
    assert rows(shop, found, False) == [(1, *CLEAN)]


def test_a_document_over_joins_is_compared_with_all_that_it_reads(db: Connection, tiny_model: Path) -> None:
    open_shop(db, tiny_model, PRODUCTS)
    db.execute("create table shop.tenants (name text primary key, title text)")
    db.execute("insert into shop.tenants values ('a', 'first'), ('b', 'second')")
    db.execute("update shop.products set tenant = 'b' where id > 30")
    declare(db, document="select p.id, p.title || t.title as content from shop.products p join shop.tenants t "
            "on t.name = p.tenant")  # fmt: skip
    db.execute("call vsync.work()")
    assert audited(db) == paged(db) == CLEAN
    run(db, "alter table shop.tenants disable trigger all; update shop.tenants set title = 'third' where name = 'b'")
    assert audited(db) == (PRODUCTS, 0, 0, 10, 0, 0)
    run(db, "delete from shop.tenants where name = 'a'")
    assert audited(db) == paged(db, repair=True) == (PRODUCTS, 0, 30, 10, 0, 0)
    db.execute("call vsync.work()")
    assert audited(db) == (10, 0, 0, 0, 0, 0)


def test_what_waits_for_a_worker_differs_and_repair_does_no_harm(shop: Connection) -> None:
    shop.execute("update shop.products set title = 'changed' where id = 1; delete from shop.products where id = 2")
    shop.execute("insert into shop.products values (100, 'new')")
    assert audited(shop, repair=True) == (PRODUCTS + 1, 1, 1, 1, 0, 0)
    before = embedded(shop)
    shop.execute("call vsync.work()")
    assert audited(shop) == CLEAN
    assert embedded(shop) - before == 2


def test_a_document_that_cannot_be_rendered_differs_and_the_others_are_compared(
    db: Connection, tiny_model: Path
) -> None:
    open_shop(db, tiny_model, PRODUCTS)
    declare(
        db, document="select id, title || 10 / (id - 20) as content from shop.products where id <> 20 or hidden = 'x'"
    )
    db.execute("call vsync.work()")
    assert audited(db) == (PRODUCTS - 1, 0, 0, 0, 0, 0)
    db.execute("update shop.products set hidden = 'x' where id = 20")
    db.execute("call vsync.work()")
    run(db, f"delete from {VECTORS} where id in (7, 33)")
    assert audited(db) == paged(db) == (PRODUCTS, 3, 0, 0, 0, 0)
    audited(db, repair=True)
    db.execute("call vsync.work()")
    assert audited(db) == (PRODUCTS, 1, 0, 0, 0, 0)


def test_keys_of_several_columns_and_of_text_are_paged_in_their_own_order(db: Connection, tiny_model: Path) -> None:
    register(db, tiny_model)
    db.execute('create table places (name text collate "en-x-icu", day date, body text, primary key (name, day))')
    names = "unnest(%s::text[]) as n, generate_series(1, 5) as i"
    fill = f"insert into places select n, date '2024-01-01' + i, n || i from {names}"
    run(db, fill, ["b", "A", "a", "B", "Ä", "é", "z", "_", '"quoted"'])
    declare(db, document="select name, day, body as content from places")
    db.execute("call vsync.work()")
    db.execute("set datestyle = 'SQL, DMY'")
    assert audited(db) == paged(db) == (45, 0, 0, 0, 0, 0)
    run(db, f"delete from {VECTORS} where name in ('A', 'Ä'); alter table places disable trigger vsync_delete")
    run(db, "delete from places where name = 'b' or name = 'z'")
    assert audited(db) == paged(db, size=3) == paged(db, size=1, repair=True) == (45, 10, 10, 0, 0, 0)
    db.execute("call vsync.work()")
    assert audited(db) == (35, 0, 0, 0, 0, 0)


def test_one_call_reads_one_snapshot(
    shop: Connection, connect: Callable[..., Connection], tiny_model_other: Path
) -> None:
    """Writes that commit while the first of two versions is read show in neither."""
    head = "create or replace function shop.title_of(id int, title text) returns text immutable language"
    run(shop, f"{head} sql as 'select title'")
    declare(shop, "slow", "select id, shop.title_of(id, title) as content from shop.products")
    register(shop, tiny_model_other, "other")
    shop.execute("select vsync.add_version('slow', 'other')")
    run(shop, f"{head} plpgsql as 'begin perform pg_advisory_xact_lock_shared(77); return title; end'")
    shop.execute("call vsync.work()")
    other = connect()
    other.execute("select pg_advisory_lock(77)")
    reader = connect()
    result = in_background(lambda: rows(reader, "select * from vsync.audit('slow')"))
    wait_until(lambda: blocked(shop, reader), "the audit")
    run(shop, "delete from vsync_data.slow_v2 where id < 5; update shop.products set title = 'changed' where id > 30")
    other.execute("select pg_advisory_unlock(77)")
    assert result.result(60) == [(1, *CLEAN), (2, *CLEAN)]
    now = [(1, PRODUCTS, 0, 0, 10, 0, 0), (2, PRODUCTS, 4, 0, 10, 0, 0)]
    assert rows(shop, "select * from vsync.audit('slow')") == now


def test_code_put_off_to_the_commit_never_runs(
    db: Connection, connect: Callable[..., Connection], make_role: Callable[..., str], tiny_model: Path
) -> None:
    owner = make_role("vsync_admin")
    open_shop(db, tiny_model, owner=owner)
    mallory = connect(user=owner)
    declare(mallory)
    db.execute("call vsync.work()")
    mallory.execute("create table shop.trap (id int)")
    body = "$$ begin raise exception 'sprung as %', current_user; end $$"
    run(mallory, f"create function shop.spring() returns trigger language plpgsql as {body}")
    trap = "constraint trigger spring after insert on shop.trap deferrable initially deferred"
    run(mallory, f"create {trap} for each row execute function shop.spring()")
    head = (
        "vsync_data.catalog_v1_hashes(after_key text, max_keys int, ticket text) returns table (key text, hash bytea)"
    )
    body = "$$ begin insert into shop.trap values (1); return; end $$"
    run(db, f"grant create on schema vsync_data to {owner}")  # which vsync gives to nobody
    run(mallory, f"create or replace function {head} language plpgsql security definer as {body}")
    for call in ("vsync.audit('catalog')", "vsync_internal.audit_page(1, null, 10, false)"):
        run(db, f"select * from {call}")
    assert value(db, "select count(*) from shop.trap") == 0


def test_unknown_and_broken_embeddings_and_versions_are_refused(shop: Connection) -> None:
    refused(lambda: audited(shop, embedding="catalogue"), "VS302")
    refused(lambda: shop.execute("select vsync_internal.audit_page(77, null, 10, false)"), "VS401")
    shop.execute("alter table shop.products drop column title cascade")
    refused(lambda: audited(shop), "VS303")


def test_an_operator_audits_and_repairs_and_needs_no_right_on_the_table(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    operator = connect(user=make_role("vsync_operator"))
    run(shop, f"delete from {VECTORS} where id = 3")
    assert audited(operator, repair=True) == (PRODUCTS, 1, 0, 0, 0, 0)
    operator.execute("call vsync.work()")
    assert audited(operator) == CLEAN


def test_the_command_goes_by_pages_and_exits_with_4_until_it_may_repair(shop: Connection, dsn: str) -> None:
    assert audit_command(dsn, "catalog") == (0, [{"version": 1, **dict(zip(COUNTS, CLEAN, strict=True))}])
    run(shop, f"delete from {VECTORS} where id < 4")
    counts = {**dict(zip(COUNTS, CLEAN, strict=True)), "missing": 3}
    assert audit_command(dsn, "catalog") == (4, [{"version": 1, **counts}])
    assert audit_command(dsn, "catalog", "--repair") == (0, [{"version": 1, **counts}])
    shop.execute("call vsync.work()")
    assert audit_command(dsn, "catalog")[0] == 0
    assert audit_command(dsn, "catalogue")[0] == 1


def audit_command(dsn: str, *arguments: str) -> tuple[int, list[dict[str, int]]]:
    done = subprocess.run(
        [*VSYNC, "audit", *arguments, "-d", dsn, "--json"], capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else []
