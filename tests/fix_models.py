"""Model directories for the tests: tiny ones made here, with weights that can be checked by hand, and real ones."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from vsync_admin import catalogue

SPECIALS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
POISON = "poisonpill"
NAN = "nanpill"
TINY_MAX_TOKENS = 2048
POSITION_WEIGHT = 0.01


def write_tiny_model(
    directory: Path,
    *,
    dimensions: int = 8,
    seed: int = 1,
    pooling: str = "mean",
    normalize: bool = True,
    max_tokens: int = TINY_MAX_TOKENS,
    token_type_ids: bool = True,
    poison: bool = False,
    nan: bool = False,
    external_data: bool = False,
    effort: int = 0,
) -> Path:
    """Write a model of bytes into a directory that every user can read, and return it.

    A token's vector is its row of `tiny_weights` times (1 + 0.01 * position). With `poison`, the word "poisonpill"
    makes the model raise and "nanpill" makes the vector NaN; with `nan` every vector is NaN. effort: products of
    512 x 512 matrices a batch, which take their time and change nothing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer(poison=poison)
    rows = tokenizer.get_vocab_size()
    weights = tiny_weights(dimensions, seed, rows)
    if poison:
        weights[tokenizer.token_to_id(NAN)] = np.nan
        weights = weights[: tokenizer.token_to_id(POISON)]
    if nan:
        weights[:] = np.nan
    tokenizer.save(str(directory / "tokenizer.json"))
    network = _network(weights, token_type_ids=token_type_ids, effort=effort)
    _save(network, directory / "model.onnx", external_data=external_data)
    _write_configuration(directory, dimensions, pooling, normalize, max_tokens)
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def package_texts(count: int) -> list[str]:
    """Return the names and descriptions of packages this machine knows, as real texts of mixed length."""
    stanzas = Path("/var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n")
    if len(stanzas) <= count and shutil.which("apt-cache"):
        # a bare machine has installed few
        printed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
        known = printed.split("\n\n")
        stanzas += known[:: max(1, len(known) // (2 * count))]
    pattern = re.compile(r"^Package: (.*)$.*?^Description(?:-en)?: (.*(?:\n .*)*)", re.M | re.S)
    fields = [pattern.search(text) for text in stanzas]
    texts = [f"{match[1]}: {match[2]}" for match in fields if match]
    assert len(texts) >= count, "the machine's package catalogue is too small: run apt-get update"
    return texts[:count]


def tiny_weights(dimensions: int, seed: int, rows: int) -> NDArray[np.float32]:
    """Return the token vectors (rows, dimensions) of a tiny model."""
    return np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)


def tiny_tokenizer(*, poison: bool = False) -> Tokenizer:
    """Return a tokenizer of ASCII characters and bytes, so that every text has its own tokens, in [CLS] and [SEP]."""
    tokens = [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)), *(chr(code) for code in range(32, 127))]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    if poison:
        tokenizer.add_tokens([AddedToken(NAN, normalized=False), AddedToken(POISON, normalized=False)])
    return tokenizer


