"""A segment ready to be examined: its manifest with the media decoded, and what could not be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.items import Picture
from pipelines.manifest import ChatLine, SegmentManifest
from pipelines.record import Coverage, Modality


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled frame; `picture` is None when `problem` says why it could not be had."""

    at_s: float
    picture: Picture | None
    problem: Coverage | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """`audio` is mono float32 at 16 kHz. `problems` names modalities that could not be fetched or decoded."""

    manifest: SegmentManifest
    frames: tuple[Frame, ...] = ()
    audio: NDArray[np.float32] | None = None
    chat: tuple[ChatLine, ...] | None = None
    problems: Mapping[Modality, Coverage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExaminationSettings:
    """How thoroughly to look; the meaning of each is in the configuration of the same name."""

    frame_side_px: int = 640
    near_duplicates: bool = True
    near_duplicate_threshold: float = 4.0
    screen_text: bool = True
    min_screen_confidence: float = 0.6
    language: str | None = None
    """What the stream was last heard to speak; spares detecting it again."""
