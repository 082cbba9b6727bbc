"""A decoded video frame to a JPEG, upright and no larger than asked."""

from __future__ import annotations

from collections.abc import Mapping

import av
import cv2
import numpy as np
from numpy.typing import NDArray

_TURNS: Mapping[int, int] = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}
"""Counter-clockwise degrees, as a container asks the player to turn the picture, to OpenCV's names."""


def scaled(width: int, height: int, longest_px: int) -> tuple[int, int]:
    """Width and height with the longer side at most `longest_px`; never enlarged."""
    longer = max(width, height)
    if longer <= longest_px:
        return width, height
    return max(1, round(width * longest_px / longer)), max(1, round(height * longest_px / longer))


def jpeg(frame: av.VideoFrame, *, longest_px: int, quality: int) -> bytes:
    """The frame as JPEG; the same frame and settings give the same bytes."""
    width, height = scaled(frame.width, frame.height, longest_px)
    pixels: NDArray[np.uint8] = frame.to_ndarray(format="bgr24", width=width, height=height, interpolation="AREA")
    turn = _TURNS.get(frame.rotation % 360)
    upright = pixels if turn is None else cv2.rotate(pixels, turn)
    written, buffer = cv2.imencode(".jpg", upright, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not written:
        raise ValueError(f"OpenCV wrote no JPEG of {width}x{height} pixels")
    return buffer.tobytes()
