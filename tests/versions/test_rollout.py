"""A further version: built beside the one being served, switched to at once, rolled back without the model."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shop import Connection, denied, refused, register, rows, run, value
from versions.rollout import (
    NEAREST,
    PREPARED,
    VIEW,
    activate,
    add_version,
    assert_clean,
    assert_serves,
    state,
    totals,
    work,
)

_OTHER_DOCUMENT = "select id, upper(title) as content from shop.products where id <> 3"


@pytest.mark.parametrize(
    ("options", "vectors", "label"),
    [
        ({"model": "other"}, 20, "2.0"),
        ({"model": "wide"}, 20, "2.0"),
        ({"document": _OTHER_DOCUMENT}, 19, "1.1"),
        ({"chunk": '{"tokens": 8, "overlap": 2}'}, 40, "1.1"),
        ({"options": '{"index": {"type": "none", "distance": "l2"}}'}, 20, "1.1"),
    ],
)
def test_a_version_is_built_beside_the_one_served_and_every_edit_reaches_both(
    shop: Connection, options: dict[str, str], vectors: int, label: str
) -> None:
    assert add_version(shop, **options) == 2
    assert state(shop, 2) == "building"
    run(shop, "update shop.products set title = 'early' where id = 1; delete from shop.products where id = 2")
    work(shop)
    assert state(shop, 2) == "ready"
    run(shop, "update shop.products set title = 'late' where id = 1; insert into shop.products values (2, 'product 2')")
    work(shop)
    assert_clean(shop, 1, 2)
    assert value(shop, "select count(*) from vsync_data.catalog_v2") >= vectors
    assert rows(shop, "select version, label from vsync.versions order by 1") == [(1, "1.0"), (2, label)]
    assert_serves(shop, 1)
    activate(shop, 2)
    same_text = "document" not in options and "chunk" not in options
    assert_serves(shop, 2, 16 if options.get("model") == "wide" else 8, 9 if same_text else None)
    assert value(shop, "select content from shop.catalog where id = 1").lower() == "late"


def test_what_is_not_given_is_as_in_the_active_version(shop: Connection) -> None:
    add_version(shop, chunk='{"tokens": 8}', model="wide", options='{"index": {"m": 8}}')
    work(shop)
    activate(shop, 2)
    add_version(shop, document=_OTHER_DOCUMENT)
    add_version(shop, chunk="null", options='{"index": {"type": "ivfflat"}}')
    hnsw = {"type": "hnsw", "distance": "cosine", "m": 8}
    assert rows(shop, "select model, chunk, index from vsync.versions where version > 2 order by version") == [
        ("wide", {"tokens": 8}, hnsw),
        ("wide", None, {"type": "ivfflat", "distance": "cosine"}),
    ]
    labels = rows(shop, "select version, label from vsync.versions order by version")
    assert labels == [(1, "1.0"), (2, "2.0"), (3, "2.1"), (4, "2.2")]
    assert "upper" not in value(shop, "select document from vsync.versions where version = 4")
    add_version(shop, model="tiny")
    assert value(shop, "select label from vsync.versions where version = 5") == "1.1"


@pytest.mark.parametrize(
    ("options", "sqlstate"),
    [
        ({"model": "unknown"}, "VS101"),
        ({"document": "select id, titel as content from shop.products"}, "VS201"),
        ({"document": "select tenant, title as content from shop.products"}, "VS202"),
        ({"document": "select id, title as content from shop.others"}, "VS203"),
        ({"document": "select id as number, title as content from shop.products"}, "VS203"),
        ({"chunk": '{"tokens": 0}'}, "VS001"),
        ({"chunk": "[]"}, "VS001"),
        ({"options": '{"idx": {}}'}, "VS001"),
        ({"options": '{"index": {"lists": 10}}'}, "VS001"),
    ],
)
def test_a_version_that_cannot_be_is_refused_and_leaves_nothing(
    shop: Connection, options: dict[str, str], sqlstate: str
) -> None:
    run(shop, "create table shop.others (id int primary key, title text)")
    refused(lambda: add_version(shop, **options), sqlstate)
    assert rows(shop, "select version from vsync.versions") == [(1,)]
    assert rows(shop, "select relname from pg_class where relname like 'catalog_v2%%'") == []
    assert add_version(shop) == 2


def test_the_plan_of_the_view_never_executes_the_branch_that_is_not_served(shop: Connection) -> None:
    run(shop, "insert into shop.products select i, 'product ' || i from generate_series(100, 2000) as i")
    add_version(shop, model="other")
    work(shop)
    run(shop, "analyze vsync_data.catalog_v1; analyze vsync_data.catalog_v2")
    nearest = NEAREST.replace(", id limit", " limit")
    for served, idle in ((1, 2), (2, 1)):
        if served == 2:
            activate(shop, 2)
        for settings in ("set plan_cache_mode = auto", "set plan_cache_mode = force_generic_plan"):
            run(shop, settings)
            plan = [row[0] for row in rows(shop, f"explain (analyze, costs off, timing off, summary off) {nearest}")]
            scans = {name: line for line in plan for name in ("catalog_v1_ann", "catalog_v2_ann") if name in line}
            assert "never executed" in scans[f"catalog_v{idle}_ann"], plan
            assert "actual rows" in scans[f"catalog_v{served}_ann"], plan


def test_a_switch_is_seen_at_once_by_other_sessions_and_never_by_an_older_snapshot(
    shop: Connection, connect: Callable[..., Connection]
) -> None:
    add_version(shop, model="wide")
    work(shop)
    fresh, old = connect(), connect()
    for session in (fresh, old):
        run(session, PREPARED)
    run(old, "begin isolation level repeatable read")
    assert_serves(old, 1)
    activate(shop, 2)
    assert_serves(fresh, 2, 16)
    assert_serves(old, 1)
    shop.execute("select vsync.rollback_version('catalog')")
    assert_serves(fresh, 1)
    assert_serves(old, 1)
    run(old, "commit")
    activate(shop, 2)
    assert_serves(old, 2, 16)


def test_a_snapshot_taken_before_a_version_was_added_goes_on_with_its_own(
    shop: Connection, connect: Callable[..., Connection]
) -> None:
    old = connect()
    run(old, PREPARED)
    run(old, "begin isolation level repeatable read")
    assert rows(old, "select 1") == [(1,)]
    add_version(shop, model="wide")
    work(shop)
    activate(shop, 2)
    assert_serves(old, 1)


def test_a_version_is_not_added_while_a_long_transaction_reads_the_view_and_nobody_queues_behind_it(
    shop: Connection, connect: Callable[..., Connection]
) -> None:
    reader = connect()
    run(reader, PREPARED)
    run(reader, "begin")
    assert_serves(reader, 1)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        add_version(shop)
    assert rows(shop, "select version from vsync.versions") == [(1,)]
    run(reader, "commit")
    assert add_version(shop) == 2


def test_a_switch_that_is_rolled_back_never_happened(shop: Connection) -> None:
    add_version(shop, model="wide")
    work(shop)
    run(shop, "begin")
    activate(shop, 2)
    assert_serves(shop, 2, 16)
    run(shop, "rollback")
    assert_serves(shop, 1)
    assert rows(shop, "select version, action from vsync.activations") == [(1, "create")]


def test_a_switch_waits_for_no_reader_and_no_reader_for_it(
    shop: Connection, connect: Callable[..., Connection]
) -> None:
    add_version(shop, model="other")
    work(shop)
    reader = connect()
    run(reader, PREPARED)
    run(reader, "begin")
    assert_serves(reader, 1)
    run(shop, "set lock_timeout = '1s'; begin")
    activate(shop, 2)
    run(reader, "set lock_timeout = '1s'")
    assert_serves(reader, 1)
    run(shop, "commit")
    assert_serves(reader, 2)


def test_a_rollback_embeds_nothing_and_nothing_is_stale(shop: Connection) -> None:
    add_version(shop, model="other")
    work(shop)
    activate(shop, 2)
    run(shop, "update shop.products set title = 'edited ' || id where id > 9; delete from shop.products where id = 8")
    work(shop)
    before = totals(shop)
    assert value(shop, "select vsync.rollback_version('catalog')") == 1
    assert_serves(shop, 1)
    assert rows(shop, "select stale from vsync.search('catalog', 'edited 12', 100) where stale") == []
    assert value(shop, "select content from shop.catalog where id = 12") == "edited 12"
    work(shop)
    assert totals(shop) == before
    assert_clean(shop, 1, 2)
    history = "select version, previous, action, forced, by from vsync.activations order by at"
    user = value(shop, "select session_user::text")
    assert rows(shop, history) == [
        (1, None, "create", False, user),
        (2, 1, "activate", False, user),
        (1, 2, "rollback", False, user),
    ]
    report = refused(lambda: run(shop, "select vsync.rollback_version('catalog')"), "VS403")
    assert "rolled back to already" in (report.message_detail or "")


def test_a_model_registered_again_leaves_versions_alone(shop: Connection, tiny_model_16: Path) -> None:
    before = rows(shop, "select id, embedding::text from shop.catalog order by id")
    register(shop, tiny_model_16)
    run(shop, "update shop.products set hidden = 'x'")
    work(shop)
    assert_serves(shop, 1)
    assert rows(shop, "select id, embedding::text from shop.catalog order by id") == before
    assert rows(shop, "select model, model_revision, dimensions from vsync.versions") == [("tiny", 1, 8)]
    add_version(shop, model="tiny")
    work(shop)
    activate(shop, 2)
    assert_serves(shop, 2, 16)
    latest = "select version, label, model_revision, dimensions from vsync.versions order by 1"
    assert rows(shop, latest) == [(1, "1.0", 1, 8), (2, "2.0", 2, 16)]


def test_a_version_without_a_model_keeps_the_revision_of_the_active_one(
    shop: Connection, tiny_model_other: Path
) -> None:
    register(shop, tiny_model_other)
    add_version(shop, chunk='{"tokens": 8}')
    assert rows(shop, "select model_revision, label from vsync.versions order by version") == [(1, "1.0"), (1, "1.1")]


def test_vectors_of_another_model_cannot_be_written_by_hand_and_are_found_where_they_were(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    add_version(shop, model="other")
    work(shop)
    swap = (
        "update vsync_data.catalog_v2 as b set embedding = a.embedding "
        "from vsync_data.catalog_v1 as a where a.id = b.id"
    )
    admin = connect(user=make_role("vsync_admin"))
    run(shop, f"grant usage on schema shop to {admin.info.user}; grant all on shop.products to {admin.info.user}")
    denied(admin, swap)
    denied(admin, "insert into vsync_data.catalog_v2 select * from vsync_data.catalog_v1")
    run(shop, f"{swap} and b.id = 5")
    assert dict(rows(shop, "select version, mixed from vsync.audit('catalog')")) == {1: 1, 2: 1}
    run(shop, "select * from vsync.audit('catalog', true)")
    work(shop)
    assert_clean(shop, 1, 2)


def test_only_the_owner_adds_activates_rolls_back_and_drops(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    add_version(shop)
    work(shop)
    admin = connect(user=make_role("vsync_admin"))
    run(shop, f"grant usage on schema shop to {admin.info.user}; grant all on shop.products to {admin.info.user}")
    for call in (
        "add_version('catalog')",
        "activate_version('catalog', 2)",
        "rollback_version('catalog')",
        "drop_version('catalog', 2)",
        "pause_version('catalog', 2)",
        "resume_version('catalog', 2)",
        "end_rollback('catalog')",
    ):
        refused(lambda call=call: run(admin, f"select vsync.{call}"), "VS002")
    assert value(shop, "select count(*) from vsync.versions") == 2
    assert rows(shop, VIEW) == rows(admin, VIEW)


def test_version_at_knows_what_was_served_when(shop: Connection) -> None:
    add_version(shop)
    work(shop)
    activate(shop, 2)
    run(shop, "select vsync.rollback_version('catalog')")
    served = "select vsync.version_at('catalog', at) from vsync.activations order by at"
    assert [row[0] for row in rows(shop, served)] == [1, 2, 1]
    assert value(shop, "select vsync.version_at('catalog', now() - interval '1 day')") is None
    assert value(shop, "select vsync.version_at('catalog', 'infinity')") == 1
    refused(lambda: run(shop, "select vsync.version_at('catalogue', now())"), "VS302")


def test_an_owner_who_is_no_superuser_rolls_out_a_version(
    shop: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    owner = connect(user=make_role("vsync_admin"))
    role = owner.info.user
    run(shop, f"grant create, usage on schema shop to {role}; alter table shop.products owner to {role}")
    run(shop, "select vsync.drop_embedding('catalog')")
    run(owner, "select vsync.create_embedding('catalog', 'select id, title as content from shop.products', 'tiny')")
    run(owner, "select vsync.add_version('catalog', 'wide')")
    run(owner, PREPARED)
    work(owner)
    activate(owner, 2)
    assert_serves(owner, 2, 16)
    assert value(owner, "select vsync.rollback_version('catalog')") == 1
    assert value(owner, "select vsync.end_rollback('catalog')") is False
    assert value(owner, "select vsync.drop_version('catalog', 2)") == 2
    with pytest.raises(psycopg.errors.UndefinedTable):
        run(owner, "table vsync_data.catalog_v2")
    refused(lambda: run(shop, "select vsync.add_version('catalog')"), "VS002")
