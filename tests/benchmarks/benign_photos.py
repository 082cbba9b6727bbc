"""How a nudity checkpoint scores pictures that show none: the share that would be watched, and how close the rest come.

    python -m tests.benchmarks.benign_photos open-nsfw FILE_OR_FOLDER... --session onnx

Every picture is scored whole and in eleven variants (crops, mirrored, dark, warm, blurred, recompressed), and five
plain fields and five uneven ones in the colours of skin are added. Without files: the two photographs of scikit-learn.
Says nothing about what is missed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.cards import CARDS_DIRECTORY, read_card
from pipelines.checkpoints import ensure
from pipelines.decode import decode_image
from pipelines.items import Picture, Scores
from pipelines.kinds import load
from pipelines.policies import read_policies
from workers.config import load_config

SKIN = ((255, 219, 172), (241, 194, 125), (224, 172, 105), (198, 134, 66), (141, 85, 36))
"""Red, green and blue from light to dark."""
SMALLEST_PX = 24
BATCH = 16

Pixels = NDArray[np.uint8]


def photographs(paths: Sequence[Path]) -> Iterator[tuple[str, Pixels]]:
    if not paths:
        from sklearn.datasets import load_sample_images

        yield from zip(("china", "flower"), load_sample_images().images, strict=True)
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            yield file.name, decode_image(file.read_bytes(), max_side_px=640).pixels


def variants(pixels: Pixels) -> Iterator[tuple[str, Pixels]]:
    height, width = pixels.shape[:2]
    half, across = height // 2, width // 2
    yield "whole", pixels
    for name, top, left in (("nw", 0, 0), ("ne", 0, across), ("sw", half, 0), ("se", half, across)):
        yield f"quarter {name}", pixels[top : top + half, left : left + across]
    yield "quarter middle", pixels[half // 2 : half // 2 + half, across // 2 : across // 2 + across]
    yield "ninth", pixels[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    yield "mirrored", pixels[:, ::-1]
    yield "dark", (pixels * 0.4).astype(np.uint8)
    yield "warm", np.clip(pixels * np.array([1.25, 1.0, 0.8]), 0, 255).astype(np.uint8)
    yield "blurred", np.asarray(cv2.GaussianBlur(pixels, (0, 0), 6), dtype=np.uint8)
    coded = cv2.imencode(".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, 25])[1]
    yield "recompressed", np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)


def skin() -> Iterator[tuple[str, Pixels]]:
    for number, colour in enumerate(SKIN):
        yield f"skin {number}", np.full((360, 640, 3), colour, dtype=np.uint8)
        light = np.random.default_rng(number).normal(0, 25, (9, 16)).astype(np.float32)
        waves = np.asarray(cv2.resize(light, (640, 360), interpolation=cv2.INTER_CUBIC))[..., None]
        yield f"uneven skin {number}", np.clip(np.array(colour) + waves, 0, 255).astype(np.uint8)


def pictures(paths: Sequence[Path]) -> Iterator[tuple[str, Picture]]:
    for name, pixels in photographs(paths):
        for variant, changed in variants(pixels):
            if min(changed.shape[:2]) >= SMALLEST_PX:
                yield f"{name}, {variant}", Picture(np.ascontiguousarray(changed))
    for name, pixels in skin():
        yield name, Picture(pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--session", default="onnx")
    given = parser.parse_args()
    card = read_card(CARDS_DIRECTORY / given.checkpoint)
    config = load_config()
    model = load(card, ensure(card, config.models).folder, session=given.session, device="cpu", threads=1)
    native, label = next((name, label) for name, label in card.fields.labels.items() if "sexual" in label.policies)
    watch = read_policies(config.policies_file).policies["sexual"].thresholds.watch
    items = list(pictures(given.photos))
    scores = [
        result.labels[native]
        for start in range(0, len(items), BATCH)
        for result in model.predict([picture for _, picture in items[start : start + BATCH]])
        if isinstance(result, Scores)
    ]
    for name, values in (("native", scores), ("calibrated", [label.calibration(score) for score in scores])):
        figures = np.quantile(values, [0.5, 0.9, 0.95, 0.99, 1.0])
        print(f"{name:10}  median {figures[0]:.4f}  90 % {figures[1]:.4f}  99 % {figures[3]:.4f}  max {figures[4]:.4f}")
    reached = sum(label.calibration(score) >= watch for score in scores)
    print(f"{reached} of {len(scores)} of {len(items)} pictures reach watch {watch:g}")
    for index in np.argsort(scores)[::-1][:10]:
        print(f"  {scores[index]:.4f}  {items[index][0]}")


if __name__ == "__main__":
    main()
