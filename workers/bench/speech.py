"""The sound of a generated stream: sentences of the bundled livestream's host, laid out anew with pauses.

They are English; no synthetic Mandarin that Whisper understands is at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray

from pipelines.items import SAMPLE_RATE_HZ
from workers.demo.programme import STREAM_FILE, read_programme

Samples = NDArray[np.int16]

LONGEST_S = 9.0
"""The host begins a sentence every ten seconds, or later."""
SILENT = 200
"""Below this level, of 32,768, nobody speaks: the track is synthetic."""
HUM = 12.0
"""Standard deviation of a room's noise."""


def track(rng: np.random.Generator, duration_s: float, *, pauses_s: tuple[float, float] | None) -> Samples:
    """Mono at 16 kHz: sentences in random order with pauses of that many seconds, from and to; None: nobody speaks."""
    sound = rng.normal(0, HUM, round(duration_s * SAMPLE_RATE_HZ))
    said = sentences() if pauses_s is not None else ()
    at = 0
    while pauses_s is not None and at < sound.size:
        at += round(rng.uniform(*pauses_s) * SAMPLE_RATE_HZ)
        sentence = said[int(rng.integers(len(said)))][: max(0, sound.size - at)]
        sound[at : at + sentence.size] += sentence
        at += sentence.size
    return np.clip(sound, -32768, 32767).astype(np.int16)


@cache
def sentences() -> Sequence[Samples]:
    """What the host says, without the silence around it."""
    whole = _decoded()
    starts = [round(utterance.at_s * SAMPLE_RATE_HZ) for utterance in read_programme().speech]
    return tuple(_trimmed(whole[start : start + round(LONGEST_S * SAMPLE_RATE_HZ)]) for start in starts)


def _trimmed(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > SILENT)
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples[:0]


def _decoded() -> Samples:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
    parts: list[Samples] = []
    with av.open(str(STREAM_FILE)) as container:
        for decoded in container.decode(audio=0):
            parts.extend(part.to_ndarray().reshape(-1) for part in resampler.resample(decoded))
        parts.extend(part.to_ndarray().reshape(-1) for part in resampler.resample(None))
    return np.concatenate(parts).astype(np.int16)
