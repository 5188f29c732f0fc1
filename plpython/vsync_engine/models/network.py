"""One ONNX file as an ONNX Runtime session: which inputs it wants, which output holds the vectors, and running it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsync_engine.foundation.errors import MODEL_UNUSABLE, EngineError
from vsync_engine.models.runtime import arithmetic_errors_fatal, np, ort, signals_blocked
from vsync_engine.models.watchdog import Call

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOATS = {"tensor(float)", "tensor(float16)", "tensor(double)"}
_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
_TOKEN_OUTPUTS = ("last_hidden_state", "token_embeddings")
_TEXT_OUTPUTS = ("sentence_embedding", "text_embeds")
_COPY = {
    "session.optimized_model_external_initializers_file_name": "weights",
    "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
    "session.save_external_prepacked_constant_initializers": "1",
}

# Threads that spin for long while they wait take the cores from other sessions, and from each other. From one operator
# to the next, waking a thread costs more than that.
_SPINNING = {
    "session.intra_op.allow_spinning": "1",
    "session.intra_op.spin_duration_us": "50",
    "session.force_spinning_stop": "1",
}


class Network:
    """A loaded ONNX file. pooled: its output is a vector a text. length: the one input length it takes, or None."""

    def __init__(self, session: ort.InferenceSession, *, pooled: bool | None) -> None:
        """Look at what a session asks for and answers; VS102 for what vsync does not know.

        pooled: which kind of output to take, or None for token vectors where there are any.
        """
        self._session = session
        inputs = {entry.name: entry for entry in self._session.get_inputs()}
        strange = [f"{name} of {entry.type}" for name, entry in inputs.items() if not _understood(name, entry.type)]
        if strange or "input_ids" not in inputs:
            raise EngineError(
                "model has inputs vsync does not know",
                sqlstate=MODEL_UNUSABLE,
                detail=f"It asks for {', '.join(strange or inputs)}.",
                hint=f"Export it with the inputs {', '.join(sorted(_INPUTS))}, or fewer, including input_ids.",
            )
        self._types = {name: _INTEGERS[entry.type] for name, entry in inputs.items()}
        self.length = _fixed_length(inputs["input_ids"].shape)
        self._output, self.pooled = _output(self._session.get_outputs(), pooled)

    def infer(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run on ids and mask, both (n, tokens); return (n, tokens, d), or (n, d) where the model pools itself.

        VS102 when the model fails or answers with another shape.
        """
        feeds: dict[str, NDArray[Any]] = {}
        for name, dtype in self._types.items():
            feeds[name] = _input(name, ids, mask).astype(dtype, copy=False)
        call = Call()
        try:
            with call, arithmetic_errors_fatal():
                answer = self._session.run([self._output], feeds, call.options)[0]
        except Exception as error:
            if call.late:
                raise EngineError(
                    "model took too long",
                    sqlstate=MODEL_UNUSABLE,
                    detail=f"Batch of {ids.shape[0]} texts padded to {ids.shape[1]} tokens.",
                    hint="If that is how long it takes: select vsync.configure('lease_seconds', '600')",
                ) from error
            raise EngineError(
                "model failed on a batch",
                sqlstate=MODEL_UNUSABLE,
                detail=f"Batch of {ids.shape[0]} texts padded to {ids.shape[1]} tokens: {reason(error)}",
                hint="Try the texts one at a time with vsync.embed to find the one it fails on.",
            ) from error
        lead = ids.shape[:1] if self.pooled else ids.shape
        if answer.shape[:-1] != lead:
            raise EngineError(
                "model output has an unexpected shape",
                sqlstate=MODEL_UNUSABLE,
                detail=f'Output "{self._output}" is {answer.shape} for input ids of {ids.shape}.',
                hint="""Choose another pooling with options => '{"pooling": "none"}', or export the model again.""",
            )
        return answer.astype(np.float32, copy=False)


