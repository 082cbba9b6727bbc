"""Cuts what a source says into windows of equal length. Pure: no clock, no files, no network.

A window closes when every track has passed its end, or when one of them is well past it. What did not come
is written down as a gap; a window in which nothing came at all is still a window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.items import SAMPLE_RATE_HZ
from pipelines.manifest import Gap
from workers.config import Tier
from workers.sampler.audio import Tape
from workers.sampler.events import Event, Kind, Lapse, Sight, Sound, Tracks

GAP_S = 0.5
"""A shorter hole in a track is jitter."""

SHORTEST_S = 0.5
"""A shorter remainder at the end of a source is dropped."""

ROUNDING_S = 1e-6
"""Stamps are fractions of a time base; this far apart they are the same moment."""


@dataclass(frozen=True, slots=True)
class Still:
    """One sampled frame; seconds from the start of its window."""

    at_s: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Window:
    """One segment's media. `start_s` is on the source's clock, everything inside counts from it."""

    start_s: float
    duration_s: float
    stills: tuple[Still, ...]
    samples: NDArray[np.int16] | None
    gaps: tuple[Gap, ...]

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s

    @property
    def empty(self) -> bool:
        return not self.stills and self.samples is None


class Segmenter:
    """Takes events in order and gives windows in order, without holes between them.

    A window waits for the slower track until the faster one is `interleaving_s` past the window's end.
    """

    def __init__(self, tier: Tier, *, interleaving_s: float) -> None:
        self._tier = tier
        self._interleaving_s = interleaving_s
        self._index = 0
        self._kinds: frozenset[Kind] = frozenset()
        self._covered: dict[Kind, float] = {"video": 0.0, "audio": 0.0}
        self._missing: list[tuple[float, float, str]] = []
        self._stills: list[tuple[float, bytes]] = []
        self._due = 0
        self._tape = Tape()
        self._withheld: list[Window] = []

    def add(self, event: Event) -> Iterator[Window]:
        """The windows that this event closes, usually none."""
        if isinstance(event, Tracks):
            self._kinds = event.kinds
        elif isinstance(event, Sight):
            self._cover("video", event.at_s, event.at_s + event.duration_s)
            self._keep(event)
        elif isinstance(event, Sound):
            self._cover("audio", event.at_s, event.at_s + len(event.samples) / SAMPLE_RATE_HZ)
            self._tape.add(event.at_s, event.samples)
        elif isinstance(event, Lapse):
            self._lapse(event)
        yield from self._close(self._complete_to())

    def finish(self) -> Iterator[Window]:
        """What was still open. Empty windows at the very end are dropped: there was no source any more."""
        end_s = max(self._covered.values())
        yield from self._close(end_s)
        if end_s - self._start_s >= SHORTEST_S:
            window = self._cut(end_s)
            if not window.empty:
                yield from self._release(window)

    @property
    def _start_s(self) -> float:
        return self._index * self._tier.segment_s

    def _complete_to(self) -> float:
        """Up to when everything that can be expected has come."""
        reached = [self._covered[kind] for kind in self._kinds] or [0.0]
        return max(min(reached), max(reached) - self._interleaving_s)

    def _cover(self, kind: Kind, from_s: float, to_s: float) -> None:
        if from_s > self._covered[kind] + GAP_S:
            self._missing.append((self._covered[kind], from_s, f"no {kind} received"))
        self._covered[kind] = max(self._covered[kind], to_s)

    def _lapse(self, lapse: Lapse) -> None:
        if self._missing and self._missing[-1][1:] == (lapse.from_s, lapse.reason):
            lapse = replace(lapse, from_s=self._missing.pop()[0])
        self._missing.append((lapse.from_s, lapse.to_s, lapse.reason))
        for kind in self._covered:
            self._covered[kind] = max(self._covered[kind], lapse.to_s)

    def _keep(self, sight: Sight) -> None:
        """Keeps the first frame at or after each due time; the grid counts from the source's start.

        A frame of a window that is already closed came too late: that window's gap says so.
        """
        interval_s = self._tier.frame_interval_s
        if sight.at_s < max(self._start_s, self._due * interval_s) - ROUNDING_S:
            return
        if (picture := sight.encode()) is None:
            return
        self._stills.append((sight.at_s, picture))
        self._due = math.floor((sight.at_s + ROUNDING_S) / interval_s) + 1

    def _close(self, until_s: float) -> Iterator[Window]:
        while (end_s := self._start_s + self._tier.segment_s) <= until_s + ROUNDING_S:
            window = self._cut(end_s)
            if window.empty:
                self._withheld.append(window)
            else:
                yield from self._release(window)

    def _release(self, window: Window) -> Iterator[Window]:
        yield from self._withheld
        self._withheld.clear()
        yield window

    def _cut(self, end_s: float) -> Window:
        start_s = self._start_s
        for kind in self._kinds:
            if self._covered[kind] < end_s - GAP_S:
                self._cover(kind, end_s, end_s)
        inside = [still for still in self._stills if still[0] < end_s - ROUNDING_S]
        window = Window(
            start_s=start_s,
            duration_s=round(end_s - start_s, 3),
            stills=tuple(Still(max(0.0, round(at_s - start_s, 3)), jpeg) for at_s, jpeg in inside),
            samples=self._tape.take(start_s, end_s),
            gaps=tuple(self._gaps(start_s, end_s)),
        )
        self._stills = self._stills[len(inside) :]
        self._missing = [hole for hole in self._missing if hole[1] > end_s]
        self._index += 1
        return window

    def _gaps(self, start_s: float, end_s: float) -> Iterator[Gap]:
        for from_s, to_s, reason in self._missing:
            first, last = max(from_s, start_s) - start_s, min(to_s, end_s) - start_s
            if last > first:
                yield Gap(from_s=round(first, 3), to_s=round(last, 3), reason=reason)
