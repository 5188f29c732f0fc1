"""A tiny model with traps: a word each makes it hang, crash, run out of memory, answer in another shape or NaN."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import AddedToken, Tokenizer

from fix_models import NAN, tiny_tokenizer, tiny_weights, write_tiny_model

HANG, CRASH, MEMORY, SHAPE = "hangpill", "crashpill", "memorypill", "shapepill"
PILLS = (NAN, HANG, CRASH, MEMORY, SHAPE)
_MEMORY = 1_000_000_000  # floats


def write_trap_model(directory: Path) -> Path:
    """Write the model; a text without a trap has the vector that the tiny model gives it."""
    write_tiny_model(directory)
    tokenizer = tiny_tokenizer()
    first = tokenizer.get_vocab_size()
    tokenizer.add_tokens([AddedToken(pill, normalized=False) for pill in PILLS])
    tokenizer.save(str(directory / "tokenizer.json"))
    network = onnx.load(directory / "model.onnx")
    weights = np.zeros((first + len(PILLS), 8), dtype=np.float32)
    weights[:first] = tiny_weights(8, 1, first)
    weights[first] = np.nan
    _replace(network.graph, weights)
    network.graph.node[-1].output[0] = "clean"
    network.graph.node.extend(_nodes(tokenizer))
    network.graph.initializer.extend(_constants(tokenizer))
    onnx.checker.check_model(network)
    onnx.save_model(network, directory / "model.onnx")
    return directory


def _replace(graph: onnx.GraphProto, weights: np.ndarray) -> None:
    (old,) = [i for i, constant in enumerate(graph.initializer) if constant.name == "weights"]
    graph.initializer[old].CopyFrom(numpy_helper.from_array(weights, "weights"))


def _constants(tokenizer: Tokenizer) -> list[onnx.TensorProto]:
    constants = {pill: np.array(tokenizer.token_to_id(pill), dtype=np.int64) for pill in PILLS}
    constants |= {"all": np.array([0, 1], dtype=np.int64), "one_i": np.array([1], dtype=np.int64)}
    constants |= {"two_i": np.array([2], dtype=np.int64), "lowest": np.array([-(2**63)], dtype=np.int64)}
    constants |= {"none": np.array([0], dtype=np.float32), "much": np.array([_MEMORY], dtype=np.int64)}
    constants |= {"first": np.array([0], dtype=np.int64), "flat": np.array([-1], dtype=np.int64)}
    return [numpy_helper.from_array(value, name) for name, value in constants.items()]


def _nodes(tokenizer: Tokenizer) -> list[onnx.NodeProto]:
    del tokenizer
    nodes: list[onnx.NodeProto] = []
    for pill in (HANG, CRASH, MEMORY, SHAPE):
        nodes += [
            helper.make_node("Equal", ["input_ids", pill], [f"{pill}_here"]),
            helper.make_node("Cast", [f"{pill}_here"], [f"{pill}_int"], to=TensorProto.INT64),
            helper.make_node("ReduceMax", [f"{pill}_int"], [f"{pill}_any"], keepdims=0, axes=[0, 1]),
            helper.make_node("Reshape", [f"{pill}_any", "flat"], [f"{pill}_1"]),
        ]
    nodes += [
        helper.make_node("Cast", [f"{HANG}_any"], ["hang"], to=TensorProto.BOOL),
        helper.make_node("Loop", ["", "hang", "none"], ["hung"], body=_endless()),
        helper.make_node("Mul", [f"{CRASH}_1", "two_i"], ["doubled"]),
        helper.make_node("Sub", ["one_i", "doubled"], ["divisor"]),
        helper.make_node("Div", ["lowest", "divisor"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["quotient_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["quotient_f", "none"], ["crashed"]),
        helper.make_node("Mul", [f"{MEMORY}_1", "much"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["filled"]),
        helper.make_node("ReduceSum", ["filled"], ["exhausted"], keepdims=0),
        helper.make_node("Add", ["hung", "crashed"], ["two"]),
        helper.make_node("Add", ["two", "exhausted"], ["three"]),
        helper.make_node("Add", ["clean", "three"], ["whole"]),
        helper.make_node("Shape", ["clean"], ["shape"]),
        helper.make_node("Gather", ["shape", "one_i"], ["length"]),
        helper.make_node("Sub", ["length", f"{SHAPE}_1"], ["end"]),
        helper.make_node("Slice", ["whole", "first", "end", "one_i"], ["last_hidden_state"]),
    ]
    return nodes


def _endless() -> onnx.GraphProto:
    inputs = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        helper.make_tensor_value_info("carried", TensorProto.FLOAT, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("carried_on", TensorProto.FLOAT, [1]),
    ]
    nodes = [
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node("Identity", ["carried"], ["carried_on"]),
    ]
    return helper.make_graph(nodes, "endless", inputs, outputs)
