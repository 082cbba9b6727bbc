from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ResNetConfig

from pipelines.cards import CardError, Label
from pipelines.items import Picture, Scores
from pipelines.kinds import load
from pipelines.vision.tf_same import TfSameResNet
from tests import tiny_checkpoints as tiny

PICTURE = Picture(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def test_a_label_of_the_card_that_the_checkpoint_lacks_is_named(tmp_path: Path) -> None:
    tiny.resnet(tmp_path)
    card = tiny.card_of("image-classification", ("torch",), labels={"gore": Label(policies=("violence",))})
    with pytest.raises(CardError, match="no label gore; it has benign, risky"):
        load(card, tmp_path, device="cpu")


def test_a_single_label_checkpoint_s_scores_add_up_to_one_and_a_multi_label_one_s_need_not(tmp_path: Path) -> None:
    sums = []
    for name, make in (("resnet", tiny.resnet), ("vit", tiny.vit)):
        (tmp_path / name).mkdir()
        make(tmp_path / name)
        result = load(tiny.card_of("image-classification", ("torch",)), tmp_path / name, device="cpu").predict(
            [PICTURE]
        )
        assert isinstance(result[0], Scores)
        sums.append(sum(result[0].labels.values()))
    assert sums[0] == pytest.approx(1)
    assert sums[1] != pytest.approx(1, abs=1e-3)


def test_a_graph_in_another_layout_sees_the_same_pixels_reordered(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    tiny.image_graph(tmp_path)
    plain = load(tiny.card_of("image-classification", ("onnx",)), tmp_path, device="cpu").predict([PICTURE])
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("Gemm", ["mean", "weight"], ["logits"], transB=1),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.array([[3, 2, 1], [1, 0, -1]], np.float32), "weight")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "model.onnx")
    card = tiny.card_of(
        "image-classification", ("onnx",), options={"onnx_input": "nhwc-bgr", "onnx_output": "probabilities"}
    )
    reordered = load(card, tmp_path, device="cpu").predict([PICTURE])
    assert isinstance(plain[0], Scores)
    assert isinstance(reordered[0], Scores)
    assert reordered[0].labels == pytest.approx(plain[0].labels, abs=1e-5)


def test_tensorflow_s_same_pooling_pads_right_and_bottom_only() -> None:
    pooler = TfSameResNet(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])).resnet.embedder.pooler
    corner = torch.zeros(1, 1, 4, 4)
    corner[0, 0, 0, 0] = 1
    assert pooler(corner)[0, 0].tolist() == [[1, 0], [0, 0]]
    assert pooler(corner.flip(2, 3))[0, 0].tolist() == [[0, 0], [0, 1]]
