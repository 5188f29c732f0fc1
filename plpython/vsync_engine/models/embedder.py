"""A registered model at work: verified files, tokens, batches by token budget, vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vsync_engine.foundation.errors import INVALID_ARGUMENT, MODEL_UNUSABLE, EngineError
from vsync_engine.models import files, weight_cache
from vsync_engine.models.network import Network, reason, session_of
from vsync_engine.models.pooling import MEAN, NONE, normalised, pool
from vsync_engine.models.runtime import np, return_freed_memory, signals_blocked, tokenizers
from vsync_engine.models.spec import TOKENIZER, Layout, ModelSpec, read_layout, spec_of
from vsync_engine.models.watchdog import heed_cancel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_TOKEN_BUDGET",
    "PROBE",
    "Encoded",
    "Kind",
    "Model",
    "ModelSpec",
    "inspect",
    "plan_batches",
    "well_formed",
]

Kind = Literal["passage", "query"]

PROBE = "The quick brown fox jumps over the lazy dog."
DEFAULT_TOKEN_BUDGET = 512
_TOKENISED_TOGETHER = 512  # texts
_LONGEST = 1 << 22  # characters of a text that are looked at, however few tokens they make
_LONG = 32  # characters for each token the model reads; of a longer text only the beginning is tokenised
_PROBED_TOKENS = 1024  # attention is quadratic: a longer limit is believed
_STEADY = 0.95  # cosine between a text's vectors, alone and beside a longer text
_MOST_DIMENSIONS = 16_000  # of pgvector's type


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A text as the model reads it: token ids with special tokens and prefix, and whether something was cut off."""

    ids: NDArray[np.int64]
    truncated: bool


