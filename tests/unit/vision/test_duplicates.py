from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.items import Picture
from pipelines.vision.duplicates import difference_hash, is_near_duplicate, thumbnail, tile_difference

THRESHOLD = 4.0


def scene(seed: int = 0) -> NDArray[np.uint8]:
    """Soft blobs of colour, as a room or a face would give, 360 x 640."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return np.array(small.resize((640, 360), Image.Resampling.BICUBIC))


def duplicate(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    return is_near_duplicate(thumbnail(Picture(a)), thumbnail(Picture(b)), THRESHOLD)


def test_a_frame_is_a_near_duplicate_of_itself() -> None:
    assert tile_difference(thumbnail(Picture(scene())), thumbnail(Picture(scene()))) == 0


def test_recompression_and_noise_leave_a_near_duplicate() -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene()).save(buffer, "JPEG", quality=50)
    noise = np.random.default_rng(1).normal(0, 6, (360, 640, 3))
    noisy = np.clip(np.array(Image.open(buffer)) + noise, 0, 255).astype(np.uint8)
    assert duplicate(scene(), noisy)


def test_another_scene_is_no_duplicate() -> None:
    assert not duplicate(scene(0), scene(1))


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 560), (315, 0), (315, 560)])
def test_one_changing_corner_is_enough_to_be_no_duplicate(top: int, left: int) -> None:
    changed = scene()
    changed[top : top + 45, left : left + 80] = 255 - changed[top : top + 45, left : left + 80]
    assert not duplicate(scene(), changed)


def test_a_static_overlay_does_not_hide_what_changes_beside_it() -> None:
    a, b = scene(0), scene(1)
    for picture in (a, b):
        picture[:, :480] = (30, 30, 30)
    assert not duplicate(a, b)


def test_the_threshold_is_the_difference_that_still_counts_as_alike() -> None:
    dark, lighter = (thumbnail(Picture(np.full((64, 64, 3), grey, dtype=np.uint8))) for grey in (100, 104))
    assert is_near_duplicate(dark, lighter, 4.0)
    assert not is_near_duplicate(dark, lighter, 3.9)


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (1080, 1920)])
def test_frames_of_any_size_have_a_thumbnail_and_a_hash(size: tuple[int, int]) -> None:
    picture = Picture(np.zeros((*size, 3), dtype=np.uint8))
    assert thumbnail(picture).shape == (32, 32)
    assert difference_hash(picture) == "0" * 16


def test_a_scaled_and_brightened_frame_keeps_its_hash_but_for_a_few_bits() -> None:
    smaller = np.array(Image.fromarray(scene()).resize((320, 180)))
    brighter = np.clip(smaller.astype(np.int16) + 12, 0, 255).astype(np.uint8)
    assert distance(difference_hash(Picture(scene())), difference_hash(Picture(brighter))) <= 6
    assert distance(difference_hash(Picture(scene(0))), difference_hash(Picture(scene(1)))) > 16


def distance(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()
