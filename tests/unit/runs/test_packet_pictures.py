"""Pictures in a packet: nothing to be recognised in them, nothing too large, and what is gone is said."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.decode import InProcess
from pipelines.manifest import FrameRef
from tests.segments import jpeg
from workers.runs import blurred as blurred_module
from workers.runs.blurred import blurred, pictures
from workers.storage import ObjectMissing


class Folder:
    """Objects in memory."""

    def __init__(self, **objects: bytes) -> None:
        self._objects = objects

    def get(
        self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
    ) -> bytes:
        if key not in self._objects:
            raise ObjectMissing(key)
        content = self._objects[key]
        return content if offset is None or length is None else content[offset : offset + length]


def ref(key: str, at_s: float = 0, offset: int | None = None, length: int | None = None) -> FrameRef:
    return FrameRef(at_s=at_s, key=key, offset=offset, length=length)


def detail(grey: NDArray[np.uint8]) -> float:
    """Energy of a picture in structures smaller than about a tenth of its side."""
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(grey - grey.mean()))) ** 2
    rows, columns = np.indices(spectrum.shape)
    coarse = np.hypot(rows - grey.shape[0] // 2, columns - grey.shape[1] // 2) <= 10
    return float(spectrum[~coarse].sum())


def test_a_blurred_frame_keeps_no_detail() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    letters = cv2.putText(np.full((480, 640, 3), 255, np.uint8), "call 5550123", (20, 240), 0, 2.5, (0, 0, 0), 6)

    for picture in (noise, letters):
        seen = blurred(np.asarray(picture, dtype=np.uint8))
        grey = np.asarray(cv2.resize(picture[..., 0], (160, 120), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        assert seen.shape == grey.shape
        assert detail(seen) < 0.001 * detail(grey)


def test_a_blurred_frame_keeps_its_shape() -> None:
    assert blurred(np.zeros((1280, 720, 3), np.uint8)).shape == (160, 90)
    assert blurred(np.zeros((1, 4000, 3), np.uint8)).shape == (1, 160)


def test_frames_within_one_object_are_cut_out_of_it() -> None:
    first, second = jpeg(1), jpeg(2)
    frames = [ref("all", 0, 0, len(first)), ref("all", 2, len(first), len(second))]

    shown = pictures(Folder(all=first + second), frames, InProcess(), originals=True)

    assert len(set(shown.values())) == 2
    assert all(uri is not None and uri.startswith("data:image/jpeg;base64,") for uri in shown.values())


def test_frames_that_are_gone_or_broken_are_none() -> None:
    assert list(pictures(Folder(broken=b"\xff\xd8"), [ref("gone"), ref("broken")], InProcess()).values()) == [
        None,
        None,
    ]


def test_originals_are_shrunk() -> None:
    (uri,) = pictures(Folder(large=jpeg(1, side=2000)), [ref("large")], InProcess(), originals=True).values()

    assert uri is not None
    encoded = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (640, 640, 3)


def test_a_page_takes_no_more_than_its_share_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {f"f{index}": jpeg(index, side=640) for index in range(4)}
    whole = pictures(Folder(**content), [ref(key) for key in content], InProcess(), originals=True)
    first_two = sum(len(whole[ref(key)] or "") for key in ("f0", "f1"))
    monkeypatch.setattr(blurred_module, "PICTURES_BYTES", first_two)

    shown = pictures(Folder(**content), [ref(key) for key in content], InProcess(), originals=True)

    assert list(shown) == [ref("f0"), ref("f1")]
