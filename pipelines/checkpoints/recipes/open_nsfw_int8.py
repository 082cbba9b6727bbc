"""The 8-bit form of open_nsfw's graph: quantise/dequantise pairs that ONNX Runtime fuses into integer kernels.

Written out by hand rather than by ONNX Runtime's quantiser, so that the result is the same bytes on every
machine and version: the activations' ranges are data beside the card (`python -m
pipelines.checkpoints.recipes.open_nsfw_ranges` measures them again), the rest is arithmetic. Weights use
7 bits: with 8, processors without VNNI saturate when they add two products, and scores would depend on
the processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

RANGES = "activation_ranges.json"
"""Beside the card: tensor of the graph -> [smallest, largest] value over the calibration pictures."""

OPSET = 13
"""The first with a scale per channel. The graph's operators mean the same there as in its own opset 9."""

WEIGHT_LEVELS = 63
ACTIVATION_LEVELS = 255


class Quantiser:
    """Collects the new graph's nodes and constants while the old one is walked in order."""

    def __init__(self, ranges: Mapping[str, Sequence[float]]) -> None:
        self.ranges = ranges
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[np.generic]] = {}
        self.scales: dict[str, np.float32] = {}

    def activation(self, name: str) -> str:
        """The tensor's rounded copy: uint8 over its measured range, which always holds zero."""
        rounded = f"{name}/rounded"
        if name in self.scales:
            return rounded
        low, high = min(self.ranges[name][0], 0.0), max(self.ranges[name][1], 0.0)
        scale = np.float32((high - low) / ACTIVATION_LEVELS)
        self.scales[name] = scale
        self.constants[f"{name}/scale"] = np.array(scale)
        self.constants[f"{name}/zero"] = np.array(round(-low / float(scale)), np.uint8)
        grid = [f"{name}/scale", f"{name}/zero"]
        self.nodes.append(helper.make_node("QuantizeLinear", [name, *grid], [f"{name}/levels"]))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}/levels", *grid], [rounded]))
        return rounded

    def convolution(self, node: onnx.NodeProto, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Weights per output channel, symmetric; the bias at the scale of the products, 32 bits."""
        source, weights = node.input[0], node.input[1]
        rounded = self.activation(source)
        largest = np.abs(kernel).reshape(len(kernel), -1).max(axis=1) / WEIGHT_LEVELS
        enough_for_bias = np.abs(bias) / (2**30 * self.scales[source])
        scales = np.maximum(np.maximum(largest, enough_for_bias), 1e-12).astype(np.float32)
        levels = np.rint(kernel / scales.reshape(-1, 1, 1, 1)).astype(np.int8)
        self._constant(weights, levels, scales)
        steps = (scales * self.scales[source]).astype(np.float32)
        self._constant(node.input[2], np.rint(bias / steps).astype(np.int32), steps)
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [rounded, f"{weights}/rounded", f"{node.input[2]}/rounded"]
        self.nodes.append(copy)

    def plain(self, node: onnx.NodeProto) -> None:
        """A node on rounded activations, where its inputs have a measured range, and as it is otherwise."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self.activation(name) if name in self.ranges else name for name in node.input]
        self.nodes.append(copy)

    def _constant(self, name: str, levels: NDArray[np.generic], scales: NDArray[np.float32]) -> None:
        self.constants[f"{name}/levels"] = levels
        self.constants[f"{name}/scales"] = scales
        self.constants[f"{name}/zeros"] = np.zeros(len(scales), levels.dtype)
        grid = [f"{name}/levels", f"{name}/scales", f"{name}/zeros"]
        self.nodes.append(helper.make_node("DequantizeLinear", grid, [f"{name}/rounded"], axis=0))


def quantised(model: onnx.ModelProto, ranges: Mapping[str, Sequence[float]]) -> onnx.ModelProto:
    """The graph with 8-bit convolutions and additions; the classifier at its end stays in floating point."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    quantiser = Quantiser(ranges)
    for node in model.graph.node:
        if node.op_type == "Conv":
            quantiser.convolution(node, constants.pop(node.input[1]), constants.pop(node.input[2]))
        else:
            quantiser.plain(node)
    quantiser.constants |= constants
    graph = helper.make_graph(
        quantiser.nodes,
        "open-nsfw-int8",
        list(model.graph.input),
        list(model.graph.output),
        [numpy_helper.from_array(value, name) for name, value in quantiser.constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=7)


def measured_tensors(graph: onnx.GraphProto) -> list[str]:
    """The tensors whose range matters: what convolutions, additions of activations and pooling read.

    A convolution that only feeds a rectifier is not among them: the two become one kernel.
    """
    constants = {tensor.name for tensor in graph.initializer}
    wanted: dict[str, None] = {}
    for node in graph.node:
        if node.op_type in ("Conv", "MaxPool", "AveragePool") or (
            node.op_type == "Add" and not constants.intersection(node.input)
        ):
            wanted |= {name: None for name in node.input if name not in constants}
    return list(wanted)
