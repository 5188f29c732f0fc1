"""The part of ONNX Runtime that vsync uses; the library is only partly annotated."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

__version__: str

class GraphOptimizationLevel:
    ORT_DISABLE_ALL: GraphOptimizationLevel

class NodeArg:
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> list[int | str | None]: ...

class SessionOptions:
    enable_cpu_mem_arena: bool
    enable_mem_pattern: bool
    graph_optimization_level: GraphOptimizationLevel
    inter_op_num_threads: int
    intra_op_num_threads: int
    optimized_model_filepath: str
    def add_external_initializers_from_files_in_memory(
        self, names: Sequence[str], buffers: Sequence[bytes], lengths: Sequence[int]
    ) -> None: ...
    def add_session_config_entry(self, key: str, value: str) -> None: ...

class RunOptions:
    terminate: bool
    def add_run_config_entry(self, key: str, value: str) -> None: ...

class InferenceSession:
    def __init__(
        self,
        path_or_bytes: str | bytes,
        sess_options: SessionOptions | None = None,
        providers: Sequence[str] | None = None,
        *,
        enable_fallback: int = 1,
    ) -> None: ...
    def get_inputs(self) -> Sequence[NodeArg]: ...
    def get_outputs(self) -> Sequence[NodeArg]: ...
    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, NDArray[Any]],
        run_options: RunOptions | None = None,
    ) -> list[NDArray[Any]]: ...

def get_build_info() -> str: ...
def set_default_logger_severity(severity: int) -> None: ...
