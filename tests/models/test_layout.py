"""What inspect reads from a directory, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vsync_engine.foundation.errors import EngineError
from vsync_engine.models.embedder import Model, ModelSpec, inspect
from vsync_engine.models.pooling import pool

MakeModel = Callable[..., Path]


def refused(source: Path | str, sqlstate: str, **options: object) -> EngineError:
    with pytest.raises(EngineError) as caught:
        inspect(str(source), options)
    error = caught.value
    assert error.sqlstate == sqlstate
    assert error.message[0].islower()
    assert not error.message.endswith(".")
    assert error.detail
    assert error.hint
    assert error.as_json() == {
        "sqlstate": sqlstate,
        "message": error.message,
        "detail": error.detail,
        "hint": error.hint,
    }
    return error


def write(directory: Path, name: str, value: object) -> None:
    (directory / name).write_text(json.dumps(value), encoding="utf-8")


def test_specification_survives_json(tiny_model: Path) -> None:
    spec, probe = inspect(str(tiny_model), {})
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert ModelSpec.from_json(json.loads(spec.to_json())) == spec
    assert len(probe) == spec.dimensions == 8
    assert sum(x * x for x in probe) == pytest.approx(1, abs=1e-5)


def test_source_as_url(make_model: MakeModel, models_directory: Path) -> None:
    directory = Path(shutil.copytree(make_model(), models_directory / "with space"))
    spec, _ = inspect(f"file://{models_directory}/with%20space", {})
    assert spec.directory == str(directory)
    shutil.rmtree(directory)


def test_sha256_does_not_depend_on_the_place(make_model: MakeModel) -> None:
    first, _ = inspect(str(make_model()), {})
    second, _ = inspect(str(make_model()), {})
    assert first.sha256 == second.sha256
    assert first.directory != second.directory


def test_onnx_folder_and_named_file(make_model: MakeModel) -> None:
    directory = make_model()
    (directory / "onnx").mkdir()
    (directory / "model.onnx").rename(directory / "onnx/model.onnx")
    assert inspect(str(directory), {})[0].file == "onnx/model.onnx"
    (directory / "onnx/model.onnx").rename(directory / "onnx/model_int8.onnx")
    assert "onnx/model_int8.onnx" in refused(directory, "VS102").hint
    assert inspect(str(directory), {"file": "onnx/model_int8.onnx"})[0].file == "onnx/model_int8.onnx"


def test_configuration_files(make_model: MakeModel) -> None:
    directory = make_model(max_tokens=100)
    write(directory, "config_sentence_transformers.json", {"prompts": {"query": "query: ", "document": "passage: "}})
    spec, _ = inspect(str(directory), {})
    assert (spec.max_tokens, spec.query_prefix, spec.passage_prefix) == (100, "query: ", "passage: ")
    spec, _ = inspect(str(directory), {"max_tokens": 50, "query_prefix": "", "normalize": False})
    assert (spec.max_tokens, spec.query_prefix, spec.passage_prefix, spec.normalize) == (50, "", "passage: ", False)


def test_without_configuration(make_model: MakeModel) -> None:
    directory = make_model()
    for name in ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json"):
        (directory / name).unlink()
    spec, _ = inspect(str(directory), {})
    assert (spec.max_tokens, spec.pooling, spec.normalize) == (512, "mean", True)


def test_normalisation_follows_modules(make_model: MakeModel) -> None:
    assert inspect(str(make_model(normalize=False)), {})[0].normalize is False


def test_positions_bound_max_tokens(make_model: MakeModel) -> None:
    directory = make_model()
    write(directory, "config.json", {"max_position_embeddings": 64, "hidden_size": 8})
    assert inspect(str(directory), {})[0].max_tokens == 64
    assert "64" in refused(directory, "VS001", max_tokens=65).hint


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"poling": "cls"}, 'Did you mean "pooling"?'),
        ({"zzz": 1}, "Use one of"),
        ({"pooling": "sum"}, "mean, cls, max"),
        ({"max_tokens": 0}, "from 1 to 131072"),
        ({"max_tokens": 131073}, "from 1 to 131072"),
        ({"max_tokens": "9"}, "whole number"),
        ({"max_tokens": True}, "whole number"),
        ({"max_tokens": 2}, "at least 3"),
        ({"normalize": 1}, "true or false"),
        ({"file": "../model.onnx"}, "relative"),
        ({"query_prefix": None}, "a string"),
    ],
)
def test_bad_options(tiny_model: Path, options: dict[str, object], hint: str) -> None:
    assert hint in refused(tiny_model, "VS001", **options).hint


@pytest.mark.parametrize("source", ["models/tiny", "https://example.org/model", "file://host/model", ""])
def test_bad_sources(source: str) -> None:
    refused(source, "VS001")


def test_missing_files(make_model: MakeModel) -> None:
    refused("/nonexistent/model", "VS104")
    directory = make_model()
    refused(directory / "model.onnx", "VS104")
    refused(directory, "VS104", file="other.onnx")
    (directory / "tokenizer.json").unlink()
    refused(directory, "VS104")
    (directory / "model.onnx").unlink()
    refused(directory, "VS104")


def test_broken_files(make_model: MakeModel) -> None:
    directory = make_model()
    original = (directory / "model.onnx").read_bytes()
    for content in (b"", b"not a model", original[: len(original) // 2]):
        (directory / "model.onnx").write_bytes(content)
        refused(directory, "VS102")
    (directory / "model.onnx").write_bytes(original)
    for content in (b"", b"{}", b"\xff\xfe"):
        (directory / "tokenizer.json").write_bytes(content)
        refused(directory, "VS102")
    (directory / "tokenizer.json").unlink()


def test_broken_configuration(make_model: MakeModel) -> None:
    directory = make_model()
    (directory / "modules.json").write_text("{", encoding="utf-8")
    assert "modules.json" in refused(directory, "VS102").detail


def test_unusable_models(make_model: MakeModel, tiny_model_nan: Path) -> None:
    assert "not finite" in refused(tiny_model_nan, "VS102").message
    directory = make_model()
    write(directory, "1_Pooling/config.json", {"word_embedding_dimension": 9, "pooling_mode_mean_tokens": True})
    assert "dimensions" in refused(directory, "VS102").message
    write(directory, "1_Pooling/config.json", {"pooling_mode_lasttoken": True, "pooling_mode_cls_token": True})
    assert "pooling" in refused(directory, "VS102").message
    assert "pooled" in refused(make_model(), "VS102", pooling="none").message
    dense = make_model()
    modules = json.loads((dense / "modules.json").read_text(encoding="utf-8"))
    write(dense, "modules.json", [*modules, {"type": "sentence_transformers.models.Dense", "path": "3_Dense"}])
    assert "Dense" in refused(dense, "VS102").detail


def pools_itself(directory: Path, *, mask: bool) -> Path:
    model = onnx.load(directory / "model.onnx")
    nodes = [helper.make_node("ReduceMean", ["last_hidden_state"], ["sentence"], axes=[1], keepdims=0)]
    if mask:
        nodes = [
            helper.make_node("Cast", ["attention_mask"], ["weights_f"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["weights_f", "last"], ["weights_3d"]),
            helper.make_node("Mul", ["last_hidden_state", "weights_3d"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "axis_1d"], ["sentence"], keepdims=0),
        ]
        model.graph.initializer.append(helper.make_tensor("axis_1d", TensorProto.INT64, [1], [1]))
    model.graph.node.extend(nodes)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("sentence", TensorProto.FLOAT, ["batch", 8]))
    onnx.save_model(model, directory / "model.onnx")
    return directory


def test_a_model_that_pools_itself(make_model: MakeModel, tiny_model: Path) -> None:
    directory = pools_itself(make_model(), mask=True)
    spec, probe = inspect(str(directory), {})
    assert spec.pooling == "none"
    assert probe == pytest.approx(inspect(str(tiny_model), {})[1], abs=1e-5)
    assert "pooled" in refused(directory, "VS102", pooling="cls").message


def test_a_model_that_averages_its_padding(make_model: MakeModel) -> None:
    assert "beside them" in refused(pools_itself(make_model(), mask=False), "VS102").message


def test_text_longer_than_the_model_can_read(make_model: MakeModel) -> None:
    directory = make_model(max_tokens=40)
    model = onnx.load(directory / "model.onnx")
    for entry in model.graph.input:
        entry.type.tensor_type.shape.dim[1].dim_value = 24
    onnx.save_model(model, directory / "model.onnx")
    spec, _ = inspect(str(directory), {})
    assert spec.max_tokens == 24


def test_unknown_inputs(make_model: MakeModel) -> None:
    directory = make_model()
    model = onnx.load(directory / "model.onnx")
    model.graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3]))
    model.graph.node.append(helper.make_node("Identity", ["pixels"], ["unused"]))
    model.graph.output.append(helper.make_tensor_value_info("unused", TensorProto.FLOAT, ["batch", 3]))
    onnx.save_model(model, directory / "model.onnx")
    assert "pixels" in refused(directory, "VS102").detail


def test_external_data_outside_the_directory(make_model: MakeModel) -> None:
    directory = make_model(external_data=True)
    content = (directory / "model.onnx").read_bytes()
    (directory / "model.onnx").write_bytes(content.replace(b"model.onnx_data", b"../../../secret"))
    assert "outside" in refused(directory, "VS102").message


def test_external_data_missing(make_model: MakeModel) -> None:
    directory = make_model(external_data=True)
    (directory / "model.onnx_data").unlink()
    refused(directory, "VS104")


def test_prompts_by_default_and_by_kind(make_model: MakeModel) -> None:
    directory = make_model()
    prompts = {"query": "ask: ", "all": "any: "}
    write(directory, "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": "all"})
    spec, _ = inspect(str(directory), {})
    assert (spec.query_prefix, spec.passage_prefix) == ("ask: ", "any: ")
    write(directory, "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": "none"})
    assert "default_prompt_name" in refused(directory, "VS102").message


def test_settings_that_are_not_followed_are_refused_by_name(make_model: MakeModel) -> None:
    directory = make_model()
    write(directory, "tokenizer_config.json", {"truncation_side": "left"})
    assert "truncation_side" in refused(directory, "VS102").message
    write(directory, "tokenizer_config.json", {})
    write(directory, "config_sentence_transformers.json", {"truncate_dim": "four"})
    assert "truncate_dim" in refused(directory, "VS102").message
    write(directory, "config_sentence_transformers.json", {"prompts": {"query": "q: "}})
    write(directory, "1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "include_prompt": False})
    assert "include_prompt" in refused(directory, "VS102").message


def test_the_first_dimensions_are_kept_and_scaled_again(make_model: MakeModel) -> None:
    directory = make_model()
    whole = np.array(inspect(str(directory), {})[1])
    expected = whole[:3] / np.linalg.norm(whole[:3])
    given, probe = inspect(str(directory), {"dimensions": 3})
    assert (given.dimensions, given.width) == (3, len(whole))
    np.testing.assert_allclose(probe, expected, atol=1e-6)
    write(directory, "config_sentence_transformers.json", {"truncate_dim": 3})
    configured, probe = inspect(str(directory), {})
    assert configured.sha256 == given.sha256
    np.testing.assert_allclose(probe, expected, atol=1e-6)
    assert inspect(str(directory), {"dimensions": len(whole)})[0].width is None
    assert refused(directory, "VS001", dimensions=len(whole) + 1).hint == f"Use at most {len(whole)}."
    refused(directory, "VS001", dimensions=0)


def test_a_git_lfs_pointer_is_called_one(make_model: MakeModel) -> None:
    directory = make_model()
    (directory / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    error = refused(directory, "VS102")
    assert error.message == "model file is a Git LFS pointer"
    assert "lfs pull" in error.hint


def test_a_model_of_lowercase_texts_lowers_them(make_model: MakeModel) -> None:
    directory = make_model()
    write(directory, "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": True})
    spec, _ = inspect(str(directory), {})
    model = Model.load(spec, threads=1)
    upper, lower = model.embed(["A Text", "a text"])
    assert np.allclose(upper, lower)


@pytest.mark.parametrize("padded", ["right", "left"])
def test_pooling_is_that_of_sentence_transformers(padded: str) -> None:
    hidden = np.random.default_rng(1).standard_normal((2, 4, 3)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=np.int64)
    if padded == "left":
        mask = mask[:, ::-1]
    for row in range(2):
        tokens = hidden[row][mask[row] > 0].astype(np.float64)
        steps = np.arange(1, len(tokens) + 1)[:, None]
        expected = {
            "lasttoken": tokens[-1],
            "mean_sqrt_len": tokens.sum(axis=0) / np.sqrt(len(tokens)),
            "weightedmean": (tokens * steps).sum(axis=0) / steps.sum(),
            "mean": tokens.mean(axis=0),
            "max": tokens.max(axis=0),
        }
        for name, vector in expected.items():
            assert np.allclose(pool(hidden, mask, name)[row], vector, atol=1e-5), name


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("pooling_mode_lasttoken", "lasttoken"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"),
    ],
)
def test_the_configured_pooling_is_used(make_model: MakeModel, flag: str, name: str) -> None:
    directory = make_model()
    write(directory, "1_Pooling/config.json", {"word_embedding_dimension": 8, flag: True})
    spec, _ = inspect(str(directory), {})
    assert spec.pooling == name
