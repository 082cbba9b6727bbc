"""A segment ready to be examined: its manifest with the media decoded, and what could not be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.items import Picture
from pipelines.manifest import ChatLine, Profile, SegmentManifest
from pipelines.record import Coverage
from pipelines.strict import Strict


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled frame; `picture` is None when `problem` says why it could not be had."""

    at_s: float
    picture: Picture | None
    problem: Coverage | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """`audio` is mono float32 at 16 kHz. `problems` says why audio or chat could not be had; frames say so each.

    `audio_before` and `audio_after` are the neighbouring segments', whole; None where there is none to be had.
    They help to hear what the border cuts, and count for nothing else.
    """

    manifest: SegmentManifest
    frames: tuple[Frame, ...] = ()
    audio: NDArray[np.float32] | None = None
    chat: tuple[ChatLine, ...] | None = None
    problems: Mapping[Literal["speech", "chat"], Coverage] = field(default_factory=dict)
    audio_before: NDArray[np.float32] | None = None
    audio_after: NDArray[np.float32] | None = None


class ExaminationSettings(Strict):
    """How thoroughly to look; kept in every record. Savings can be switched off for an audit: see `SAVINGS`."""

    frame_side_px: int = Field(default=640, ge=64, le=4096, description="frames are scored at most this large")
    near_duplicates: bool = Field(default=True, description="frames like the last scored one reuse its scores")
    near_duplicate_threshold: float = Field(default=4.0, ge=0, le=255, description="largest grey difference of a tile")
    repeated_chat: bool = Field(default=True, description="chat lines that say the same are scored once")
    known_language: bool = Field(default=True, description="speech is heard in the stream's language, if it is known")
    screen_text: bool = True
    min_screen_confidence: float = Field(default=0.6, ge=0, le=1)
    all_screen_text: bool = Field(default=False, description="every line on a frame, not only the largest")
    max_frames: int | None = Field(default=None, ge=1, description="more than so many are shed; null: no limit")
    hear_speech: bool = Field(default=True, description="else speech is shed")
    beam_size: int | None = Field(default=None, ge=1, le=20, description="of the speech model; null: its card's")
    keep_embeddings: bool = Field(default=False, description="of texts and frames, for another head on their encoder")
    border_context_s: float = Field(default=0, ge=0, le=10, description="heard of the neighbouring segments")

    def for_profile(self, profile: Profile) -> Self:
        """The same, but a deep look spares no frame and no line, and hears what borders cut."""
        return self.model_copy(update=DEEP) if profile == "deep" else self

    def without_savings(self) -> Self:
        """The same, but every frame, every line and every language is looked at by itself."""
        return self.model_copy(update=dict.fromkeys(SAVINGS, False))

    def thinned(self, frames: int) -> Self:
        """The same in less depth, for a segment that waited too long: so many frames at most, and no speech."""
        return self.model_copy(update={"max_frames": frames, "hear_speech": False})


SAVINGS = ("near_duplicates", "repeated_chat", "known_language")
"""What spares models work without leaving anything unseen; an audit switches all of it off."""

DEEP: Mapping[str, object] = {
    "near_duplicates": False,
    "all_screen_text": True,
    "beam_size": 5,
    "border_context_s": 8.0,
}
"""What the profile `deep` changes."""