def _network(weights: NDArray[np.float32], *, token_type_ids: bool, effort: int) -> onnx.ModelProto:
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if token_type_ids else [])]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
    hidden = ["batch", "sequence", weights.shape[1]]
    constants = {
        "weights": weights,
        "axis": np.array(1, dtype=np.int64),
        "step": np.array(POSITION_WEIGHT, dtype=np.float32),
        "one": np.array(1, dtype=np.float32),
        "last": np.array([2], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["vectors"]),
        helper.make_node("CumSum", ["attention_mask", "axis"], ["positions"], exclusive=1),
        helper.make_node("Cast", ["positions"], ["positions_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["positions_f", "step"], ["shift"]),
        helper.make_node("Add", ["shift", "one"], ["scale"]),
        helper.make_node("Unsqueeze", ["scale", "last"], ["scale_3d"]),
        helper.make_node("Mul", ["vectors", "scale_3d"], ["last_hidden_state"]),
    ]
    if token_type_ids:
        nodes[-1].output[0] = "untyped"
        nodes += [
            helper.make_node("Cast", ["token_type_ids"], ["types_f"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["types_f", "last"], ["types_3d"]),
            helper.make_node("Add", ["untyped", "types_3d"], ["last_hidden_state"]),
        ]
    if effort:
        nodes[-1].output[0] = "effortless"
        nodes += _effort(effort)
        constants |= {"square": np.array([512, 512], dtype=np.int64), "all": np.array([0, 1], dtype=np.int64)}
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, hidden)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _effort(products: int) -> list[onnx.NodeProto]:
    """Multiply matrices of zeros that are zeros only at run time, and add their sum."""
    zeros = [
        helper.make_node("Sub", ["scale", "scale"], ["no_scale"]),
        helper.make_node("ReduceMax", ["no_scale"], ["zero"], keepdims=0),
        helper.make_node("Expand", ["zero", "square"], ["product_0"]),
    ]
    chain = [helper.make_node("MatMul", [f"product_{i}", "product_0"], [f"product_{i + 1}"]) for i in range(products)]
    added = [
        helper.make_node("ReduceSum", [f"product_{products}", "all"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["effortless", "nothing"], ["last_hidden_state"]),
    ]
    return zeros + chain + added


def _save(model: onnx.ModelProto, path: Path, *, external_data: bool) -> None:
    if external_data:
        onnx.save_model(model, path, save_as_external_data=True, location="model.onnx_data", size_threshold=64)
    else:
        onnx.save_model(model, path)


def _write_configuration(directory: Path, dimensions: int, pooling: str, normalize: bool, max_tokens: int) -> None:
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling")]
    if normalize:
        modules.append(("2", "2_Normalize", "Normalize"))
    listed = [
        {"idx": i, "name": name, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (name, path, kind) in enumerate(modules)
    ]
    flags = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens"}
    pools: dict[str, Any] = {flag: name == pooling for name, flag in flags.items()}
    (directory / "1_Pooling").mkdir(exist_ok=True)
    written = {
        "modules.json": listed,
        "1_Pooling/config.json": {"word_embedding_dimension": dimensions, **pools},
        "sentence_bert_config.json": {"max_seq_length": max_tokens, "do_lower_case": False},
    }
    for name, value in written.items():
        (directory / name).write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture(scope="session")
def models_directory() -> Iterator[Path]:
    """Give a directory that the server's user can read, for models of this test run."""
    directory = Path(tempfile.mkdtemp(prefix="vsync-models-", dir="/var/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def make_model(models_directory: Path) -> Iterator[Callable[..., Path]]:
    """Give a function that writes a tiny model of its own for one test; arguments as `write_tiny_model`."""
    made: list[Path] = []

    def make(**options: Any) -> Path:
        directory = Path(tempfile.mkdtemp(prefix="own-", dir=models_directory))
        made.append(directory)
        return write_tiny_model(directory, **options)

    yield make
    for directory in made:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def tiny_model(models_directory: Path) -> Path:
    """Give the directory of a model of 8 dimensions: every text has a vector of its own, at little cost."""
    return write_tiny_model(models_directory / "tiny")


@pytest.fixture(scope="session")
def tiny_model_other(models_directory: Path) -> Path:
    """Give the same as tiny_model with other weights: the next revision."""
    return write_tiny_model(models_directory / "tiny-other", seed=2)


@pytest.fixture(scope="session")
def tiny_model_slow(models_directory: Path) -> Path:
    """Give the same as tiny_model_other, but each batch takes milliseconds."""
    return write_tiny_model(models_directory / "tiny-slow", seed=2, effort=1)


@pytest.fixture(scope="session")
def tiny_model_16(models_directory: Path) -> Path:
    """Give a model of 16 dimensions."""
    return write_tiny_model(models_directory / "tiny-16", dimensions=16)


@pytest.fixture(scope="session")
def tiny_model_nan(models_directory: Path) -> Path:
    """Give a model whose every vector is NaN."""
    return write_tiny_model(models_directory / "tiny-nan", nan=True)


@pytest.fixture(scope="session")
def tiny_model_poison(models_directory: Path) -> Path:
    """Give a model that raises on the word "poisonpill" and answers "nanpill" with NaN."""
    return write_tiny_model(models_directory / "tiny-poison", poison=True)


@pytest.fixture(scope="session")
def tiny_model_without_types(models_directory: Path) -> Path:
    """Give tiny_model without the input token_type_ids; its vectors are the same."""
    return write_tiny_model(models_directory / "tiny-without-types", token_type_ids=False)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Give the directory of all-MiniLM-L6-v2, fetched as `vsync model add` fetches it and kept for the next run."""
    return catalogue.locate("minilm")


@pytest.fixture(scope="session")
def paraphrase() -> Path:
    """Give the directory of paraphrase-MiniLM-L3-v2: as many dimensions as all-MiniLM-L6-v2, and another space."""
    return catalogue.locate("paraphrase-minilm-l3")
