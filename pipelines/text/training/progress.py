"""How far a long computation is, said in plain lines: done, rate, time left."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 30.0

Progress = Callable[[str], None]


class Rate:
    """Counts `unit`s of work and says now and then how fast it goes; `done` is what an earlier run did already."""

    def __init__(self, name: str, of: float, unit: str, progress: Progress, *, done: float = 0) -> None:
        self._name, self._of, self._unit, self._progress = name, of, unit, progress
        self._before = self._done = done
        self._started = self._said = time.monotonic()

    def add(self, done: float, note: str = "") -> None:
        """`note` ends the line, where one is said: at most one in `EVERY_S`, and one at the end."""
        self._done += done
        now = time.monotonic()
        if now - self._said < EVERY_S and self._done < self._of:
            return
        self._said = now
        speed = (self._done - self._before) / max(now - self._started, 1e-9)
        left = (self._of - self._done) / max(speed, 1e-9)
        line = f"{self._name}: {self._done:.0f} of {self._of:.0f} {self._unit}, {speed:.0f} a second"
        self._progress(f"{line}, {_span(left)} left{'; ' if note else ''}{note}")


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
