"""What decoding may cost, and how it fails: the words between those who decode and those who ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines import coverage as why
from pipelines.items import Picture
from pipelines.strict import Seconds, Strict

EACH_MEDIUM_S = 0.05
"""A segment's allowance grows by this much a medium: two thousand frames are many, not hostile."""


class DecodeLimits(Strict):
    """What one medium may be and cost. All of it is checked before or while decoding; afterwards is too late."""

    timeout_s: Seconds = Field(default=5, gt=0, description="of one picture or sound; then its decoder is killed")
    segment_s: Seconds = Field(default=12, gt=0, description="of a segment's media, and 50 ms for each of them")
    memory_mb: int = Field(
        default=768, ge=64, le=1 << 20, description="that the decoder may take beyond what it starts with"
    )
    max_frames_bytes: int = Field(
        default=256 << 20, ge=1, le=1 << 40, description="from the first byte needed of an object"
    )
    max_image_bytes: int = Field(default=32 << 20, ge=1, le=1 << 40)
    max_image_pixels: int = Field(default=50_000_000, ge=1, le=89_000_000)
    max_audio_bytes: int = Field(
        default=64 << 20, ge=1, le=1 << 40, description="two minutes at 96 kHz, 16 bits, stereo: 46 MB"
    )
    max_audio_s: float = Field(default=720, gt=0, le=7200, description="of decoded sound, whatever a header claims")
    max_channels: int = Field(default=8, ge=1, le=64)
    max_streams: int = Field(default=8, ge=1, le=1000, description="in one container")


class DecodeError(ValueError):
    """The medium cannot be had, now or ever; `reason` is out of `pipelines.coverage`.

    The message holds classes, names and sizes, no content.
    """

    def __init__(self, message: str, reason: str = why.UNDECODABLE) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class Allowance:
    """Seconds of decoding that the media of one segment have left: many that hang must not take the whole pool."""

    left_s: float

    @classmethod
    def of(cls, limits: DecodeLimits, media: int) -> Allowance:
        return cls(limits.segment_s + media * EACH_MEDIUM_S)


class Decoder(Protocol):
    """From bytes to arrays, within limits. Raises `DecodeError`; what it takes is taken off the allowance."""

    @property
    def limits(self) -> DecodeLimits: ...

    def image(self, data: bytes, *, max_side_px: int, allowance: Allowance | None = None) -> Picture:
        """RGB pixels, shrunk so that neither side exceeds `max_side_px`."""
        ...

    def audio(self, data: bytes, *, max_s: float, allowance: Allowance | None = None) -> NDArray[np.float32]:
        """Mono float32 at 16 kHz, cut off at `max_s` seconds of decoded sound."""
        ...
