"""Ends a process whose main loop stands still, also when a call into a library lets no other thread of it run.

The clock is `faulthandler`'s: a thread of C that needs no interpreter. It writes where every thread was, names of files
and functions only, and ends the process; whoever keeps it running starts the next one.
"""

from __future__ import annotations

import faulthandler
import time

STUCK_EXIT_CODE = 1
"""`faulthandler` knows no other."""
STANDARD_ERROR = 2
"""By its number: Celery puts something else than a file in the place of `sys.stderr`."""
MOST_OFTEN_S = 1.0


class Watchdog:
    """One a process. Watches from the first `alive` on; between two of them may pass at most `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._told_at = float("-inf")

    def alive(self) -> None:
        """The loop goes round. Call it as often as you like."""
        now = time.monotonic()
        if now - self._told_at < min(MOST_OFTEN_S, self._limit_s / 10):
            return
        self._told_at = now
        faulthandler.dump_traceback_later(self._limit_s, exit=True, file=STANDARD_ERROR)

    def rest(self) -> None:
        """Until the next `alive` the loop may stand still."""
        self._told_at = float("-inf")
        faulthandler.cancel_dump_traceback_later()
