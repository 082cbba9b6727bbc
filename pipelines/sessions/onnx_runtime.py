"""The ONNX Runtime session: one graph file, arrays in by name, one array out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipelines.cards import CardError, Session

Graph = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A batch in, the first output out, both with the batch as first axis."""
NamedGraph = Callable[[Mapping[str, NDArray[np.generic]]], NDArray[np.float32]]
"""Inputs by name, each with the batch as first axis; out comes the chosen output."""

GRAPH_FILES: dict[Session, str] = {"onnx": "model.onnx", "onnx-int8": "model.int8.onnx"}
HUB_FOLDER = "onnx"
"""Where repositories on the hub keep graphs, beside the safetensors."""


def graph_file(folder: Path, name: str) -> Path:
    """The graph called `name` in a checkpoint's folder, or where the hub keeps it; `CardError` if it is in neither."""
    for path in (folder / name, folder / HUB_FOLDER / name):
        if path.is_file():
            return path
    raise CardError(f"{folder.name}: no {name}")


def open_graph(path: Path, *, device: str, threads: int) -> Graph:
    """The graph, loaded, with its only input; `threads` 0 lets ONNX Runtime take all cores."""
    session = _open(path, device=device, threads=threads)
    name = session.get_inputs()[0].name

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {name: batch})[0], dtype=np.float32)

    return run


def open_named_graph(
    path: Path, offered: Sequence[str], wanted: Sequence[str], *, device: str, threads: int
) -> NamedGraph:
    """The graph, loaded: takes those of the `offered` inputs that it knows, gives the first of the `wanted` outputs.

    `CardError` when it needs other inputs or has none of these outputs.
    """
    session = _open(path, device=device, threads=threads)
    inputs = {one.name for one in session.get_inputs()}
    outputs = [one.name for one in session.get_outputs()]
    strange = sorted(inputs - set(offered))
    if strange:
        raise CardError(f"{path.name}: the graph wants {strange[0]}, and it is given {', '.join(offered)}")
    found = [name for name in wanted if name in outputs]
    if not found:
        raise CardError(f"{path.name}: the graph gives {', '.join(outputs)}, none of {', '.join(wanted)}")

    def run(arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        given = {name: arrays[name] for name in inputs}
        return np.asarray(session.run(found[:1], given)[0], dtype=np.float32)

    return run


def _open(path: Path, *, device: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # its warnings about graph optimisation are noise in a pool's log
    return onnxruntime.InferenceSession(str(path), options, providers=_providers(device, path))


def _providers(device: str, path: Path) -> list[str]:
    available = onnxruntime.get_available_providers()
    if device.startswith("cuda") and "CUDAExecutionProvider" not in available:
        raise CardError(f"{path.name}: this onnxruntime has no CUDA; use device cpu or another session")
    wanted = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return [provider for provider in wanted if provider in available]
