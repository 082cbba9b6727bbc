"""The ONNX Runtime session: one graph file, one input, its first output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipelines.cards import CardError, Session

Graph = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A batch in, the first output out, both with the batch as first axis."""

GRAPH_FILES: dict[Session, str] = {"onnx": "model.onnx", "onnx-int8": "model.int8.onnx"}


def open_graph(path: Path, *, device: str, threads: int) -> Graph:
    """The graph, loaded; `threads` 0 lets ONNX Runtime take all cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # its warnings about graph optimisation are noise in a pool's log
    session = onnxruntime.InferenceSession(str(path), options, providers=_providers(device, path))
    name = session.get_inputs()[0].name

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {name: batch})[0], dtype=np.float32)

    return run


def _providers(device: str, path: Path) -> list[str]:
    available = onnxruntime.get_available_providers()
    if device.startswith("cuda") and "CUDAExecutionProvider" not in available:
        raise CardError(f"{path.name}: this onnxruntime has no CUDA; use device cpu or another session")
    wanted = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return [provider for provider in wanted if provider in available]
