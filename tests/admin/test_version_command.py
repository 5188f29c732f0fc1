"""`vsync version`: a rollout from the shell."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from admin.test_commands import VSYNC, answer, vsync
from shop import Connection, declare, open_shop, register, value


@pytest.fixture
def rollout(db: Connection, tiny_model: Path, tiny_model_other: Path) -> Connection:
    """Embedding catalog with one version, and another model."""
    open_shop(db, tiny_model)
    register(db, tiny_model_other, "other")
    declare(db)
    db.execute("call vsync.work()")
    return db


def test_add_list_compare_activate_roll_back_drop(dsn: str, rollout: Connection):
    assert answer(dsn, "version", "add", "catalog", "--model", "other") == [{"version": 2}]
    done = vsync(dsn, "version", "activate", "catalog", "2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        'ERROR:  VS402: version 2 of "catalog" is not fit to be served\nDETAIL:  coverage is 0'
    )
    rollout.execute("call vsync.work()")
    listed = answer(dsn, "version", "list", "catalog")
    assert [(row["version"], row["label"], row["state"], row["model"]) for row in listed] == [
        (1, "1.0", "active", "tiny"),
        (2, "2.0", "ready", "other"),
    ]
    compared = answer(dsn, "version", "compare", "catalog", "1", "2", "--query", "product 2", "-k", "1")
    assert [row["query"] for row in compared] == ["product 2", None]
    assert compared[0]["answers_a"][0]["key"] == {"id": 2}
    assert answer(dsn, "version", "activate", "catalog", "2") == [{"version": 2}]
    assert answer(dsn, "version", "rollback", "catalog") == [{"version": 1}]
    assert vsync(dsn, "version", "drop", "catalog", "1", "--yes").returncode == 1
    assert answer(dsn, "version", "drop", "catalog", "2", "--yes") == [{"version": 2}]
    assert [row["version"] for row in answer(dsn, "version", "list")] == [1]


def test_force_is_passed_on(dsn: str, rollout: Connection):
    answer(dsn, "version", "add", "catalog", "--model", "other")
    assert answer(dsn, "version", "activate", "catalog", "2", "--force") == [{"version": 2}]
    assert value(rollout, "select forced from vsync.activations order by at desc limit 1") is True


def test_add_takes_a_document_chunks_and_an_index(dsn: str, rollout: Connection, tmp_path: Path):
    file = tmp_path / "document.sql"
    file.write_text("select id, upper(title) as content from shop.products")
    answer(dsn, "version", "add", "catalog", "--file", str(file), "--chunk", '{"tokens": 8}')
    answer(dsn, "version", "add", "catalog", "--chunk", "null", "--index", '{"type": "none"}')
    listed = answer(dsn, "version", "list", "catalog")
    assert [(row["chunk"], row["index"]) for row in listed] == [
        (None, "hnsw"),
        ('{"tokens": 8}', "hnsw"),
        (None, "none"),
    ]
    assert "upper" in value(rollout, "select document from vsync.versions where version = 2")


def test_compare_prints_the_worst_queries_with_both_answers(dsn: str, rollout: Connection, tmp_path: Path):
    answer(dsn, "version", "add", "catalog", "--model", "other")
    rollout.execute("call vsync.work()")
    file = tmp_path / "queries"
    file.write_text("product 1\n\nproduct 3\n")
    done = vsync(dsn, "version", "compare", "catalog", "1", "2", "--queries", str(file), "--worst", "1")
    assert done.returncode == 0, done.stderr
    assert "mean" in done.stdout
    assert done.stdout.count("version 2") == 1
    assert '{"id":3} product 3' in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "catalog", "--chunk", "{"),
        ("add", "catalog", "--index", "{"),
        ("add", "catalog", "--document", "select", "--file", "x"),
        ("compare", "catalog", "1", "2", "--queries", "/nowhere"),
        ("activate", "catalog", "two"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_done(dsn: str, arguments: tuple[str, ...]):
    done = vsync(dsn, "version", *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_an_unknown_embedding_is_an_error(dsn: str, rollout: Connection):
    done = vsync(dsn, "version", "list", "catalogue")
    assert done.returncode == 1
    assert 'Did you mean "catalog"?' in done.stderr


def test_status_tells_how_far_each_is(dsn: str, rollout: Connection):
    answer(dsn, "version", "add", "catalog", "--model", "other")
    rollout.execute("select vsync_internal.backfill(2)")
    told = answer(dsn, "version", "status", "catalog")
    assert [(row["version"], row["label"], row["phase"], row["done"], row["total"]) for row in told] == [
        (1, "1.0", "active", None, None),
        (2, "2.0", "backfilling", 0, 3),
    ]
    first, second = vsync(dsn, "version", "status").stdout.splitlines()[1:]
    assert first.split()[:4] == ["catalog", "1", "1.0", "active"]
    assert "━" * 30 in first
    assert second.split()[:4] == ["catalog", "2", "2.0", "backfilling"]
    assert "0 of 3" in second
    rollout.execute("call vsync.work()")
    assert answer(dsn, "version", "status", "catalog")[1]["phase"] == "ready"
    assert "rate" in vsync(dsn, "version", "status").stdout
    assert vsync(dsn, "version", "status", "catalogue").returncode == 1


def test_status_keeps_looking(dsn: str, rollout: Connection):
    command = [*VSYNC, "version", "status", "--watch", "--interval", "0.1", "--json", "-d", dsn]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        looks = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        watching.wait(30)
    assert [look[0]["phase"] for look in looks] == ["active", "active"]


def test_a_caller_is_passed_on_to_the_search(dsn: str, rollout: Connection):
    answer(dsn, "version", "add", "catalog", "--model", "other")
    rollout.execute("call vsync.work()")
    rollout.execute("select vsync.start_experiment('catalog', 2, 1)")
    assert {row["version"] for row in answer(dsn, "search", "catalog", "product 1", "--caller", "me")} == {2}
    assert {row["version"] for row in answer(dsn, "search", "catalog", "product 1")} == {1}
