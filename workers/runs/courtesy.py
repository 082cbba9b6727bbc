"""Work of a run that asks no model waits for live work too: reading, fusing and storing take cores and the store.

Niceness does not reach the store, and on few cores each one counts. So while live questions are in flight in the
engine of this host, such work advances for bulk's share of the time only, as its models do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

LONGEST_S = 5.0
"""At most so long at once, that a pause or cancel is soon seen."""


class Engine(Protocol):
    def wait_quiet(self, within_s: float) -> None: ...


class Courtesy:
    """Measures what was worked between two calls, and waits in proportion while live work goes on."""

    def __init__(self, engine: Engine, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._share = share
        self._clock = clock
        self._since = clock()

    def give_way(self) -> None:
        """Call it between two small pieces of work."""
        worked_s = self._clock() - self._since
        if self._share < 1:
            longest_s = worked_s * (1 / self._share - 1) if self._share > 0 else LONGEST_S
            self._engine.wait_quiet(min(LONGEST_S, longest_s))
        self._since = self._clock()
