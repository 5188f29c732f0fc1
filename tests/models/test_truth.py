"""The vectors are the model's: compared with a computation that shares no code with the engine."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fix_models import package_texts
from vsync_engine.models.embedder import Model, inspect

ODD_TEXTS = [
    "",
    " ",
    "\t\n",
    "a",
    "Grüße aus Köln, naïve façade, Ελληνικά, кириллица, עברית, العربية",
    "漢字かな交じり文と한국어",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 emoji",
    "e\u0301 \u200b\u200d\ufeff \u202eright to left",
    "\U0010ffff \ufffd",
    "word " * 3000,
]


def mixed_texts(count: int) -> list[str]:
    """Return real texts, every tenth of them whole and the others cut to a usual length."""
    return [text if i % 10 == 0 else text[:160] for i, text in enumerate(package_texts(count))]


@pytest.fixture(scope="module")
def model(minilm: Path) -> Model:
    spec, _ = inspect(str(minilm), {})
    return Model.load(spec, threads=2)


def reference(directory: Path, texts: list[str], max_tokens: int) -> NDArray[np.float32]:
    """Embed one text at a time with mean pooling, as the model's authors describe it."""
    session = onnxruntime.InferenceSession(str(directory / "model.onnx"), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    vectors: list[NDArray[np.float32]] = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        hidden = np.asarray(session.run(["last_hidden_state"], feeds)[0])
        mean = hidden[0].mean(axis=0)
        vectors.append(mean / np.sqrt((mean * mean).sum()))
    return np.array(vectors)


def test_real_texts_against_the_reference(model: Model, minilm: Path) -> None:
    texts = [*mixed_texts(200), *ODD_TEXTS]
    expected = reference(minilm, texts, 256)
    cosines = (model.embed(texts) * expected).sum(axis=1)
    assert cosines.min() >= 0.9999


def test_batched_equals_single(model: Model) -> None:
    texts = [*mixed_texts(20), *ODD_TEXTS]
    single = np.concatenate([model.embed([text]) for text in texts])
    for budget in (64, 512, 4096):
        assert np.abs(model.embed(texts, token_budget=budget) - single).max() <= 1e-5


def test_specification_of_minilm(model: Model) -> None:
    spec = model.spec
    assert (spec.dimensions, spec.max_tokens, spec.pooling, spec.normalize) == (384, 256, "mean", True)
    assert sorted(spec.files) == ["model.onnx", "tokenizer.json"]


def test_meaning(model: Model) -> None:
    cat, kitten, kernel = model.embed(["a cat on the sofa", "a kitten on the couch", "compile the Linux kernel"])
    assert cat @ kitten > 0.6 > 0.3 > cat @ kernel


def test_a_megabyte(model: Model) -> None:
    spaced, unbroken, ideographs = "lorem ipsum " * 87_382, "x" * (1 << 20) + " end", "漢字" * 180_000
    encoded = model.encode([spaced, unbroken, ideographs], "passage")
    assert [text.truncated for text in encoded] == [True, False, True]
    assert [len(text.ids) for text in encoded] == [256, 4, 256]
    beginning = model.encode([spaced[:4000], ideographs[:2000]], "passage")
    assert np.array_equal(encoded[0].ids, beginning[0].ids)
    assert np.array_equal(encoded[2].ids, beginning[1].ids)


@pytest.mark.soak
def test_memory_stays_level_over_twenty_thousand_texts(model: Model) -> None:
    def resident() -> int:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * 4096

    random = np.random.default_rng(7)
    words = " ".join(package_texts(200)).split()
    lengths = random.geometric(1 / 20, size=20_000).clip(1, 250)
    lengths[::500] = 250
    texts = [" ".join(random.choice(words, size=length)) for length in lengths]
    model.embed(texts[:2000])
    before = resident()
    for start in range(2000, 20_000, 1000):
        model.embed(texts[start : start + 1000])
    assert resident() - before < 32 << 20
