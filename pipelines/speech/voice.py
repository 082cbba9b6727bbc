"""The voice gate before every speech model: which stretches of a clip hold a human voice.

Whisper invents sentences for silence and music, and a window costs it as much whether somebody speaks or
not; the gate (Silero VAD, which comes inside faster-whisper) costs 2 ms for a second of audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps

from pipelines.items import SAMPLE_RATE_HZ, Clip, Failure

GATE = VadOptions(min_speech_duration_ms=100, min_silence_duration_ms=500, max_speech_duration_s=28.0)
"""Pauses over half a second are cut; no stretch exceeds Whisper's window of 30 s.

Blips under a tenth of a second are no voice: a syllable takes twice that, and drums, motors and games give many.
"""


class Stretch(TypedDict):
    """A part of a clip, in samples from its start; the form that faster-whisper gives and takes."""

    start: int
    end: int


def unusable(clip: Clip) -> Failure | None:
    """Why a clip cannot be examined at all; "nobody spoke" is not one of the reasons."""
    if clip.samples.size == 0:
        return Failure(error="EmptyClip")
    if not np.isfinite(clip.samples).all():
        return Failure(error="NonFiniteSamples")
    return None


def voiced(clip: Clip) -> Sequence[Stretch]:
    """Each voiced stretch."""
    found: Sequence[Stretch] = get_speech_timestamps(clip.samples, GATE, sampling_rate=SAMPLE_RATE_HZ)
    return found


def voiced_s(clip: Clip) -> tuple[tuple[float, float], ...]:
    """Start and end of each voiced stretch, in seconds from the start of the clip."""
    return tuple((part["start"] / SAMPLE_RATE_HZ, part["end"] / SAMPLE_RATE_HZ) for part in voiced(clip))
