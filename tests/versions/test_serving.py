"""Whatever is served follows changes, is audited and cannot be dropped, however it came to be served."""

from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, open_shop, refused, register, rows, run, value
from versions.rollout import activate, add_version, assert_clean, state, work

FOLLOWS = "select following, paused from vsync.versions where embedding = 'catalog' and version = %s"


def change(db: Connection, text: str, product: int = 1) -> None:
    run(db, "update shop.products set title = %s where id = %s", text, product)


def served(db: Connection, product: int = 1) -> str:
    return value(db, "select content from shop.catalog where id = %s", product)


def serving(db: Connection) -> list[tuple[str, str]]:
    return rows(db, "select level, remediation from vsync.doctor() where name = 'serving' and level <> 'ok'")


@pytest.fixture
def ended(db: Connection, tiny_model: Path, tiny_model_other: Path) -> Connection:
    """Version 2 is served; version 1 stopped following, and has missed a change, a new row and a deletion."""
    open_shop(db, tiny_model, 5)
    register(db, tiny_model_other, "other")
    declare(db)
    add_version(db, model="other")
    work(db)
    activate(db, 2)
    run(db, "select vsync.end_rollback('catalog')")
    change(db, "missed")
    run(db, "insert into shop.products values (6, 'missed too')")
    run(db, "delete from shop.products where id = 2")
    work(db)
    return db


def test_a_version_served_by_force_follows_again_and_catches_up(ended: Connection) -> None:
    run(ended, "select vsync.activate_version('catalog', 1, force => true)")
    assert rows(ended, FOLLOWS, 1) == [(True, False)]
    assert state(ended, 1) == "active"
    change(ended, "after", 3)
    work(ended)
    assert rows(ended, "select id, content from shop.catalog order by id") == [
        (1, "missed"),
        (3, "after"),
        (4, "product 4"),
        (5, "product 5"),
        (6, "missed too"),
    ]
    assert_clean(ended, 1, 2)
    assert serving(ended) == []


def test_a_served_version_that_follows_again_is_not_dropped(ended: Connection) -> None:
    run(ended, "select vsync.activate_version('catalog', 1, force => true)")
    run(ended, "select vsync.resume_version('catalog', 1)")
    assert refused(lambda: run(ended, "select vsync.drop_version('catalog', 1)"), "VS404")
    assert served(ended, 3) == "product 3"


def test_one_that_is_served_and_does_not_follow_is_reported_audited_kept_and_resumed(ended: Connection) -> None:
    run(ended, "update vsync_internal.serving set version = 1")
    assert serving(ended) == [("error", "select vsync.resume_version('catalog', 1)")]
    assert rows(ended, "select version, missing, extra, stale from vsync.audit('catalog')") == [
        (1, 1, 1, 1),
        (2, 0, 0, 0),
    ]
    refused(lambda: run(ended, "select vsync.drop_version('catalog', 1)"), "VS404")
    run(ended, serving(ended)[0][1])
    work(ended)
    assert serving(ended) == []
    assert_clean(ended, 1, 2)


def test_a_paused_version_served_by_force_goes_on(ended: Connection) -> None:
    run(ended, "select vsync.resume_version('catalog', 1)")
    work(ended)
    run(ended, "select vsync.pause_version('catalog', 1)")
    change(ended, "while paused")
    work(ended)
    run(ended, "select vsync.activate_version('catalog', 1, force => true)")
    work(ended)
    assert served(ended) == "while paused"
    assert_clean(ended, 1, 2)


def test_a_paused_version_that_is_served_is_reported(ended: Connection) -> None:
    run(ended, "select vsync.pause_version('catalog', 2)")
    assert serving(ended) == [("warning", "select vsync.resume_version('catalog', 2)")]
    run(ended, serving(ended)[0][1])
    assert serving(ended) == []


def test_a_broken_version_is_not_rolled_back_to(ended: Connection) -> None:
    run(ended, "select vsync.resume_version('catalog', 1)")
    work(ended)
    activate(ended, 1)
    run(ended, "update vsync_internal.progress set broken = 'gone' where version_id = 2")
    report = refused(lambda: run(ended, "select vsync.rollback_version('catalog')"), "VS403")
    assert report.message_primary == 'version 2 of "catalog" is broken'


def test_a_challenger_tried_by_force_follows_again(ended: Connection) -> None:
    run(ended, "select vsync.start_experiment('catalog', 1, 1, force => true)")
    work(ended)
    assert rows(ended, "select distinct version from vsync.search('catalog', 'missed', 1, 'me')") == [(1,)]
    assert_clean(ended, 1, 2)


def test_a_challenger_does_not_stop_following_when_its_rollback_window_ends(ended: Connection) -> None:
    run(ended, 'update vsync_internal.embeddings set options = \'{"rollback_window": "0 s", "retention": "0 s"}\'')
    run(ended, "update vsync_internal.versions set following = true where version = 1")
    run(ended, "select vsync.start_experiment('catalog', 1, 1, force => true)")
    work(ended)
    assert rows(ended, FOLLOWS, 1) == [(True, False)]
    run(ended, "select vsync.stop_experiment('catalog')")
    work(ended)
    work(ended)
    with pytest.raises(psycopg.Error):
        run(ended, "select from vsync_data.catalog_v1")
