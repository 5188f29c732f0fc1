"""Two models of one dimension, mistaken for each other: at every entry impossible or refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, denied, open_shop, refused, register, rows, run, value
from versions.rollout import activate, add_version, assert_clean, work

_VECTORS = "select id, embedding::text from vsync_data.catalog_v{} order by id"
_COPY = "insert into vsync_data.catalog_v2 select * from vsync_data.catalog_v1 on conflict do nothing"
_SWAP = (
    "update vsync_data.catalog_v2 as b set embedding = a.embedding from vsync_data.catalog_v1 as a where a.id = b.id"
)


@pytest.fixture
def models(make_model: Callable[..., Path]) -> tuple[Path, Path]:
    """Two models of 384 dimensions."""
    return make_model(dimensions=384, seed=1), make_model(dimensions=384, seed=2)


@pytest.fixture
def catalog(db: Connection, models: tuple[Path, Path]) -> Connection:
    """Embedding catalog by the first one, registered as tiny; the second is registered as other."""
    open_shop(db, models[0], 20)
    register(db, models[1], "other")
    declare(db)
    work(db)
    return db


def vectors_of(db: Connection, model: str) -> list[tuple[int, str]]:
    """Return what a model makes of the documents."""
    return rows(db, "select id, vsync.embed(%s, title)::text from shop.products order by id", model)


def test_a_version_added_with_the_wrong_model_has_a_space_of_its_own(catalog: Connection) -> None:
    add_version(catalog, model="other")
    run(catalog, "update shop.products set title = 'edited' where id = 3")
    work(catalog)
    assert rows(catalog, _VECTORS.format(1)) == vectors_of(catalog, "tiny")
    assert rows(catalog, _VECTORS.format(2)) == vectors_of(catalog, "other")
    assert value(catalog, "select label from vsync.versions where version = 2") == "2.0"
    for version in (1, 2):
        if version == 2:
            activate(catalog, 2)
        nearest = "select key ->> 'id', distance from vsync.search('catalog', 'product 9', 1)"
        assert rows(catalog, nearest) == [("9", pytest.approx(0, abs=1e-5))]


def test_nothing_is_copied_from_a_version_of_another_model(catalog: Connection) -> None:
    add_version(catalog, model="other")
    work(catalog)
    assert value(catalog, "select reused_total from vsync.stat_embeddings where version = 2") == 0


def test_another_model_registered_under_the_name_leaves_versions_with_theirs(
    catalog: Connection, models: tuple[Path, Path]
) -> None:
    before = rows(catalog, _VECTORS.format(1))
    register(catalog, models[1])
    run(catalog, "update shop.products set title = title || ' ' where id = 3")
    run(
        catalog,
        "update shop.products set title = rtrim(title) where id = 3; insert into shop.products values (21, 'x')",
    )
    run(catalog, "select vsync.refresh('catalog')")
    work(catalog)
    after = dict(rows(catalog, _VECTORS.format(1)))
    assert [(key, after[key]) for key, _ in before] == before
    assert after[21] != value(catalog, "select vsync.embed('tiny', 'x')::text")
    assert_clean(catalog, 1)
    nearest = "select key ->> 'id', distance from vsync.search('catalog', 'product 9', 1)"
    assert rows(catalog, nearest) == [("9", pytest.approx(0, abs=1e-5))]


def test_files_that_were_exchanged_on_disk_are_refused(
    catalog: Connection, models: tuple[Path, Path], connect: Callable[..., Connection]
) -> None:
    shutil.copy(models[1] / "model.onnx", models[0] / "model.onnx")
    another = connect()  # no model is loaded yet
    refused(lambda: run(another, "select vsync.query_vector('catalog', 'product 9')"), "VS103")
    refused(lambda: run(another, "select * from vsync.search('catalog', 'product 9')"), "VS103")
    before = rows(catalog, _VECTORS.format(1))
    run(catalog, "update shop.products set title = 'edited' where id = 3")
    run(another, "call vsync.work(interval '300 milliseconds')")
    assert rows(catalog, _VECTORS.format(1)) == before


@pytest.mark.parametrize("group", ["vsync_reader", "vsync_operator", "vsync_admin", "owner"])
@pytest.mark.parametrize("statement", [_COPY, _SWAP, "truncate vsync_data.catalog_v2"])
def test_no_role_writes_into_the_table_of_a_version(
    catalog: Connection,
    connect: Callable[..., Connection],
    make_role: Callable[..., str],
    group: str,
    statement: str,
) -> None:
    add_version(catalog, model="other")
    role = make_role("vsync_admin" if group == "owner" else group)
    run(catalog, f"grant usage on schema shop to {role}; grant all on shop.products to {role}")
    if group == "owner":
        run(catalog, f"update vsync_internal.embeddings set owner = '{role}'")
    denied(connect(user=role), statement)


def test_another_dimension_is_refused_even_to_a_superuser(catalog: Connection, tiny_model: Path) -> None:
    register(catalog, tiny_model, "small")
    add_version(catalog, model="small")
    work(catalog)
    for statement in (_SWAP, _COPY):
        with pytest.raises(psycopg.errors.DataException, match="expected 8 dimensions, not 384"):
            run(catalog, statement)


def test_what_a_superuser_swaps_is_found_and_mended(catalog: Connection) -> None:
    add_version(catalog, model="other")
    work(catalog)
    run(catalog, _SWAP)
    assert rows(catalog, "select version, mixed from vsync.audit('catalog') order by 1") == [(1, 20), (2, 20)]
    run(catalog, "select vsync.audit('catalog', repair => true)")
    work(catalog)
    assert rows(catalog, _VECTORS.format(1)) == vectors_of(catalog, "tiny")
    assert rows(catalog, _VECTORS.format(2)) == vectors_of(catalog, "other")


def test_a_query_vector_of_an_earlier_statement_finds_nothing_in_another_space(catalog: Connection) -> None:
    add_version(catalog, model="other")
    work(catalog)
    # as docs/operations.md has it
    fetch = (
        "select vsync.query_vector('catalog', 'product 9')::text, active_version from vsync.embeddings "
        "where name = 'catalog'"
    )
    nearest = "select id from shop.catalog where version = %s order by embedding <=> %s::vector limit 1"
    vector, version = rows(catalog, fetch)[0]
    assert rows(catalog, nearest, version, vector) == [(9,)]
    activate(catalog, 2)
    assert rows(catalog, nearest, version, vector) == []
    vector, version = rows(catalog, fetch)[0]
    assert rows(catalog, nearest, version, vector) == [(9,)]
    run(catalog, "select vsync.rollback_version('catalog')")
    assert rows(catalog, nearest, version, vector) == []
