"""One running run as the feeder carries it: which messages are out, what came back, what may be sent next.

Nothing here is more than a memory of what the store says; a feeder that starts anew sends what is not done, and
a message too many does nothing. It holds the batches that are on their way, never all of a run.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from workers.broker.queues import Queues
from workers.publish import Publisher
from workers.records import place_of
from workers.runs.messages import batch_task, segment_task
from workers.runs.pace import Pace
from workers.runs.progress import Hint
from workers.runs.run import Item, Plan
from workers.runs.store import Runs
from workers.state import StreamState

logger = logging.getLogger(__name__)

AUDIT_S = 5.0
"""When so long nothing was done, messages that nobody has are sent again."""
SEGMENT_SLASHES = 2
"""In the task id of a segment; that of a batch has one."""
SETTLED_S = 1.0
"""A message just sent may be between lane and worker."""


@dataclass(slots=True)
class _Batch:
    """A batch on its way: items that still need an outcome, how many got theirs, and the streams at its ends."""

    due: set[int]
    first: str
    last: str
    examined: int = 0


class Feeding:
    """The window of one run. Methods may raise what store and broker raise, and can then be called again."""

    def __init__(
        self, plan: Plan, runs: Runs, client: redis.Redis, queues: Queues, publisher: Publisher, window: int
    ) -> None:
        self.plan = plan
        self._runs = runs
        self._client = client
        self._queues = queues
        self._publisher = publisher
        self._window = window  # also bounds how many batches are open at a time
        self._up_to = 0
        self._beyond: set[int] = set()
        self._batches: dict[int, _Batch] = {}
        self._out: dict[str, float] = {}
        self._segments_concluded = 0
        self._pace = Pace()
        self._moved_at = time.monotonic()

    @property
    def finished(self) -> bool:
        """Every batch has its receipt."""
        return self._up_to >= len(self.plan.batches)

    @property
    def outstanding(self) -> int:
        """Segments whose message was sent and that were not yet seen done."""
        return sum(task.count("/") == SEGMENT_SLASHES for task in self._out)

    def look(self) -> None:
        """Takes note of what was done since the last look."""
        self._see_receipts()
        for number, batch in self._batches.items():
            if batch.due:
                self._see_outcomes(number, batch)
        self._pace.note(time.monotonic(), self._done)

    def feed(self, room: int) -> int:
        """Sends at most `room` segments, and every batch that can be concluded; how many segments.

        Batches are opened in order, the next one when all of the last is on its way.
        """
        sent, unsent = 0, False
        for number in range(self._up_to + 1, len(self.plan.batches) + 1):
            if number in self._beyond:
                continue
            if number not in self._batches:
                if unsent or len(self._batches) >= self._window:
                    break
                self._batches[number] = self._opened(number)
            for index in sorted(self._batches[number].due):
                if (task := segment_task(self.plan.run, number, index)) in self._out:
                    continue
                if unsent := sent >= room:
                    break
                self._publisher.send_reexamine(self.plan.run, number, index, self.plan.lane)
                self._sent(task)
                sent += 1
            self._conclude(number)
        return sent

    def recall(self) -> None:
        """Takes its messages back, so that they stand in nobody's way while the run waits."""
        self._queues.withdraw(self.plan.lane, self.plan.run)
        self._out.clear()

    def audit(self) -> int:
        """When nothing was done for a while: forgets messages that neither lane nor worker has; how many."""
        now = time.monotonic()
        if not self._out or now - self._moved_at < AUDIT_S:
            return 0
        self._moved_at = now
        there = self._queues.under_way(self.plan.lane, self.plan.run)
        missing = {task for task, at in self._out.items() if task not in there and now - at >= SETTLED_S}
        self.look()  # what was done and acknowledged meanwhile is not missing
        lost = missing & set(self._out)
        for task in lost:
            del self._out[task]
        if lost:
            logger.info("messages sent again run=%s messages=%d", self.plan.run, len(lost))
        return len(lost)

    def hint(self, detail: str) -> Hint:
        """Pace, and the time left; before there is a pace, what the plan expected."""
        now, left = time.monotonic(), self.plan.selected - self._done
        estimate = self.plan.estimate
        eta_s = estimate.wall_s * left / max(1, self.plan.selected) if estimate is not None else None
        rate = self._pace.rate(now)
        if rate:
            eta_s = left / rate
        return Hint(
            rate_per_s=None if rate is None else round(rate, 3),
            eta_s=None if eta_s is None else round(eta_s, 1),
            detail=detail or self._failing(),
            at=datetime.now(UTC),
        )

    def _failing(self) -> str:
        """Which batch workers lately failed to conclude, and on what; empty when none did."""
        state = StreamState(self._client, ttl_s=0)
        for number, batch in self._batches.items():
            if not batch.due and (failure := state.failure(batch_task(self.plan.run, number))):
                return f"batch {number} is tried again and again: {failure}"
        return ""

    @property
    def _done(self) -> int:
        """Segments concluded, and those of open batches that have what they need for it."""
        return self._segments_concluded + sum(batch.examined for batch in self._batches.values())

    def _see_receipts(self) -> None:
        new = self._runs.receipts(self.plan.run, after=self._up_to) - self._beyond
        for number in new:
            self._segments_concluded += self.plan.batches[number - 1]
            self._out.pop(batch_task(self.plan.run, number), None)
            for index in self._batches.pop(number).due if number in self._batches else ():
                self._out.pop(segment_task(self.plan.run, number, index), None)
        self._beyond |= new
        while self._up_to + 1 in self._beyond:
            self._up_to += 1
            self._beyond.remove(self._up_to)
        if new:
            self._moved_at = time.monotonic()

    def _see_outcomes(self, number: int, batch: _Batch) -> None:
        there = batch.due & self._runs.outcomes(self.plan.run, number)
        for index in there:
            self._out.pop(segment_task(self.plan.run, number, index), None)
        batch.due -= there
        batch.examined += len(there)
        if there:
            self._moved_at = time.monotonic()

    def _opened(self, number: int) -> _Batch:
        items = self._runs.batch(self.plan.run, number).items
        due = {index for index, item in enumerate(items) if item.stages}
        batch = _Batch(due, first=_stream(items[0]), last=_stream(items[-1]))
        if batch.due:
            self._see_outcomes(number, batch)
        return batch

    def _conclude(self, number: int) -> None:
        task = batch_task(self.plan.run, number)
        if not self._batches[number].due and task not in self._out and self._follows(number):
            self._publisher.send_conclude(self.plan.run, number, self.plan.lane)
            self._sent(task)

    def _follows(self, number: int) -> bool:
        """Whether the batch may be concluded: what came before of the stream that it begins with has its records."""
        before = self._batches.get(number - 1)
        return before is None or before.last != self._batches[number].first

    def _sent(self, task: str) -> None:
        if not self._out:
            self._moved_at = time.monotonic()
        self._out[task] = time.monotonic()


def _stream(item: Item) -> str:
    place = place_of(item.source)
    return place.stream_id if place else ""
