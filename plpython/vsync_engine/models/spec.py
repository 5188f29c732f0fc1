"""What a model directory says about itself: its files, pooling, length and prefixes (sentence-transformers layout)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from vsync_engine.foundation.errors import (
    INVALID_ARGUMENT,
    MODEL_FILE_MISSING,
    MODEL_UNUSABLE,
    EngineError,
    unknown_option,
)
from vsync_engine.models import files
from vsync_engine.models.pooling import CLS, LAST, MAX, MEAN, MEAN_SQRT, POOLINGS, WEIGHTED

OPTION_TYPES: Mapping[str, type] = {
    "dimensions": int,
    "file": str,
    "max_tokens": int,
    "normalize": bool,
    "passage_prefix": str,
    "pooling": str,
    "query_prefix": str,
}
TOKENIZER = "tokenizer.json"
DEFAULT_MAX_TOKENS = 512
_ONNX_FILES = ("model.onnx", "onnx/model.onnx")
_MOST_TOKENS = 131_072
_UNBOUNDED = 1_000_000  # tokenizer_config.json writes 1e30 for "no limit"
_JSON_TYPES = {str: "a string", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True)
class ModelSpec:
    """A registered model: where its files are, what they must hash to, and how a text becomes a vector.

    directory: absolute path. file: the ONNX file, relative to it. files: relative path -> sha256 in hex, for the ONNX
    file, its external data and tokenizer.json. sha256: of all that decides a vector, so equal means equal vectors.
    max_tokens: what the model reads of a text, special tokens and prefix included. pooling: one of `POOLINGS`.
    lowercase: texts are, before the tokenizer sees them. width: dimensions of the model's own vectors where only the
    first `dimensions` of them are kept (Matryoshka), else None.
    """

    directory: str
    file: str
    files: dict[str, str]
    sha256: str
    dimensions: int
    max_tokens: int
    pooling: str
    normalize: bool
    query_prefix: str
    passage_prefix: str
    lowercase: bool = False
    width: int | None = None

    def to_json(self) -> str:
        """Return the specification as JSON text that `from_json` reads back."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, value: str | bytes | Mapping[str, Any]) -> ModelSpec:
        """Build a specification from JSON text or from a mapping already parsed."""
        return cls(**(json.loads(value) if isinstance(value, str | bytes) else value))

    def path(self, name: str) -> Path:
        """Return the absolute path of one of `files`."""
        return Path(self.directory) / name


@dataclass(frozen=True)
class Layout:
    """What a directory and the options say before the model was run. None: not said.

    positions: the longest input the configuration knows of. width: dimensions of a token's vector by the configuration.
    dimensions: how many of the vector's dimensions are kept.
    unsupported: names of sentence-transformers modules that vsync does not run.
    """

    directory: Path
    file: str
    max_tokens: int
    pooling: str | None
    normalize: bool
    query_prefix: str
    passage_prefix: str
    positions: int | None
    width: int | None
    unsupported: tuple[str, ...]
    lowercase: bool = False
    dimensions: int | None = None


def spec_of(layout: Layout, hashes: dict[str, str], *, width: int, pooling: str) -> ModelSpec:
    """Make the specification of a layout whose files hash to `hashes` and whose output has been seen to be so wide."""
    dimensions = layout.dimensions or width
    if dimensions > width:
        raise EngineError(
            "model has fewer dimensions",
            sqlstate=INVALID_ARGUMENT,
            detail=f"{dimensions} are to be kept; its output has {width}.",
            hint=f"Use at most {width}.",
        )
    decisive = {
        "dimensions": dimensions,
        "file": layout.file,
        "files": dict(sorted(hashes.items())),
        "max_tokens": layout.max_tokens,
        "normalize": layout.normalize,
        "passage_prefix": layout.passage_prefix,
        "pooling": pooling,
        "query_prefix": layout.query_prefix,
        **({"lowercase": True} if layout.lowercase else {}),
        **({"width": width} if dimensions < width else {}),
    }
    sha256 = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return ModelSpec(directory=str(layout.directory), sha256=sha256, **cast("dict[str, Any]", decisive))


def read_layout(source: str, options: Mapping[str, object]) -> Layout:
    """Read a model directory; what `options` say wins over the configuration files, and those over the defaults.

    Raises VS001 for a bad source or option, VS102 for a layout that cannot be used, VS104 for missing files.
    """
    check_options(options)
    directory = directory_of(source)
    file = _onnx_file(directory, options)
    found = _configured(directory, file)
    if "max_tokens" in options and found.positions is not None and cast("int", options["max_tokens"]) > found.positions:
        raise EngineError(
            "max_tokens is more than the model reads",
            sqlstate=INVALID_ARGUMENT,
            detail=f"max_tokens is {options['max_tokens']}; config.json allows {found.positions} positions.",
            hint=f"Use at most {found.positions}.",
        )
    given = {key: value for key, value in options.items() if key != "file"}
    return replace(found, **cast("dict[str, Any]", given))


