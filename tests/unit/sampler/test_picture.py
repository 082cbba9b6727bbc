from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from workers.sampler.picture import jpeg, scaled


def striped(width: int, height: int) -> av.VideoFrame:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    return av.VideoFrame.from_ndarray(pixels, format="rgb24")


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1920, 1080), (1280, 720)), ((1080, 1920), (720, 1280)), ((640, 360), (640, 360)), ((9000, 2), (1280, 1))],
)
def test_the_longer_side_is_bounded_and_nothing_is_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert scaled(*size, 1280) == expected


def test_colours_and_sides_stay_where_they_are() -> None:
    picture = cv2.imdecode(np.frombuffer(jpeg(striped(800, 400), longest_px=400, quality=90), np.uint8), 1)
    assert picture is not None
    assert picture.shape == (200, 400, 3)
    blue, _, red = picture[100, 50]
    assert red > 200 > 60 > blue
    assert picture[100, 350].max() < 60
