"""Fifty sessions do not hold fifty models: the server's sessions map one copy, which lives as long as the server."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from shop import Connection, declare, open_shop, refused, register, rows, run, value
from vsync_admin import cluster as clusters
from vsync_admin.cluster import Cluster
from vsync_admin.processes import run_as_database_user

Connect = Callable[..., Connection]
MakeModel = Callable[..., Path]
HOME = Path("base/pgsql_tmp/pgsql_tmp.vsync")
LARGE = 6144  # dimensions: of the tiny models the smallest that are shared
EMBED = "select vsync.embed('tiny', 'text')"


def process(session: Connection, name: str) -> str:
    return Path(f"/proc/{session.info.backend_pid}/{name}").read_text(encoding="utf-8")


def private(session: Connection) -> int:
    """Return the bytes of memory that only this session has."""
    return int(process(session, "smaps_rollup").split("Anonymous:")[1].split()[0]) * 1024


def is_mapped(session: Connection) -> bool:
    return str(HOME) in process(session, "maps")


def copies(cluster: Cluster) -> list[Path]:
    return [path for path in (cluster.data / HOME).iterdir() if path.is_dir()]


def test_a_further_session_holds_less_than_half_of_what_it_held_with_weights_of_its_own(
    db: Connection, connect: Connect, minilm: Path
) -> None:
    register(db, minilm)
    first, alone, further = connect(), connect(), connect()
    vectors = [value(first, EMBED)]
    run(db, "select vsync.configure('share_models', '0')")
    vectors.append(value(alone, EMBED))
    run(db, "select vsync.configure('share_models', null)")
    vectors.append(value(further, EMBED))
    assert [is_mapped(session) for session in (first, alone, further)] == [True, False, True]
    assert private(alone) - private(further) > 40 << 20  # its int8 weights are unpacked in memory
    assert private(further) < private(alone) / 2
    assert len(set(vectors)) == 1


def test_workers_and_queries_map_the_same(db: Connection, connect: Connect, make_model: MakeModel) -> None:
    open_shop(db, make_model(dimensions=LARGE))
    declare(db, index='{"type": "none"}')
    run(db, "call vsync.work()")
    reader = connect()
    assert len(rows(reader, "select key from vsync.search('catalog', 'product 2')")) == 3
    assert [is_mapped(db), is_mapped(reader)] == [True, True]


def test_a_changed_model_is_refused_in_every_session(db: Connection, connect: Connect, make_model: MakeModel) -> None:
    directory = make_model(dimensions=LARGE)
    register(db, directory)
    value(db, EMBED)
    path = directory / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    for session in (db, connect()):
        refused(lambda session=session: value(session, EMBED), "VS103")


def test_a_damaged_copy_is_made_again(
    db: Connection, connect: Connect, cluster: Cluster, make_model: MakeModel
) -> None:
    register(db, make_model(dimensions=LARGE))
    known = set(cluster.data.glob(f"{HOME}/*/weights"))
    expected = value(db, EMBED)
    (weights,) = set(cluster.data.glob(f"{HOME}/*/weights")) - known
    whole = weights.read_bytes()
    run_as_database_user(["truncate", "-s", "0", weights])
    run_as_database_user(["truncate", "-s", str(len(whole)), weights])
    session = connect()
    assert value(session, EMBED) == expected
    assert is_mapped(session)
    assert weights.read_bytes() == whole


def test_a_session_without_rights_gets_the_vectors_and_no_way_to_the_copy(
    db: Connection, connect: Connect, make_role: Callable[..., str], make_model: MakeModel, cluster: Cluster
) -> None:
    register(db, make_model(dimensions=LARGE))
    reader = connect(user=make_role("vsync_reader"))
    assert value(reader, EMBED) == value(db, EMBED)
    assert is_mapped(reader)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        value(reader, f"select pg_read_file('{HOME}/lock')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        value(reader, "select lo_export(1, 'base/pgsql_tmp/pgsql_tmp.vsync/lock')")
    for path in (cluster.data / HOME, *copies(cluster)):
        assert path.stat().st_mode & 0o077 == 0


def test_a_copy_lives_as_long_as_the_server_and_is_in_no_base_backup(
    crash_cluster: Cluster, make_model: MakeModel
) -> None:
    model = make_model(dimensions=LARGE)
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as session:
        register(session, model)
        before = value(session, EMBED)
    (copy,) = copies(crash_cluster)
    backup = crash_cluster.directory / "backup"
    program = crash_cluster.server.bindir / "pg_basebackup"
    run_as_database_user([program, "-d", crash_cluster.dsn(), "-D", backup, "-c", "fast", "-X", "none", "--no-sync"])
    assert (backup / "base").exists()
    assert list(backup.rglob("*vsync*")) == [backup / "vsync.conf"]
    for how in (clusters.kill, lambda cluster: clusters.stop(cluster, "fast")):
        how(crash_cluster)
        clusters.start(crash_cluster)
        assert not copy.exists()
        with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as session:
            assert value(session, EMBED) == before
        assert copies(crash_cluster) == [copy]


def test_where_no_copy_can_be_written_queries_are_answered(crash_cluster: Cluster, make_model: MakeModel) -> None:
    directory = crash_cluster.data / HOME.parent
    run_as_database_user(["mkdir", "-m", "500", "-p", directory])
    with psycopg.connect(crash_cluster.dsn("vsync"), autocommit=True) as session:
        register(session, make_model(dimensions=LARGE))
        assert value(session, EMBED) is not None
        assert not is_mapped(session)
    assert list(directory.iterdir()) == []