def check_options(options: Mapping[str, object]) -> None:
    """Raise VS001 for an option that does not exist or has a value of the wrong type or range."""
    for key, value in options.items():
        wanted = OPTION_TYPES.get(key)
        if wanted is None:
            raise unknown_option(key, OPTION_TYPES, "model")
        if type(value) is not wanted:
            raise _bad_option(key, value, _JSON_TYPES[wanted])
    if options.get("pooling", MEAN) not in POOLINGS:
        raise _bad_option("pooling", options["pooling"], f"one of {', '.join(POOLINGS)}")
    if cast("int", options.get("dimensions", 1)) < 1:
        raise _bad_option("dimensions", options["dimensions"], "at least 1")
    if not 1 <= cast("int", options.get("max_tokens", 1)) <= _MOST_TOKENS:
        raise _bad_option("max_tokens", options["max_tokens"], f"from 1 to {_MOST_TOKENS}")
    if "file" in options and not files.is_inside(cast("str", options["file"])):
        raise _bad_option("file", options["file"], "a path relative to the model's directory, without '..'")


def directory_of(source: str) -> Path:
    """Return the directory that `file:///dir` or an absolute path names; VS001 or VS104 otherwise."""
    path = Path(source)
    if "://" in source:
        parts = urlsplit(source)
        if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
            raise _bad_source(source)
        path = Path(unquote(parts.path))
    if not path.is_absolute() or "\0" in source:
        raise _bad_source(source)
    try:
        next(path.iterdir(), None)
    except OSError as error:
        raise EngineError(
            "model directory is missing or unreadable",
            sqlstate=MODEL_FILE_MISSING,
            detail=f"{path}: {(error.strerror or str(error)).lower()}.",
            hint="Name a directory on the server that the server's user can read.",
        ) from error
    return path


def _onnx_file(directory: Path, options: Mapping[str, object]) -> str:
    if "file" in options:
        return cast("str", options["file"])
    for name in _ONNX_FILES:
        if os.access(directory / name, os.F_OK):
            return name
    others = sorted(str(path.relative_to(directory)) for path in directory.rglob("*.onnx"))
    if others:
        raise EngineError(
            "model directory has no model.onnx",
            sqlstate=MODEL_UNUSABLE,
            detail=f"{directory} has {', '.join(others)}.",
            hint=f"""Choose one with options => '{{"file": "{others[0]}"}}'.""",
        )
    raise EngineError(
        "model directory has no ONNX file",
        sqlstate=MODEL_FILE_MISSING,
        detail=f"Neither {' nor '.join(_ONNX_FILES)} exists in {directory}.",
        hint="Export the model to ONNX, or name a directory that holds one.",
    )


def _configured(directory: Path, file: str) -> Layout:
    modules = _modules(directory)
    by_type = dict(modules)
    model = _json(directory / "config.json")
    sentence = _json(directory / "sentence_bert_config.json") or _json(
        directory / by_type.get("Transformer", "0_Transformer") / "sentence_bert_config.json"
    )
    tokenizer = _json(directory / "tokenizer_config.json")
    pooling = _json(directory / by_type.get("Pooling", "1_Pooling") / "config.json")
    said_of_all = _json(directory / "config_sentence_transformers.json")
    query_prefix, passage_prefix = _prompts(said_of_all)
    _refuse(said_of_all, tokenizer, pooling, prompted=bool(query_prefix or passage_prefix))
    positions = _positions(model)
    lengths = (_whole(sentence.get("max_seq_length")), _whole(tokenizer.get("model_max_length")), positions)
    said = next((length for length in lengths if length is not None), DEFAULT_MAX_TOKENS)
    return Layout(
        directory=directory,
        file=file,
        max_tokens=min(said, positions or said),
        pooling=_pooling(pooling),
        normalize="Normalize" in by_type or not modules,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
        positions=positions,
        width=_whole(pooling.get("word_embedding_dimension")) or _whole(model.get("hidden_size")),
        unsupported=tuple(kind for kind, _ in modules if kind not in {"Transformer", "Pooling", "Normalize"}),
        lowercase=sentence.get("do_lower_case") is True,
        dimensions=_whole(said_of_all.get("truncate_dim")),
    )


