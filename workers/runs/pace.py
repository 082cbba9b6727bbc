"""How fast a run goes and when it will be done, from how far it has come lately."""

from __future__ import annotations

from collections import deque

WINDOW_S = 120.0
"""A rate speaks of this long, or of the last two steps where they lie further apart."""


class Pace:
    """Counts of segments done over time. Bounded: a step is kept a second apart from the one before."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, int]] = deque()

    def note(self, at: float, done: int) -> None:
        """`at` in seconds of a steady clock."""
        if self._steps and (done == self._steps[-1][1] or at - self._steps[-1][0] < 1):
            return
        self._steps.append((at, done))
        while len(self._steps) > 2 and self._steps[1][0] < at - WINDOW_S:
            self._steps.popleft()

    def rate(self, now: float) -> float | None:
        """Segments per second; None before the second step."""
        if len(self._steps) < 2:
            return None
        (first_at, first), (_, last) = self._steps[0], self._steps[-1]
        return (last - first) / max(now - first_at, 0.001)