def reason(error: Exception) -> str:
    """Return the first line of a native library's error, short enough for a DETAIL."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]


def session_of(
    onnx: bytes, external: Mapping[str, bytes], *, threads: int, copy: Path | None = None
) -> ort.InferenceSession:
    """Load from bytes; `external` holds the tensors kept beside the ONNX file, by name. VS102 when that fails.

    threads: of one inference, 0 for one a core. copy: where to write what `session_over` maps.
    """
    options = _options(threads)
    if external:
        buffers = list(external.values())
        options.add_external_initializers_from_files_in_memory(list(external), buffers, [len(b) for b in buffers])
    if copy is not None:
        options.optimized_model_filepath = str(copy)
        for name, setting in _COPY.items():
            options.add_session_config_entry(name, setting)
    return _session(onnx, options)


def session_over(copy: Path, *, threads: int) -> ort.InferenceSession:
    """Map a copy that `session_of` wrote: its weights are pages of the file, shared by all who map it."""
    options = _options(threads)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _session(str(copy), options)


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = min(threads, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # a pattern would be kept for every shape of batch ever seen
    for name, setting in _SPINNING.items():
        options.add_session_config_entry(name, setting)
    return options


def _session(source: bytes | str, options: ort.SessionOptions) -> ort.InferenceSession:
    try:
        with signals_blocked():
            session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:
        raise EngineError(
            "model cannot be loaded",
            sqlstate=MODEL_UNUSABLE,
            detail=f"ONNX Runtime {ort.__version__}: {reason(error)}",
            hint="Check that the file is a whole ONNX model, and that its opset is not newer than the runtime.",
        ) from error
    vars(session)["_model_bytes"] = None  # it would keep the file in memory beside the weights
    return session


def _understood(name: str, kind: str) -> bool:
    return name in _INPUTS and kind in _INTEGERS


def _input(name: str, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.int64]:
    if name == "input_ids":
        return ids
    if name == "attention_mask":
        return mask
    if name == "position_ids":
        return np.broadcast_to(np.arange(ids.shape[1], dtype=np.int64), ids.shape)
    return np.zeros_like(ids)


def _fixed_length(shape: Sequence[int | str | None]) -> int | None:
    if len(shape) != 2 or (isinstance(shape[0], int) and shape[0] > 0):
        raise EngineError(
            "model does not take batches",
            sqlstate=MODEL_UNUSABLE,
            detail=f"Its input_ids have the shape {shape}.",
            hint="Export it with a dynamic batch axis.",
        )
    length = shape[1]
    return length if isinstance(length, int) and length > 0 else None


def _output(outputs: Sequence[ort.NodeArg], pooled: bool | None) -> tuple[str, bool]:
    of_tokens = _ordered([entry.name for entry in outputs if _may_have_rank(entry, 3)], _TOKEN_OUTPUTS)
    of_texts = _ordered([entry.name for entry in outputs if _may_have_rank(entry, 2)], _TEXT_OUTPUTS)
    if of_tokens and pooled is not True:
        return of_tokens[0], False
    if of_texts and pooled is not False:
        return of_texts[0], True
    found = ", ".join(f"{entry.name} {entry.shape} {entry.type}" for entry in outputs)
    raise EngineError(
        "model has no pooled output" if pooled else "model has no output that can be pooled",
        sqlstate=MODEL_UNUSABLE,
        detail=f"Its outputs are {found}.",
        hint="Pooling none needs a float output (batch, dimensions), the others one of (batch, tokens, dimensions).",
    )


def _may_have_rank(entry: ort.NodeArg, rank: int) -> bool:
    # An export may declare no shape at all; inference checks the one that comes.
    return entry.type in _FLOATS and len(entry.shape) in {0, rank}


def _ordered(names: list[str], preferred: tuple[str, ...]) -> list[str]:
    return sorted(names, key=lambda name: preferred.index(name) if name in preferred else len(preferred))