def _prompts(config: Mapping[str, object]) -> tuple[str, str]:
    """The prefixes of a query and of a passage; what has no prompt of its own gets the default one."""
    prompts = _object(config.get("prompts"))
    default = config.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise _unusable("default_prompt_name", default, "prompts has no prompt of that name", "Add the prompt")
    other = prompts.get(str(default)) or ""
    return str(prompts.get("query") or other), str(prompts.get("passage") or prompts.get("document") or other)


def _refuse(
    config: Mapping[str, object], tokenizer: Mapping[str, object], pooling: Mapping[str, object], *, prompted: bool
) -> None:
    """VS102 for settings that would change the vectors and are not followed."""
    if config.get("truncate_dim") is not None and _whole(config["truncate_dim"]) is None:
        raise _unusable("truncate_dim", config["truncate_dim"], "it is no number of dimensions", "Set it to one")
    if tokenizer.get("truncation_side", "right") != "right":
        side = tokenizer["truncation_side"]
        raise _unusable("truncation_side", side, "long texts lose their end, not their beginning", 'Set it to "right"')
    if pooling.get("include_prompt") is False and prompted:
        raise _unusable("include_prompt", False, "the prompt counts in pooling", "Take the prompts away")


def _unusable(name: str, value: object, fact: str, hint: str) -> EngineError:
    return EngineError(
        f'model configuration "{name}" is not supported',
        sqlstate=MODEL_UNUSABLE,
        detail=f"{name} is {json.dumps(value)}: {fact}.",
        hint=f"{hint}, or use an ONNX file that does all of it, or another model.",
    )


def _modules(directory: Path) -> list[tuple[str, str]]:
    listed = _parsed(directory / "modules.json")
    entries = [_object(entry) for entry in cast("list[object]", listed)] if isinstance(listed, list) else []
    return [(str(entry.get("type", "")).rpartition(".")[2], str(entry.get("path", ""))) for entry in entries]


def _pooling(config: Mapping[str, object]) -> str | None:
    modes = {key for key, value in config.items() if key.startswith("pooling_mode_") and value is True}
    if isinstance(config.get("pooling_mode"), str):
        modes = {str(config["pooling_mode"])}
    names = {
        "pooling_mode_mean_tokens": MEAN,
        "pooling_mode_cls_token": CLS,
        "pooling_mode_max_tokens": MAX,
        "pooling_mode_lasttoken": LAST,
        "pooling_mode_mean_sqrt_len_tokens": MEAN_SQRT,
        "mean_sqrt_len_tokens": MEAN_SQRT,
        "pooling_mode_weightedmean_tokens": WEIGHTED,
    }
    known = {names.get(mode, mode) for mode in modes}
    if not known:
        return None
    if len(known) > 1 or not known <= {MEAN, CLS, MAX, LAST, MEAN_SQRT, WEIGHTED}:
        raise EngineError(
            "pooling of the model is not supported",
            sqlstate=MODEL_UNUSABLE,
            detail=f"Its pooling configuration asks for {', '.join(sorted(known))}.",
            hint="Use a model with one kind of pooling, or an ONNX file that pools itself with "
            """options => '{"pooling": "none"}'.""",
        )
    return known.pop()


def _positions(config: Mapping[str, object]) -> int | None:
    positions = _whole(config.get("max_position_embeddings"))
    if positions is None or config.get("position_embedding_type", "absolute") != "absolute":
        return positions
    # The RoBERTa family counts positions from the padding token's id on.
    roberta = config.get("model_type") in {"roberta", "xlm-roberta", "camembert", "mpnet"}
    return positions - (_whole(config.get("pad_token_id")) or 1) - 1 if roberta else positions


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 < value < _UNBOUNDED else None


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _json(path: Path) -> dict[str, object]:
    return _object(_parsed(path))


def _parsed(path: Path) -> object:
    if not os.access(path, os.F_OK):
        return None
    try:
        return json.loads(files.read(path).content)
    except ValueError as error:
        raise EngineError(
            "model configuration cannot be read",
            sqlstate=MODEL_UNUSABLE,
            detail=f"{path} is not valid JSON: {error}.",
            hint="Restore the file, or take it away to use the defaults.",
        ) from error


def _bad_option(key: str, value: object, wanted: str) -> EngineError:
    return EngineError(
        f'invalid value for model option "{key}"',
        sqlstate=INVALID_ARGUMENT,
        detail=f"The value is {json.dumps(value, default=str)}.",
        hint=f"It must be {wanted}.",
    )


def _bad_source(source: str) -> EngineError:
    return EngineError(
        "model source is not an absolute directory",
        sqlstate=INVALID_ARGUMENT,
        detail=f'The source is "{source}".',
        hint="Use file:///path/of/directory, a directory on the server.",
    )
