"""Pooling, prefixes, truncation, batches and changed files, on models small enough to compute by hand."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fix_models import POSITION_WEIGHT, tiny_tokenizer, tiny_weights
from vsync_engine.foundation.errors import EngineError
from vsync_engine.models.embedder import PROBE, Model, inspect, plan_batches

MakeModel = Callable[..., Path]


def load(directory: Path, **options: object) -> Model:
    spec, _ = inspect(str(directory), options)
    return Model.load(spec, threads=1)


def by_hand(text: str, pooling: str) -> NDArray[np.float64]:
    """Compute the vector of a text of ASCII letters without the engine and without ONNX Runtime."""
    tokenizer = tiny_tokenizer()
    names = ["[CLS]", *text, "[SEP]"]
    weights = tiny_weights(8, 1, tokenizer.get_vocab_size()).astype(np.float64)
    rows = [weights[tokenizer.token_to_id(name)] * (1 + POSITION_WEIGHT * i) for i, name in enumerate(names)]
    if pooling == "cls":
        return rows[0]
    return np.max(rows, axis=0) if pooling == "max" else np.mean(rows, axis=0)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling_by_hand(tiny_model: Path, pooling: str, normalize: bool) -> None:
    model = load(tiny_model, pooling=pooling, normalize=normalize)
    vectors = model.embed(["ab", "abcdefghij", "c"])
    for text, vector in zip(("ab", "abcdefghij", "c"), vectors, strict=True):
        expected = by_hand(text, pooling)
        expected = expected / np.linalg.norm(expected) if normalize else expected
        assert np.abs(vector - expected).max() < 1e-5


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_pooling_comes_from_the_configuration(make_model: MakeModel, pooling: str) -> None:
    assert load(make_model(pooling=pooling)).spec.pooling == pooling


def test_prefixes(tiny_model: Path) -> None:
    plain = load(tiny_model)
    prefixed = load(tiny_model, query_prefix="query: ", passage_prefix="passage: ")
    assert np.allclose(prefixed.embed(["cat"], "query"), plain.embed(["query: cat"]))
    assert np.allclose(prefixed.embed(["cat"]), plain.embed(["passage: cat"]))
    assert prefixed.spec.sha256 != plain.spec.sha256


def test_inputs_without_token_types(tiny_model: Path, tiny_model_without_types: Path) -> None:
    texts = ["one", "another", ""]
    assert np.allclose(load(tiny_model).embed(texts), load(tiny_model_without_types).embed(texts))


def test_truncation_is_flagged(tiny_model: Path) -> None:
    model = load(tiny_model, max_tokens=10, passage_prefix="p:")
    fits, cut = model.encode(["123456", "1234567"], "passage")
    assert (len(fits.ids), fits.truncated) == (10, False)
    assert (len(cut.ids), cut.truncated) == (10, True)
    assert np.allclose(model.run([fits]), model.run([cut]))


def test_long_text_without_spaces_is_read_as_a_whole(tiny_model: Path) -> None:
    encoded = load(tiny_model, max_tokens=16).encode(["y" * 50_000, "z" * 15], "passage")
    assert [text.truncated for text in encoded] == [True, True]


@given(st.lists(st.text(max_size=40), max_size=12))
def test_any_text_has_a_vector_of_its_own_and_batches_do_not_matter(tiny_model: Path, texts: list[str]) -> None:
    model = _cached(tiny_model)
    vectors = model.embed(texts, token_budget=64)
    assert vectors.shape == (len(texts), 8)
    assert vectors.dtype == np.float32
    for text, vector in zip(texts, vectors, strict=True):
        assert np.abs(model.embed([text])[0] - vector).max() < 1e-5


def test_lone_surrogates(tiny_model: Path) -> None:
    model = load(tiny_model)
    assert np.allclose(model.embed(["a\ud800b"]), model.embed(["a\ufffdb"]))
    assert np.allclose(model.embed(["\ud83d\ude00"]), model.embed(["😀"]))


def test_nothing_to_embed(tiny_model: Path) -> None:
    model = load(tiny_model)
    assert model.embed([]).shape == (0, 8)
    assert model.run([]).shape == (0, 8)


def test_other_weights_are_another_model(tiny_model: Path, tiny_model_other: Path) -> None:
    first, vector = inspect(str(tiny_model), {})
    second, other = inspect(str(tiny_model_other), {})
    assert first.sha256 != second.sha256
    assert vector != other
    assert np.allclose(load(tiny_model).embed([PROBE])[0], vector)


def test_external_data_is_loaded_and_hashed(make_model: MakeModel, tiny_model: Path) -> None:
    directory = make_model(external_data=True)
    model = load(directory)
    assert sorted(model.spec.files) == ["model.onnx", "model.onnx_data", "tokenizer.json"]
    assert np.allclose(model.embed(["abc"]), load(tiny_model).embed(["abc"]))
    data = directory / "model.onnx_data"
    data.write_bytes(data.read_bytes()[:-1] + b"\x01")
    with pytest.raises(EngineError, match="changed") as caught:
        Model.load(model.spec, threads=1)
    assert caught.value.sqlstate == "VS103"


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_tampered_file_is_refused(make_model: MakeModel, name: str) -> None:
    directory = make_model()
    model = load(directory)
    model.verify_unchanged()
    path = directory / name
    path.write_bytes(path.read_bytes() + b" ")
    for attempt in (model.verify_unchanged, lambda: Model.load(model.spec, threads=1)):
        with pytest.raises(EngineError) as caught:
            attempt()
        assert caught.value.sqlstate == "VS103"
        assert str(path) in caught.value.detail
        assert caught.value.hint


def test_a_changed_file_of_the_same_size_and_time_is_refused(make_model: MakeModel) -> None:
    directory = make_model()
    model = load(directory)
    path = directory / "model.onnx"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(EngineError, match="changed"):
        model.verify_unchanged()


def test_a_touched_file_is_hashed_again_and_accepted(make_model: MakeModel) -> None:
    directory = make_model()
    model = load(directory)
    for name in model.spec.files:
        (directory / name).touch()
    model.verify_unchanged()


def test_a_missing_file(make_model: MakeModel) -> None:
    directory = make_model()
    model = load(directory)
    (directory / "tokenizer.json").unlink()
    for attempt in (model.verify_unchanged, lambda: Model.load(model.spec, threads=1)):
        with pytest.raises(EngineError) as caught:
            attempt()
        assert caught.value.sqlstate == "VS104"


def test_poison_stands_alone(tiny_model_poison: Path) -> None:
    model = load(tiny_model_poison)
    assert model.embed(["fine", "also fine"]).shape == (2, 8)
    for text, message in (("a poisonpill b", "failed on a batch"), ("a nanpill b", "not finite")):
        with pytest.raises(EngineError, match=message) as caught:
            model.embed(["fine", text])
        assert caught.value.sqlstate == "VS102"
    assert model.embed(["fine"]).shape == (1, 8)


def test_dimensions_that_differ_from_the_registered(tiny_model: Path, tiny_model_16: Path) -> None:
    small, _ = inspect(str(tiny_model), {})
    large, _ = inspect(str(tiny_model_16), {})
    assert (small.dimensions, large.dimensions) == (8, 16)
    with pytest.raises(EngineError, match="dimensions"):
        Model.load(replace(large, dimensions=8), threads=1).embed(["x"])


@given(st.lists(st.integers(0, 300), max_size=200), st.integers(1, 600))
def test_plan_batches(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest == sorted(longest)
    for batch, most in zip(batches, longest, strict=True):
        assert len(batch) == 1 or len(batch) * most <= budget


_models: dict[Path, Model] = {}


def _cached(directory: Path) -> Model:
    if directory not in _models:
        _models[directory] = load(directory)
    return _models[directory]
