"""Sessions that share the weights of a model: the copy is right, is used, and is never believed blindly."""

import fcntl
import json
import multiprocessing.pool
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fix_models import package_texts
from vsync_engine.foundation.errors import EngineError
from vsync_engine.models import weight_cache
from vsync_engine.models.embedder import Model, ModelSpec, inspect

MakeModel = Callable[..., Path]
LARGE = 6144  # dimensions: of the tiny models the smallest that are shared
TEXTS = ["one", "another text", "z" * 300, ""]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where copies are to lie; nothing is there yet."""
    return tmp_path / "base" / "copies"


@pytest.fixture
def spec(make_model: MakeModel) -> ModelSpec:
    return inspect(str(make_model(dimensions=LARGE)), {})[0]


def embed(spec: ModelSpec, home: Path | None) -> NDArray[np.float32]:
    return Model.load(spec, threads=1, home=home).embed(TEXTS)


def assert_right(spec: ModelSpec, home: Path) -> None:
    assert np.abs(embed(spec, home) - embed(spec, None)).max() <= 1e-5


def the_copy(home: Path) -> Path:
    (copy,) = (path for path in home.iterdir() if path.is_dir())
    return copy


def is_mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text(encoding="utf-8")


def test_real_texts_have_the_vectors_they_had(minilm: Path, home: Path) -> None:
    spec, _ = inspect(str(minilm), {})
    alone = Model.load(spec, threads=1)
    texts = [text[:400] for text in package_texts(20)]
    for _ in ("made", "found"):
        shared = Model.load(spec, threads=1, home=home)
        assert is_mapped(the_copy(home) / "weights")
        assert np.abs(shared.embed(texts) - alone.embed(texts)).max() <= 1e-5


@pytest.mark.parametrize("options", [{}, {"external_data": True}, {"token_type_ids": False}])
def test_the_second_session_makes_nothing(make_model: MakeModel, home: Path, options: dict[str, bool]) -> None:
    spec, _ = inspect(str(make_model(dimensions=LARGE, **options)), {})
    assert_right(spec, home)
    copy = the_copy(home)
    before = {path.name: path.stat().st_ino for path in copy.iterdir()}
    assert sorted(before) == ["manifest.json", "model.onnx", "weights"]
    assert_right(spec, home)
    assert {path.name: path.stat().st_ino for path in copy.iterdir()} == before


def test_a_copy_is_for_the_servers_user_only(spec: ModelSpec, home: Path) -> None:
    embed(spec, home)
    assert [home.stat().st_mode & 0o077, the_copy(home).stat().st_mode & 0o077] == [0, 0]


def test_a_small_model_is_not_copied(tiny_model: Path, home: Path) -> None:
    embed(inspect(str(tiny_model), {})[0], home)
    assert not home.exists()


def zero_the_weights(copy: Path) -> None:
    path = copy / "weights"
    path.write_bytes(bytes(path.stat().st_size))


def cut_the_weights(copy: Path) -> None:
    os.truncate(copy / "weights", 4096)


def garble_the_manifest(copy: Path) -> None:
    (copy / "manifest.json").write_text('{"signatures": 1}', encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        zero_the_weights,
        cut_the_weights,
        garble_the_manifest,
        shutil.rmtree,
        lambda copy: (copy / "weights").unlink(),
        lambda copy: (copy / "model.onnx").write_bytes(b""),
        lambda copy: (copy / "manifest.json").unlink(),
    ],
)
def test_a_damaged_copy_is_made_again(spec: ModelSpec, home: Path, damage: Callable[[Path], object]) -> None:
    embed(spec, home)
    copy = the_copy(home)
    whole = (copy / "weights").read_bytes()
    damage(copy)
    assert_right(spec, home)
    assert the_copy(home) == copy
    assert (copy / "weights").read_bytes() == whole


def test_another_models_copy_in_its_place_is_not_used(make_model: MakeModel, spec: ModelSpec, home: Path) -> None:
    other, _ = inspect(str(make_model(dimensions=LARGE, seed=2)), {})
    embed(spec, home)
    mine = the_copy(home)
    mine.rename(home.with_name("aside"))
    embed(other, home)
    shutil.rmtree(mine, ignore_errors=True)
    the_copy(home).rename(mine)
    assert_right(spec, home)


@pytest.mark.parametrize("how", ["open to others", "a link", "somebody else's"])
def test_a_directory_that_others_could_have_filled_is_not_entered(spec: ModelSpec, home: Path, how: str) -> None:
    real = home.with_name("elsewhere")
    real.mkdir(parents=True, mode=0o700)
    if how == "a link":
        home.symlink_to(real)
    else:
        home.mkdir(mode=0o700)
    if how == "open to others":
        home.chmod(0o770)
    if how == "somebody else's":
        if os.geteuid():
            pytest.skip("only root gives directories away")
        os.chown(home, 65534, 65534)
    assert_right(spec, home)
    assert list(home.iterdir()) == []


def test_a_changed_model_is_refused_although_there_is_a_copy(spec: ModelSpec, home: Path) -> None:
    embed(spec, home)
    path = spec.path(spec.file)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(EngineError, match="changed") as caught:
        Model.load(spec, threads=1, home=home)
    assert caught.value.sqlstate == "VS103"
    path.unlink()
    with pytest.raises(EngineError) as caught:
        Model.load(spec, threads=1, home=home)
    assert caught.value.sqlstate == "VS104"


def test_a_model_changed_while_it_is_loaded_is_noticed(spec: ModelSpec, home: Path) -> None:
    for _ in ("made", "found"):
        model = Model.load(spec, threads=1, home=home)
        model.verify_unchanged()
    path = spec.path(spec.file)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(EngineError, match="changed"):
        model.verify_unchanged()


def test_a_touched_model_is_hashed_once_more_and_keeps_its_copy(spec: ModelSpec, home: Path) -> None:
    embed(spec, home)
    copy = the_copy(home)
    before = (copy / "weights").stat().st_ino
    spec.path(spec.file).touch()
    assert_right(spec, home)
    assert (copy / "weights").stat().st_ino == before
    known = json.loads((copy / "manifest.json").read_bytes())["signatures"][spec.file]
    assert known[3] == spec.path(spec.file).stat().st_mtime_ns


def test_where_no_copy_can_be_written_each_session_has_its_own(spec: ModelSpec, home: Path) -> None:
    home.parent.write_text("a file where the directory should be", encoding="utf-8")
    assert_right(spec, home)
    assert not home.exists()


def test_a_copy_leaves_room_on_the_disk(spec: ModelSpec, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_cache, "_ROOM", 1 << 60)
    assert_right(spec, home)
    assert [path.name for path in home.iterdir()] == ["lock"]


def test_a_session_waits_for_another_ones_copy_but_not_for_ever(
    spec: ModelSpec, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_cache, "_PATIENCE", 0.3)
    home.mkdir(parents=True, mode=0o700)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        start = time.monotonic()
        embed(spec, home)
        assert time.monotonic() - start >= 0.3
        assert [path.name for path in home.iterdir()] == ["lock"]
    assert_right(spec, home)
    assert the_copy(home)


def test_what_a_crash_left_half_made_is_cleared(spec: ModelSpec, home: Path) -> None:
    embed(spec, home)
    copy = the_copy(home)
    copy.rename(copy.with_suffix(".partial"))
    cut_the_weights(copy.with_suffix(".partial"))
    assert_right(spec, home)
    assert the_copy(home) == copy


def test_copies_that_nobody_loads_go_when_another_is_made(make_model: MakeModel, spec: ModelSpec, home: Path) -> None:
    long_ago = time.time() - 8 * 24 * 3600
    embed(spec, home)
    old = the_copy(home)
    os.utime(old, (long_ago, long_ago))
    embed(spec, home)
    other, _ = inspect(str(make_model(dimensions=LARGE, seed=2)), {})
    embed(other, home)
    assert old.exists()
    os.utime(old, (long_ago, long_ago))
    third, _ = inspect(str(make_model(dimensions=LARGE, seed=3)), {})
    embed(third, home)
    assert not old.exists()


def test_a_network_whose_copy_answers_otherwise_is_not_shared(
    spec: ModelSpec, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_cache, "_EQUAL", -1.0)  # nothing is as equal as that
    assert_right(spec, home)
    (note,) = the_copy(home).iterdir()
    before = note.stat().st_mtime_ns
    monkeypatch.undo()
    assert_right(spec, home)
    assert list(the_copy(home).iterdir()) == [note]
    assert note.stat().st_mtime_ns == before


@pytest.fixture
def processes() -> Iterator[multiprocessing.pool.Pool]:
    """Processes of their own: those of this one would share what is loaded."""
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        yield pool


def _first(spec: ModelSpec, home: Path) -> tuple[bool, NDArray[np.float32]]:
    weight_cache._PATIENCE = 60.0  # pyright: ignore[reportPrivateUsage]
    model = Model.load(spec, threads=1, home=home)
    return is_mapped(home), model.embed(TEXTS)


def test_sessions_that_begin_together_make_one_copy(
    processes: multiprocessing.pool.Pool, minilm: Path, home: Path
) -> None:
    spec, _ = inspect(str(minilm), {})
    answers = processes.starmap(_first, [(spec, home)] * 3, chunksize=1)
    expected = embed(spec, None)
    for mapped, vectors in answers:
        assert mapped
        assert np.abs(vectors - expected).max() <= 1e-5
    assert sorted(path.name for path in home.iterdir()) == sorted([the_copy(home).name, "lock"])
