"""Which frames look like one already scored, and a small fingerprint to find a frame again.

Called by worker children before they ask the engine, so it needs NumPy and OpenCV only.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.items import Picture

THUMBNAIL_SIDE = 32
TILE_SIDE = 8
"""Sixteen tiles: a sixteenth of the frame is about the smallest inset that streams put in a corner."""

Thumbnail = NDArray[np.uint8]
"""32 x 32 grey levels."""


def thumbnail(picture: Picture) -> Thumbnail:
    """The picture in 32 x 32 grey levels, each the mean of its area: sensor and JPEG noise average out."""
    return _grey(picture, THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def tile_difference(a: Thumbnail, b: Thumbnail) -> float:
    """The mean grey difference (0 to 255) of the tile that differs most.

    The largest and not the average: a static overlay over most of the frame must not hide a changing corner.
    """
    difference = np.abs(a.astype(np.int16) - b.astype(np.int16))
    tiles = THUMBNAIL_SIDE // TILE_SIDE
    means = difference.reshape(tiles, TILE_SIDE, tiles, TILE_SIDE).mean(axis=(1, 3))
    return float(means.max())


def is_near_duplicate(a: Thumbnail, b: Thumbnail, threshold: float) -> bool:
    """Whether no tile differs by more than `threshold` grey levels on average."""
    return tile_difference(a, b) <= threshold


def difference_hash(picture: Picture) -> str:
    """64 bits in hexadecimal, one for each of 8 x 8 places: is it darker than its right neighbour?

    Survives scaling, recompression and brightness; compare two hashes by the number of differing bits.
    """
    grey = _grey(picture, 9, 8)
    bits = np.packbits(grey[:, :-1] < grey[:, 1:])
    return bits.tobytes().hex()


def _grey(picture: Picture, width: int, height: int) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
