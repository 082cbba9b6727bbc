"""Who may use a device: live asks come first over all its slots, and bulk is owed a share of the time.

A batch cannot be stopped, and on a CPU the batches of two models take each other's cores. So while any live ask is in
flight there, bulk batches wait, and a share of that time goes to their credit. The first in line, over all slots, may
start beside live as soon as the credit covers what its batch is expected to take: one after the other, so that cheap
batches cannot use up what a dear one waits for. On CUDA a wider batch costs next to nothing, and nobody waits here.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Protocol

Turn = tuple[int, int]
"""Lane, then arrival: the least goes first."""


class Queue(Protocol):
    """What waits before one model. Asked under the lock."""

    @property
    def changed(self) -> threading.Condition:
        """Wakes whoever serves the queue; its lock is the device's."""
        ...

    def bulk_turn(self) -> Turn | None:
        """When the first bulk ask's turn is; None when no bulk waits."""
        ...

    def bulk_cost_s(self) -> float:
        """How long the next bulk batch is expected to run."""
        ...


class Sharing:
    """One device, as all the queues before its models see it.

    `exclusive`: live and bulk slow each other down, as on a CPU. `batch_s`: what a bulk batch should not exceed.
    `linger_s`: live keeps the device for so long after its last answer. `clock` measures what batches take.
    Call its methods with `lock` held, except for `live_ended` and `wait_quiet`, and `settle` before anything that
    waits changes.
    """

    def __init__(
        self,
        *,
        exclusive: bool = True,
        bulk_share: float = 0.1,
        batch_s: float = 0.1,
        linger_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock = threading.RLock()  # a future that is answered under it may report back at once
        self.exclusive = exclusive
        self.bulk_share = bulk_share
        self.batch_s = batch_s
        self.linger_s = linger_s
        self.clock = clock
        self._queues: list[Queue] = []
        self._arrivals = itertools.count()
        self._live = 0
        self._quiet_at = clock()
        self._quiet = threading.Condition(self.lock)
        self._credit_s = 0.0
        self._settled_at = clock()

    @property
    def live(self) -> int:
        """Live asks in flight: those that have come and have no answer yet."""
        return self._live

    @property
    def busy(self) -> bool:
        """Whether bulk has to wait for live: an ask is in flight, or was a moment ago."""
        return self.exclusive and (self._live > 0 or self.clock() < self._quiet_at)

    def join(self, queue: Queue) -> None:
        self._queues.append(queue)

    def leave(self, queue: Queue) -> None:
        self.settle()
        self._queues = [other for other in self._queues if other is not queue]
        self.wake()

    def arrival(self) -> int:
        return next(self._arrivals)

    def live_came(self) -> None:
        self.settle()
        self._live += 1

    def live_ended(self) -> None:
        """However it ended: answered, failed, expired or given up."""
        with self.lock:
            self.settle()
            self._live -= 1
            if not self._live:
                self._quiet_at = self.clock() + self.linger_s
                self.wake()
                self._quiet.notify_all()

    def wait_quiet(self, within_s: float) -> None:
        """Returns when live leaves the device to bulk, at the latest after `within_s`. Call it without the lock."""
        until = self.clock() + within_s
        with self.lock:
            while self.busy and (left_s := until - self.clock()) > 0:
                self._quiet.wait(left_s if self._live else min(left_s, self._quiet_at - self.clock()))

    def settle(self) -> None:
        """Books the time since the last call. The credit never exceeds what the first in line needs."""
        now = self.clock()
        if self._live and (first := self._first()) is not None:
            earned_s = (now - self._settled_at) * self.bulk_share
            self._credit_s = min(self._credit_s + earned_s, first.bulk_cost_s())
        self._settled_at = now

    def admits(self, queue: Queue) -> bool:
        """May the queue's next bulk batch start now?"""
        if not self.busy:
            return True
        self.settle()
        return self._live > 0 and self._in_line(queue) and self._credit_s >= queue.bulk_cost_s()

    def patience_s(self, queue: Queue) -> float | None:
        """When the queue's bulk would be admitted if live went on as now; None: not without a change."""
        if not self._live:
            return max(0.0, self._quiet_at - self.clock()) if queue.bulk_turn() is not None else None
        if not self._in_line(queue):
            return None
        return max(0.0, queue.bulk_cost_s() - self._credit_s) / self.bulk_share

    def charge(self, cost_s: float) -> float | None:
        """Pays for an admitted bulk batch that starts beside live; None when it has the device to itself."""
        if not self.exclusive or not self._live:
            return None
        self._credit_s -= cost_s
        return cost_s

    def refund(self, charged_s: float | None, took_s: float) -> None:
        """Corrects the charge by what the batch took."""
        if charged_s is not None:
            self._credit_s += charged_s - took_s

    def wake(self) -> None:
        """Has everyone whose bulk waits ask again: live has ended, or another is first in line."""
        for queue in self._queues:
            if queue.bulk_turn() is not None:
                queue.changed.notify()

    def _in_line(self, queue: Queue) -> bool:
        return self.bulk_share > 0 and self._first() is queue

    def _first(self) -> Queue | None:
        waiting = [(turn, queue) for queue in self._queues if (turn := queue.bulk_turn()) is not None]
        return min(waiting, key=lambda pair: pair[0])[1] if waiting else None
