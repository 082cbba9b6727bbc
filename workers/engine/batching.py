"""Dynamic batching for one model: whatever waits when the model falls idle is the next batch.

A lone request never waits for company. Live items go first; bulk fills the places they leave, and a
share of the batches is owed to bulk, oldest first, so that a rescan moves even under constant live load.
A batch that fails is halved until only its culprit fails.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from pipelines.items import Failure, Item, Result
from pipelines.models import DeadlinePassed

logger = logging.getLogger(__name__)

LIVE_LANE = "live"


@dataclass(slots=True)
class _Request:
    """Items of one caller; they may ride in several batches. Touched under the batcher's lock only."""

    items: Sequence[Item]
    live: bool
    deadline: float | None
    answer: Future[Sequence[Result]]
    results: list[Result | None] = field(default_factory=list)
    taken: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class BatcherCounts:
    """Since the start: batches run, items in them, items that failed; items waiting now.

    `broken_in_row`: the last batches whose every item made the model raise. A model that says itself what is
    wrong with an item works, so that a `Failure` it returned ends the row like a score. `running_s`: how long
    the batch in hand has been running, 0 when there is none.
    """

    batches: int
    items: int
    failed: int
    waiting: int
    busy_s: float
    broken_in_row: int
    running_s: float


class Batcher:
    """Owns the one thread that calls `predict`. `close` answers every waiting caller."""

    def __init__(
        self,
        predict: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        name: str,
        max_batch: int,
        bulk_share: float = 0.1,
    ) -> None:
        self._predict = predict
        self._max_batch = max_batch
        self._bulk_share = bulk_share
        self._live: deque[_Request] = deque()
        self._bulk: deque[_Request] = deque()
        self._owed_to_bulk = 0.0
        self._closed = False
        self._changed = threading.Condition()
        self._batches = self._items = self._failed = self._broken_in_row = 0
        self._raised = 0
        self._busy_s = 0.0
        self._running_since: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"batcher-{name}", daemon=True)
        self._thread.start()

    def submit(
        self, items: Sequence[Item], *, lane: str = LIVE_LANE, deadline: float | None = None
    ) -> Future[Sequence[Result]]:
        """The results, in order, once all are there. `deadline` is on `time.monotonic`'s clock.

        The future raises `DeadlinePassed` when items are still waiting at their deadline.
        """
        request = _Request(items, lane == LIVE_LANE, deadline, Future(), [None] * len(items))
        if not items:
            request.answer.set_result(())
            return request.answer
        with self._changed:
            if self._closed:
                request.answer.set_exception(RuntimeError("the batcher is closed"))
                return request.answer
            (self._live if request.live else self._bulk).append(request)
            self._changed.notify()
        return request.answer

    def counts(self) -> BatcherCounts:
        with self._changed:
            waiting = sum(len(r.items) - r.taken for queue in (self._live, self._bulk) for r in queue)
            return BatcherCounts(
                batches=self._batches,
                items=self._items,
                failed=self._failed,
                waiting=waiting,
                busy_s=self._busy_s,
                broken_in_row=self._broken_in_row,
                running_s=time.monotonic() - self._running_since if self._running_since is not None else 0,
            )

    def close(self) -> None:
        """Finishes the running batch and refuses the rest."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        for request in (*self._live, *self._bulk):
            _resolve(request.answer, error=RuntimeError("the engine is stopping"))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._live or self._bulk)
                if self._closed:
                    return
                batch = self._take()
            if batch:
                self._serve(batch)

    def _take(self) -> list[tuple[_Request, int]]:
        """The next batch as (request, item index); called under the lock."""
        self._drop_expired()
        first, second = self._live, self._bulk
        if self._live and self._bulk:
            self._owed_to_bulk += self._bulk_share
            if self._owed_to_bulk >= 1:
                self._owed_to_bulk -= 1
                first, second = self._bulk, self._live
        batch: list[tuple[_Request, int]] = []
        for queue in (first, second):
            while queue and len(batch) < self._max_batch:
                request = queue[0]
                batch.append((request, request.taken))
                request.taken += 1
                if request.taken == len(request.items):
                    queue.popleft()
        return batch

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for queue in (self._live, self._bulk):
            expired = [request for request in queue if request.deadline is not None and request.deadline <= now]
            for request in expired:
                queue.remove(request)
                _resolve(request.answer, error=DeadlinePassed())

    def _serve(self, batch: list[tuple[_Request, int]]) -> None:
        self._running_since = started = time.monotonic()
        self._raised = 0
        results = self._predicted([request.items[index] for request, index in batch])
        with self._changed:
            self._batches += 1
            self._items += len(batch)
            self._failed += sum(isinstance(result, Failure) for result in results)
            self._broken_in_row = self._broken_in_row + 1 if self._raised == len(batch) else 0
            self._busy_s += time.monotonic() - started
            self._running_since = None
            for (request, index), result in zip(batch, results, strict=True):
                request.results[index] = result
                request.done += 1
                if request.done == len(request.items):
                    _resolve(request.answer, results=[r for r in request.results if r is not None])

    def _predicted(self, items: Sequence[Item]) -> Sequence[Result]:
        """One result per item whatever happens: a failing batch is halved until the culprit stands alone."""
        try:
            results = self._predict(items)
            if len(results) != len(items):
                raise ValueError(f"{len(results)} results for {len(items)} items")
        except Exception as error:  # noqa: BLE001  # whatever a model raises must not stop the loop
            if len(items) == 1:
                logger.warning("item failed error=%s", type(error).__name__)
                self._raised += 1
                return [Failure(error=type(error).__name__)]
            middle = len(items) // 2
            return [*self._predicted(items[:middle]), *self._predicted(items[middle:])]
        return results


def _resolve(
    answer: Future[Sequence[Result]], *, results: Sequence[Result] = (), error: Exception | None = None
) -> None:
    """Sets the outcome unless the caller has given up."""
    if not answer.set_running_or_notify_cancel():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(results)
