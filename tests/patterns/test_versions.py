"""Versioned embeddings, line by line: each test is one line of what the pattern must be seen to do."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from fix_models import write_tiny_model
from races.steps import in_background, wait_until
from shop import Connection, declare, denied, open_shop, refused, register, rows, run, value
from versions.rollout import VIEW, activate, add_version, assert_clean, assert_serves, state, totals, work
from vsync_admin.cluster import Cluster

_KILLS = 3


def kill_worker(cluster: Cluster, seen: int) -> None:
    """Let a worker build version 2 until it has published more than was seen, then kill it as kill -9 does."""
    with psycopg.connect(cluster.dsn("vsync"), autocommit=True) as worker:
        pid = worker.info.backend_pid
        working = in_background(lambda: run(worker, "call vsync.work()"))
        with psycopg.connect(cluster.dsn("vsync"), autocommit=True) as db:
            wait_until(lambda: totals(db)[2][0] > seen, "progress")
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: is_lost(db), "the server to notice")
        with pytest.raises(psycopg.OperationalError):
            working.result(60)


def is_lost(session: Connection) -> bool:
    try:
        run(session, "select")
    except psycopg.OperationalError:
        return True
    return False


def comes_back(cluster: Cluster) -> bool:
    try:
        psycopg.connect(cluster.dsn("vsync")).close()
    except psycopg.OperationalError:
        return False
    return True


def test_384_and_768_dimensions_live_side_by_side_and_a_backfill_survives_kill_9(
    crash_cluster: Cluster, models_directory: Path
) -> None:
    small = write_tiny_model(models_directory / "tiny-384", dimensions=384)
    large = write_tiny_model(models_directory / "tiny-768", dimensions=768, seed=3)
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as db:
        open_shop(db, small, 0)
        register(db, large, "large")
        run(db, "insert into shop.products select i, repeat('product ' || i, 20) from generate_series(1, 1500) as i")
        run(db, "select vsync.configure('batch_tokens', '400'), vsync.configure('claim_limit', '100')")
        declare(db)
        work(db)
        add_version(db, model="large")
    seen = 0
    for _ in range(_KILLS):
        kill_worker(crash_cluster, seen)
        wait_until(lambda: comes_back(crash_cluster), "the server")
        with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as db:
            seen = totals(db)[2][0]
            assert seen < 1500
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as db:
        work(db)
        assert totals(db)[2][0] == 1500
        assert_clean(db, 1, 2)
        for version, dimensions in ((1, 384), (2, 768)):
            stored = f"select vector_dims(embedding), count(*) from vsync_data.catalog_v{version} group by 1"
            assert rows(db, stored) == [(dimensions, 1500)]
        indexes = "select count(*) from pg_indexes where indexname in ('catalog_v1_ann', 'catalog_v2_ann')"
        assert value(db, indexes) == 2


def test_edits_during_a_backfill_reach_both(rollout: Connection) -> None:
    add_version(rollout, model="wide")
    run(rollout, "select vsync_internal.backfill(2, 5)")
    run(rollout, "update shop.products set title = 'edited' where id in (2, 18)")
    run(rollout, "delete from shop.products where id in (3, 19); insert into shop.products values (21, 'new')")
    work(rollout)
    assert_clean(rollout, 1, 2)
    for version in (1, 2):
        contents = dict(rows(rollout, f"select id, content from vsync_data.catalog_v{version}"))
        assert (contents[2], contents[18], contents[21]) == ("edited", "edited", "new")
        assert contents.keys().isdisjoint({3, 19})


def test_activation_is_one_statement_and_so_is_a_rollback_that_needs_no_model(
    rollout: Connection, connect: Callable[..., Connection]
) -> None:
    add_version(rollout, model="wide")
    work(rollout)
    reader = connect()
    run(reader, "begin isolation level repeatable read")
    assert {row[2] for row in rows(reader, VIEW)} == {1}
    run(rollout, "select vsync.activate_version('catalog', 2)")
    assert_serves(rollout, 2, 16)
    assert {row[2] for row in rows(reader, VIEW)} == {1}
    run(reader, "commit")
    assert {row[2] for row in rows(reader, VIEW)} == {2}
    run(rollout, "update shop.products set title = 'edited ' || id where id < 5")
    work(rollout)
    before = totals(rollout)
    run(rollout, "select vsync.rollback_version('catalog')")
    work(rollout)
    assert totals(rollout) == before
    assert_serves(rollout, 1)
    assert value(rollout, "select content from shop.catalog where id = 4") == "edited 4"
    assert rows(rollout, "select key from vsync.search('catalog', 'edited 4', 20) where stale") == []


def test_a_query_vector_of_one_version_against_the_other_is_refused_or_finds_nothing(rollout: Connection) -> None:
    fetch = "select vsync.query_vector('catalog', 'product 9')::text, active_version from vsync.embeddings"
    nearest = "select id from shop.catalog where version = %s order by embedding <=> %s::vector limit 1"
    for model in ("other", "wide"):
        vector, version = rows(rollout, fetch)[0]
        assert rows(rollout, nearest, version, vector) == [(9,)]
        latest = add_version(rollout, model=model)
        work(rollout)
        activate(rollout, latest)
        assert rows(rollout, nearest, version, vector) == []
    with pytest.raises(psycopg.errors.DataException):  # and without the version: 8 against 16 dimensions
        run(rollout, "select id from shop.catalog order by embedding <=> %s::vector limit 1", vector)


def test_a_comparison_tells_overlap_rank_correlation_the_worst_queries_and_ndcg(rollout: Connection) -> None:
    add_version(rollout, model="other")
    work(rollout)
    run(rollout, "select vsync.judge('catalog', 'product 9', '9', 3), vsync.judge('catalog', 'product 9', '19', 1)")
    query = "select query, overlap, rbo, rank_shift, ndcg_a, answers_a, answers_b from vsync.compare_versions"
    *found, means = rows(rollout, f"{query}('catalog', 1, 2, array['product 9', 'product 12', 'a lamp'], 5)")
    assert {row[0] for row in found} == {"product 9", "product 12", "a lamp"}
    assert [row[2] for row in found] == sorted(row[2] for row in found)  # the worst first
    assert all(0 <= row[1] <= 1 and 0 <= row[2] <= 1 and row[3] >= 0 for row in found)
    assert all(len(row[5]) == len(row[6]) == 5 for row in found)
    judged = {row[0]: row[4] for row in found}
    assert 0.7 < judged["product 9"] <= 1
    assert (judged["product 12"], judged["a lamp"]) == (None, None)
    assert means[4] == pytest.approx(judged["product 9"], abs=1e-6)


def test_a_gate_refuses_and_an_override_is_recorded(db: Connection, tiny_model: Path, tiny_model_other: Path) -> None:
    open_shop(db, tiny_model, 50)
    register(db, tiny_model_other, "other")
    declare(db, options='{"gate": {"coverage": 0.9, "overlap": 0.99}}')
    work(db)
    add_version(db, model="other")
    refusal = refused(lambda: activate(db, 2), "VS402").message_detail or ""
    assert "coverage is 0.0000 of 0.9" in refusal
    work(db)
    run(db, "select vsync.compare_versions('catalog', 1, 2)")
    refusal = refused(lambda: activate(db, 2), "VS402").message_detail or ""
    assert refusal.startswith("overlap at k is 0.")
    run(db, "select vsync.activate_version('catalog', 2, force => true)")
    last = "select version, forced, by, figures ->> 'refused' from vsync.activations order by at desc limit 1"
    assert rows(db, last) == [(2, True, "postgres", refusal)]


def test_a_challenger_answers_a_share_of_the_callers_who_stay_with_it(rollout: Connection) -> None:
    add_version(rollout, model="other")
    work(rollout)
    answered = "select version from vsync.search('catalog', 'product 9', 1, %s)"
    callers = [f"caller {number}" for number in range(60)]
    run(rollout, "select vsync.start_experiment('catalog', 2, 0.5)")
    first = {caller: value(rollout, answered, caller) for caller in callers}
    assert {caller: value(rollout, answered, caller) for caller in callers} == first
    assert 15 < sum(version == 2 for version in first.values()) < 45
    run(rollout, "select vsync.start_experiment('catalog', 2, 0.8)")
    grown = {caller: value(rollout, answered, caller) for caller in callers}
    assert all(grown[caller] == 2 for caller in callers if first[caller] == 2)
    for caller in callers:
        run(rollout, "select vsync.report_outcome('catalog', %s, 'click')", grown[caller])
    run(rollout, "select pg_stat_force_next_flush()")
    counted = dict(rows(rollout, "select version, (outcomes ->> 'click')::int from vsync.stat_experiments"))
    assert counted == {version: list(grown.values()).count(version) for version in (1, 2)}
    calls = dict(rows(rollout, "select version, calls from vsync.stat_experiments"))
    assert calls == {v: 2 * list(first.values()).count(v) + list(grown.values()).count(v) for v in (1, 2)}


def test_labels_tell_a_changed_space_and_each_vector_what_made_it(rollout: Connection) -> None:
    add_version(rollout, model="other")
    add_version(rollout, model="wide")
    add_version(rollout, document="select id, upper(title) as content from shop.products")
    add_version(rollout, chunk='{"tokens": 9}')
    work(rollout)
    labels = "select array_agg(label order by version) from vsync.versions"
    assert value(rollout, labels) == ["1.0", "2.0", "3.0", "1.1", "1.2"]
    made_by = """select r.version, r.label, r.model_sha256 = m.sha256,
        r.document_sha256 = encode(sha256(v.document::bytea), 'hex'),
        r.content_hash = encode(sha256(case r.version when 4 then 'PRODUCT 9' else 'product 9' end::bytea), 'hex'),
        r.captured_at <= r.embedded_at, r.worker = pg_backend_pid()
        from vsync.explain_row('catalog', '9') as r
        join vsync.versions as v on v.embedding = 'catalog' and v.version = r.version
        join vsync.models as m on m.name = v.model order by r.version"""
    assert rows(rollout, made_by) == [
        (version, label, True, True, True, True, True) for version, label in enumerate(value(rollout, labels), 1)
    ]


def test_a_retired_version_is_kept_for_a_stated_time_and_then_goes_with_its_table(rollout: Connection) -> None:
    add_version(rollout, model="other")
    work(rollout)
    activate(rollout, 2)
    table = "select to_regclass('vsync_data.catalog_v1') is not null"
    refused(lambda: run(rollout, "select vsync.drop_version('catalog', 1)"), "VS404")  # what a rollback would serve
    refused(lambda: run(rollout, "select vsync.drop_version('catalog', 2)"), "VS404")  # the active one
    for age, follows, kept in (("6 days", True, True), ("8 days", False, True), ("31 days", False, False)):
        run(rollout, f"update vsync_internal.versions set retired_at = now() - interval '{age}' where version = 1")
        work(rollout)
        assert value(rollout, "select following from vsync.versions where version = 1") is follows
        assert value(rollout, table) is kept
    assert (state(rollout, 1), state(rollout, 2)) == ("dropped", "active")
    assert_serves(rollout, 2)


def test_which_version_served_when_and_the_application_says_the_same_sql_all_along(
    rollout: Connection, connect: Callable[..., Connection], make_role: Callable[..., str]
) -> None:
    application = connect(user=make_role("vsync_reader"))
    role = application.info.user
    run(rollout, f"grant usage on schema shop to {role}; grant select on shop.products to {role}")
    run(
        application,
        "prepare mine as select id, content from shop.catalog order by embedding <=> "
        "vsync.query_vector('catalog', 'product 9') limit 1",
    )
    found = [rows(application, "execute mine")]
    for model in ("other", "wide", "tiny"):
        version = add_version(rollout, model=model)
        work(rollout)
        activate(rollout, version)
        found.append(rows(application, "execute mine"))
    run(rollout, "select vsync.rollback_version('catalog')")
    found.append(rows(application, "execute mine"))
    assert found == [[(9, "product 9")]] * 5
    moments = rows(application, "select at, version from vsync.activations order by at")
    assert [version for _, version in moments] == [1, 2, 3, 4, 3]
    assert [value(application, "select vsync.version_at('catalog', %s)", at) for at, _ in moments] == [1, 2, 3, 4, 3]
    denied(application, "select vsync.activate_version('catalog', 1)")
