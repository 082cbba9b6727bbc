"""Has a worker end whose event loop stands still, or looks for no more messages: it would look alive and take nothing.

What it had comes back as that of any worker that died; its children end with it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from celery import bootsteps

from workers.watchdog import Watchdog

EVERY_S = 1.0


class LoopStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """A step of the consumer, which stops and starts with every connection: who waits for a broker does not hang."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._stuck_s = consumer.app.liverisk_config.worker.stuck_s
        self._watchdog = Watchdog(self._stuck_s)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        self._watchdog.alive()
        self._timer = consumer.hub.call_repeatedly(min(EVERY_S, self._stuck_s / 4), partial(self._went_round, consumer))

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watchdog.rest()

    shutdown = terminate = stop

    def _went_round(self, consumer: Any) -> None:
        taker = consumer.task_consumer
        if taker is None or time.monotonic() - taker.looked_at < self._stuck_s:
            self._watchdog.alive()