class Model:
    """A loaded model. Make it with `Model.load`; one inference at a time, threads work inside it."""

    def __init__(self, spec: ModelSpec, network: Network, tokenizer: tokenizers.Tokenizer) -> None:
        self.spec = spec
        self._network = network
        self._tokenizer = tokenizer
        self._signatures: dict[str, files.Signature] = {}
        self._padding_id = _padding_id(tokenizer)
        _limit(tokenizer, spec)

    @classmethod
    def load(cls, spec: ModelSpec, *, threads: int, home: Path | None = None) -> Model:
        """Read the files, compare each with its sha256, and build the session from the very bytes that were compared.

        threads: of one inference, 0 for one a core. home: where copies of networks lie that sessions share, or None;
        see `sharing.load`. Raises VS102, VS103, VS104.
        """
        tokenizer = files.read_verified(spec.path(TOKENIZER), spec.files[TOKENIZER])
        loaded = weight_cache.load(spec, threads=threads, home=home)
        model = cls(spec, loaded.network, _tokenizer(tokenizer.content))
        model._signatures = {TOKENIZER: tokenizer.signature, **loaded.signatures}
        return_freed_memory()
        return model

    def verify_unchanged(self) -> None:
        """Raise VS103 or VS104 when a file is not the one that was loaded; a stat a file while none was touched."""
        for name, known in self._signatures.items():
            now = files.current_signature(self.spec.path(name), self.spec.files[name], known)
            self._signatures[name] = now

    @cached_property
    def tokenizer(self) -> tokenizers.Tokenizer:
        """The model's tokenizer without truncation and padding, as chunking needs it."""
        tokenizer = tokenizers.Tokenizer.from_str(self._tokenizer.to_str())
        tokenizer.no_truncation()
        return tokenizer

    def encode(self, texts: Sequence[str], kind: Kind) -> list[Encoded]:
        """Turn texts, with the prefix of their kind, into token ids, at most max_tokens each, in the order given."""
        prefix = self.spec.query_prefix if kind == "query" else self.spec.passage_prefix
        if self.spec.lowercase:
            prefix, texts = prefix.lower(), [text.lower() for text in texts]
        encoded: list[Encoded] = []
        for start in range(0, len(texts), _TOKENISED_TOGETHER):
            heed_cancel()
            encoded.extend(self._encode([prefix + text for text in texts[start : start + _TOKENISED_TOGETHER]]))
        return encoded

    def _encode(self, texts: list[str]) -> list[Encoded]:
        valid = [well_formed(text) for text in texts]
        begun = [_beginning(text, self.spec.max_tokens) for text in valid]
        with signals_blocked():
            encodings = self._tokenizer.encode_batch_fast(begun)
        for i, encoding in enumerate(encodings):
            if len(begun[i]) < len(valid[i]) and len(encoding.overflowing) < 2:
                heed_cancel()
                encodings[i] = self._tokenizer.encode(valid[i][:_LONGEST])
        longer = [len(text) > _LONGEST for text in valid]
        return [
            Encoded(np.array(e.ids, dtype=np.int64), bool(e.overflowing) or more)
            for e, more in zip(encodings, longer, strict=True)
        ]

    def run(self, batch: Sequence[Encoded]) -> NDArray[np.float32]:
        """Return the vectors of a batch, (n, dimensions) in its order; VS102 when the model fails or is not finite."""
        if not batch:
            return np.empty((0, self.spec.dimensions), dtype=np.float32)
        longest = self._network.length or max(1, *(len(text.ids) for text in batch))
        ids = np.full((len(batch), longest), self._padding_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(batch):
            ids[row, : len(text.ids)] = text.ids
            mask[row, : len(text.ids)] = 1
        vectors = pool(self._network.infer(ids, mask), mask, self.spec.pooling)
        width = self.spec.width or self.spec.dimensions
        if vectors.shape[1] != width:
            raise EngineError(
                "model answers with another number of dimensions",
                sqlstate=MODEL_UNUSABLE,
                detail=f"Its vectors have {vectors.shape[1]} dimensions, registered were {width}.",
                hint="Register the directory again.",
            )
        if not np.isfinite(vectors).all():
            raise EngineError(
                "model answers with numbers that are not finite",
                sqlstate=MODEL_UNUSABLE,
                detail=f"{int((~np.isfinite(vectors).all(axis=1)).sum())} of {len(batch)} texts are affected.",
                hint="Try the texts one at a time with vsync.embed to find the one it fails on.",
            )
        kept = vectors[:, : self.spec.dimensions]
        return normalised(kept) if self.spec.normalize else np.ascontiguousarray(kept)

    def embed(
        self, texts: Sequence[str], kind: Kind = "passage", token_budget: int = DEFAULT_TOKEN_BUDGET
    ) -> NDArray[np.float32]:
        """Return the vectors of texts, (n, dimensions) in the order given; token_budget as for `plan_batches`."""
        encoded = self.encode(texts, kind)
        vectors = np.empty((len(texts), self.spec.dimensions), dtype=np.float32)
        for batch in plan_batches([len(text.ids) for text in encoded], token_budget):
            vectors[batch] = self.run([encoded[i] for i in batch])
        return vectors


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group texts of like length into batches; return their positions, the shortest texts first.

    A batch padded to its longest text holds at most token_budget tokens; a text above that stands alone.
    """
    batches: list[list[int]] = []
    room = 0
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or (len(batches[-1]) + 1) * lengths[i] > room:
            batches.append([])
            room = token_budget
        batches[-1].append(i)
    return batches


def inspect(source: str, options: Mapping[str, object], *, threads: int = 0) -> tuple[ModelSpec, list[float]]:
    """Read, hash, load and try a model directory; return its specification and the vector of `PROBE` as a passage.

    source: file:///dir or an absolute path. options: the keys of `layout.OPTION_TYPES`. threads: 0 for one a core.
    Raises VS001 for a bad argument, VS102 for a model that cannot be used, VS104 for missing files.
    """
    layout = read_layout(source, options)
    contents, hashes = _read_files(layout)
    pooled = layout.pooling == NONE if "pooling" in options else None
    session = session_of(contents[layout.file], _external(contents, layout.file), threads=threads)
    network = Network(session, pooled=pooled)
    pooling = NONE if network.pooled else layout.pooling or MEAN
    if network.length is not None:
        layout = replace(layout, max_tokens=min(layout.max_tokens, network.length))
    tokenizer = _tokenizer(contents[TOKENIZER])
    width = _width(layout, network, tokenizer)
    model = Model(spec_of(layout, hashes, width=width, pooling=pooling), network, tokenizer)
    return model.spec, _probe(model)


def _read_files(layout: Layout) -> tuple[dict[str, bytes], dict[str, str]]:
    read = {name: files.read(layout.directory / name) for name in (layout.file, TOKENIZER)}
    folder = Path(layout.file).parent
    for name in files.external_data_names(read[layout.file].content):
        read[str(folder / name)] = files.read(layout.directory / folder / name)
    return {name: f.content for name, f in read.items()}, {name: f.sha256 for name, f in read.items()}


def _external(contents: Mapping[str, bytes], file: str) -> dict[str, bytes]:
    folder = Path(file).parent
    return {str(Path(name).relative_to(folder)): c for name, c in contents.items() if name not in {file, TOKENIZER}}


def _tokenizer(content: bytes) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_buffer(content)
    except Exception as error:
        raise EngineError(
            "tokenizer of the model cannot be loaded",
            sqlstate=MODEL_UNUSABLE,
            detail=f"{TOKENIZER}: {reason(error)}",
            hint="Use the tokenizer.json that belongs to the model, in the format of the tokenizers library.",
        ) from error


def _padding_id(tokenizer: tokenizers.Tokenizer) -> int:
    names = ("[PAD]", "<pad>", "<|endoftext|>")
    known = [tokenizer.token_to_id(name) for name in names]
    return next((token for token in known if token is not None), 0)


def _limit(tokenizer: tokenizers.Tokenizer, spec: ModelSpec) -> None:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    needed = max(len(tokenizer.encode(prefix).ids) for prefix in (spec.query_prefix, spec.passage_prefix))
    if needed >= spec.max_tokens:
        raise EngineError(
            "max_tokens leaves no room for text",
            sqlstate=INVALID_ARGUMENT,
            detail=f"max_tokens is {spec.max_tokens}; special tokens and prefix take {needed}.",
            hint=f"Use at least {needed + 1}, or a shorter prefix.",
        )
    tokenizer.enable_truncation(spec.max_tokens)  # pyright: ignore[reportUnknownMemberType]


def well_formed(text: str) -> str:
    """Replace lone surrogates, which have no UTF-8 and which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _beginning(text: str, max_tokens: int) -> str:
    """Cut a text that is far longer than the model reads, at white space where there is some."""
    limit = max_tokens * _LONG
    if len(text) <= 2 * limit:
        return text
    cut = max(text.rfind(space, limit // 2, limit) for space in " \n\t")
    return text[: cut if cut > 0 else limit]


def _width(layout: Layout, network: Network, tokenizer: tokenizers.Tokenizer) -> int:
    ids = np.array([tokenizer.encode(PROBE).ids[: layout.max_tokens]], dtype=np.int64)
    mask = np.ones_like(ids)
    if network.length is not None:
        space = ((0, 0), (0, network.length - ids.shape[1]))
        ids, mask = np.pad(ids, space), np.pad(mask, space)
    dimensions = network.infer(ids, mask).shape[-1]
    if layout.unsupported and not network.pooled:
        raise EngineError(
            "model has layers outside its ONNX file",
            sqlstate=MODEL_UNUSABLE,
            detail=f"modules.json lists {', '.join(layout.unsupported)}.",
            hint="Export the whole model to ONNX and register it with pooling none.",
        )
    if not network.pooled and layout.width not in {None, dimensions}:
        raise EngineError(
            "model has other dimensions than its configuration says",
            sqlstate=MODEL_UNUSABLE,
            detail=f"Its output has {dimensions} dimensions, the configuration says {layout.width}.",
            hint="Check that the ONNX file and the configuration files belong to the same model.",
        )
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise EngineError(
            "model has more dimensions than a vector can hold",
            sqlstate=MODEL_UNUSABLE,
            detail=f"Its output has {dimensions} dimensions; vector holds 1 to {_MOST_DIMENSIONS}.",
            hint="Use a model with fewer dimensions.",
        )
    return dimensions


def _probe(model: Model) -> list[float]:
    alone = model.embed([PROBE])[0]
    if not alone.any():
        raise EngineError(
            "model answers with zeros",
            sqlstate=MODEL_UNUSABLE,
            detail=f'The vector of "{PROBE}" is all zeros.',
            hint="Check that the ONNX file and tokenizer.json belong to the same model.",
        )
    repeats = model.spec.max_tokens if model.spec.max_tokens <= _PROBED_TOKENS else 8
    pair = model.encode([PROBE, " ".join([PROBE] * repeats)], "passage")
    try:
        beside, _ = model.run(pair)
    except EngineError as error:
        raise EngineError(
            f"model fails on a text of {len(pair[1].ids)} tokens",
            sqlstate=MODEL_UNUSABLE,
            detail=f"{error.message}: {error.detail}",
            hint="""Say how much it reads, for instance with options => '{"max_tokens": 256}'.""",
        ) from error
    cosine = float(alone @ beside) / float(np.linalg.norm(alone) * np.linalg.norm(beside))
    if cosine < _STEADY:
        raise EngineError(
            "vectors of the model depend on the texts beside them",
            sqlstate=MODEL_UNUSABLE,
            detail=f"The probe alone and beside a longer text have a cosine of {cosine:.4f}.",
            hint="Export the model with an attention mask, and without pooling over the padding.",
        )
    return alone.tolist()
