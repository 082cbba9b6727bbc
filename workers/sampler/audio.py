"""The audio of a window: pieces laid at their samples, and FLAC in memory."""

from __future__ import annotations

import io

import av
import numpy as np
from numpy.typing import NDArray

from pipelines.items import SAMPLE_RATE_HZ

JITTER_SAMPLES = SAMPLE_RATE_HZ // 10
"""Stamps are rounded (FLV: to the millisecond); pieces this near to one another are one sound without seams."""


class Tape:
    """Int16 mono samples by their index on the source's clock, until a window takes them."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, NDArray[np.int16]]] = []
        self._next = 0

    def add(self, at_s: float, samples: NDArray[np.int16]) -> None:
        """Lays the piece at its time, or right after the last one when it is within the jitter; overlap is cut."""
        start = round(at_s * SAMPLE_RATE_HZ)
        if abs(start - self._next) <= JITTER_SAMPLES:
            start = self._next
        elif start < self._next:
            samples, start = samples[self._next - start :], self._next
        if len(samples):
            self._pieces.append((start, samples))
            self._next = start + len(samples)

    def take(self, from_s: float, to_s: float) -> NDArray[np.int16] | None:
        """The window's samples, zero where nothing was received; None when nothing was received at all.

        Drops what lies before `to_s`.
        """
        first, last = round(from_s * SAMPLE_RATE_HZ), round(to_s * SAMPLE_RATE_HZ)
        window = np.zeros(last - first, dtype=np.int16)
        heard, left = False, []
        for start, samples in self._pieces:
            end = start + len(samples)
            if start < last and end > first:
                heard = True
                piece = samples[max(first - start, 0) : last - start]
                begin = max(start, first) - first
                window[begin : begin + len(piece)] = piece
            if end > last:
                left.append((start, samples))
        self._pieces = left
        return window if heard else None


def flac(samples: NDArray[np.int16]) -> bytes:
    """Mono 16 kHz FLAC of a non-empty window, lossless."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
