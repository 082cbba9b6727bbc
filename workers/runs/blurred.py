"""Pictures for people: grey, small and blurred unless somebody asks for the originals by name."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.manifest import FrameRef
from pipelines.media import DecodeError, Decoder
from workers.fetch import Objects
from workers.storage import ObjectMissing, ObjectTooLarge, OutOfRange

BLURRED_SIDE_PX = 160
BLUR_PX = 8.0
"""Standard deviation at `BLURRED_SIDE_PX`: where people and large shapes are stays visible, what they are does not."""
ORIGINAL_SIDE_PX = 640
PICTURES_BYTES = 2_000_000
"""Of all pictures of a page, encoded; what does not fit is left out and said."""
MAX_FRAME_BYTES = 32 * 1024 * 1024
READERS = 8

Shown = str | None
"""A data URI; None when the frame is gone from the store or is no picture."""


def pictures(
    storage: Objects, frames: Sequence[FrameRef], decoder: Decoder, *, originals: bool = False
) -> Mapping[FrameRef, Shown]:
    """Frames as they go into a page; those beyond `PICTURES_BYTES` are absent. Raises `StorageError`."""
    shown: dict[FrameRef, Shown] = {}
    size = 0
    with ThreadPoolExecutor(READERS, thread_name_prefix="pictures") as pool:
        contents = pool.map(lambda one: _picture(storage, one, decoder, originals), frames)
        for frame, content in zip(frames, contents, strict=True):
            uri = None if content is None else f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
            size += len(uri or "")
            if size > PICTURES_BYTES:
                break
            shown[frame] = uri
    return shown


def blurred(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 height x width x 3, RGB, to uint8 height x width, grey, `BLURRED_SIDE_PX` at most, without detail."""
    height, width = pixels.shape[:2]
    scale = BLURRED_SIDE_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), BLUR_PX), dtype=np.uint8)


def _picture(storage: Objects, frame: FrameRef, decoder: Decoder, originals: bool) -> bytes | None:
    try:
        content = storage.get(frame.key, offset=frame.offset, length=frame.length, max_bytes=MAX_FRAME_BYTES)
        pixels = decoder.image(content, max_side_px=ORIGINAL_SIDE_PX).pixels
    except (ObjectMissing, OutOfRange, ObjectTooLarge, DecodeError):
        return None
    drawn = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if originals else blurred(pixels)
    done, encoded = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, 75 if originals else 60])
    return encoded.tobytes() if done else None
