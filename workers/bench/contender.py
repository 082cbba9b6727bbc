"""What examines the corpus, as the benchmark sees it: started, fed with segments, measured, stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from pipelines.manifest import SegmentManifest
from workers.bench.costs import Roots

PATIENCE_S = 900.0
"""Longest wait for the next segment to be finished."""
LOOK_S = 0.02


class ContenderFailed(Exception):
    """It did not start or does not get on; one line that names its log."""


class Running(Protocol):
    """A contender at work."""

    def roots(self) -> Roots:
        """Its processes: those that everything it consists of descends from."""
        ...

    def play(self, segments: Sequence[SegmentManifest], at_s: Sequence[float]) -> list[float]:
        """Hands over each segment at its time; when each was finished. Both in seconds from now."""
        ...


class Contender(Protocol):
    """`name` stands in the report; `start` returns when segments are taken."""

    @property
    def name(self) -> str: ...

    def start(self) -> AbstractContextManager[Running]: ...


class Pace:
    """Hands things over at their times and gathers when they were finished, by their index."""

    def __init__(self, at_s: Sequence[float], *, ahead: int) -> None:
        """`ahead`: handed over and not finished at a time, at most; a queue of thousands measures the queue."""
        self._at_s = at_s
        self._ahead = ahead
        self._began = time.monotonic()
        self._sent = 0
        self._finished: dict[int, float] = {}

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._began

    def run(self, send: Callable[[int], None], finished: Callable[[], Sequence[int]], what: str) -> list[float]:
        """`finished` gives the indexes of those that came to their end since it was last asked."""
        moved_s = 0.0
        while len(self._finished) < len(self._at_s):
            while self._may_send():
                send(self._sent)
                self._sent += 1
            for index in finished():
                self._finished.setdefault(index, self.now_s)
                moved_s = self.now_s
            if self.now_s - max(moved_s, self._last_s()) > PATIENCE_S:
                raise ContenderFailed(f"{what}: no segment finished in {PATIENCE_S:.0f} s")
            time.sleep(LOOK_S)
        return [self._finished[index] for index in range(len(self._at_s))]

    def _may_send(self) -> bool:
        under_way = self._sent - len(self._finished)
        return self._sent < len(self._at_s) and under_way < self._ahead and self.now_s >= self._at_s[self._sent]

    def _last_s(self) -> float:
        return self._at_s[self._sent - 1] if self._sent else 0.0
