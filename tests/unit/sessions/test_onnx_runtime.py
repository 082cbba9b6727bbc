from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipelines.cards import CardError
from pipelines.sessions.onnx_runtime import graph_file, open_named_graph


def graph(path: Path, *inputs: str) -> Path:
    """Adds up its inputs."""
    made = helper.make_graph(
        [helper.make_node("Sum", inputs, ["total"])],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in inputs],
        [helper.make_tensor_value_info("total", TensorProto.FLOAT, ["batch", 1])],
    )
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def test_a_graph_is_found_beside_the_weights_and_where_the_hub_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"no model\.onnx"):
        graph_file(tmp_path, "model.onnx")
    kept = graph(tmp_path / "onnx" / "model.onnx", "a")
    assert graph_file(tmp_path, "model.onnx") == kept
    own = graph(tmp_path / "model.onnx", "a")
    assert graph_file(tmp_path, "model.onnx") == own


def test_a_graph_takes_of_what_it_is_given_the_inputs_that_it_has(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx", "a", "b")
    run = open_named_graph(path, ("a", "b", "c"), ("total",), device="cpu", threads=1)
    assert run({name: np.ones((2, 1), np.float32) for name in "abc"}).tolist() == [[2], [2]]


def test_a_graph_that_wants_more_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx", "a", "z")
    with pytest.raises(CardError, match="the graph wants z"):
        open_named_graph(path, ("a",), ("total",), device="cpu", threads=1)


def test_a_graph_without_the_output_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    path = graph(tmp_path / "model.onnx", "a")
    with pytest.raises(CardError, match="gives total, none of logits"):
        open_named_graph(path, ("a",), ("logits",), device="cpu", threads=1)
