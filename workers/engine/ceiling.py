"""How large an engine may grow before it is replaced: a new process is as small as its models allow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import psutil

logger = logging.getLogger(__name__)

LASTING_S = 10.0
"""What it takes for a moment, as while a checkpoint loads, is no growth."""


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


class Ceiling:
    """Counts from `warm` on. One that the models alone reach is said to be too low, and not kept."""

    def __init__(
        self,
        limit_mb: int | None,
        *,
        held: Callable[[], int] = resident_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_mb, self._held, self._clock = limit_mb, held, clock
        self._warm = False
        self._over_since: float | None = None

    def warm(self) -> None:
        """The models are loaded."""
        if self._limit_mb is not None and self._held_mb() > self._limit_mb:
            logger.error(
                "the models alone take more than engine.memory_limit_mb, which is not kept: raise it beyond held_mb=%d",
                self._held_mb(),
            )
            self._limit_mb = None
        self._warm = True

    def passed(self) -> str | None:
        """What to say when more than the limit has been held for a while, else None."""
        if self._limit_mb is None or not self._warm:
            return None
        if (held_mb := self._held_mb()) <= self._limit_mb:
            self._over_since = None
            return None
        if self._over_since is None:
            self._over_since = self._clock()
        if self._clock() - self._over_since < LASTING_S:
            return None
        return f"it holds {held_mb} MB, more than engine.memory_limit_mb allows; the next one starts small"

    def _held_mb(self) -> int:
        return self._held() >> 20
