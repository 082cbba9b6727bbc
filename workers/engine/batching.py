"""Dynamic batching for one model: whatever waits when the model falls idle is the next batch.

A lone request never waits for company. Live goes before review, review before rescan, and in a lane the oldest first;
when bulk may run at all is for the device to say (`workers.engine.sharing`). On a CPU a bulk batch is cut to a short
time, as whoever comes next waits for its end; on CUDA bulk fills the places that live leaves.
A batch that fails is halved until only its culprit fails.

A model that is of use to several threads at a time has as many lanes, each with a batch of its own. Where live and bulk
slow each other down, bulk has one of them at most, so that live finds one free.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from pipelines.items import Failure, Item, Result, Scores
from pipelines.models import DeadlinePassed
from workers.engine.sharing import Sharing, Turn
from workers.engine.waiting import Place, Request, Waiting, items_in, rank_of, take

logger = logging.getLogger(__name__)

LIVE_LANE = "live"
NEWEST = 0.2
"""Weight of the last batch in the moving average of an item's cost."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """`charged_s`: what bulk paid to run beside live."""

    places: Sequence[Place]
    charged_s: float | None = None

    @property
    def bulk(self) -> int:
        return sum(not request.live for request, _ in self.places)


@dataclass(frozen=True, slots=True)
class BatcherCounts:
    """Since the start: batches run, items in them, items that failed; items waiting now.

    `bulk_items` of the items were bulk, and `bulk_busy_s` of the busy time was theirs, by their part of each batch.
    `rescored` items came with what the encoder had made of them.
    `broken_in_row`: the last batches whose every item made the model raise. A model that says itself what is
    wrong with an item works, so that a `Failure` it returned ends the row like a score. `running_s`: how long
    the oldest batch in hand has been running, 0 when there is none. `busy_s` is of all lanes together.
    """

    batches: int
    items: int
    failed: int
    waiting: int
    busy_s: float
    broken_in_row: int
    running_s: float
    bulk_items: int
    bulk_busy_s: float
    rescored: int


class Batcher:
    """Owns the threads that call `predict`, `at_a_time` of them. `close` answers every waiting caller.

    `sharing` is the device's; None: the model has one to itself.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        name: str,
        max_batch: int,
        at_a_time: int = 1,
        sharing: Sharing | None = None,
    ) -> None:
        self._predict = predict
        self._max_batch = max_batch
        self.sharing = sharing or Sharing()
        self._waiting = Waiting()
        self._owed_to_bulk = 0.0
        self._closed = False
        self.changed = threading.Condition(self.sharing.lock)
        self._batches = self._items = self._failed = self._broken_in_row = self._bulk_items = 0
        self._rescored = 0
        self._busy_s = self._bulk_busy_s = 0.0
        self._item_s: float | None = None
        self._running_since: list[float] = []
        self._bulk_runs = False
        with self.changed:
            self.sharing.join(self)
        self._threads = [
            threading.Thread(target=self._run, name=f"batcher-{name}", daemon=True) for _ in range(at_a_time)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, items: Sequence[Item], *, lane: str = LIVE_LANE, deadline: float | None = None
    ) -> Future[Sequence[Result]]:
        """The results, in order, once all are there. `deadline` is on `time.monotonic`'s clock.

        The future raises `DeadlinePassed` when items are still waiting at their deadline. A live one holds bulk
        back until it is done, so that whoever does not wait for it any more cancels it.
        """
        request = Request(items, (rank_of(lane), self.sharing.arrival()), deadline)
        if not items:
            request.answer.set_result(())
            return request.answer
        with self.changed:
            if self._closed:
                request.answer.set_exception(RuntimeError("the batcher is closed"))
                return request.answer
            if request.live:
                self.sharing.live_came()
            else:
                self.sharing.settle()
            self._waiting.add(request)
            request.answer.add_done_callback(lambda _: self._ended(request))
            self.changed.notify_all()
        return request.answer

    def counts(self) -> BatcherCounts:
        with self.changed:
            return BatcherCounts(
                batches=self._batches,
                items=self._items,
                failed=self._failed,
                waiting=items_in((*self._waiting.live, *self._waiting.bulk)),
                busy_s=self._busy_s,
                broken_in_row=self._broken_in_row,
                running_s=self.sharing.clock() - min(self._running_since) if self._running_since else 0,
                bulk_items=self._bulk_items,
                bulk_busy_s=self._bulk_busy_s,
                rescored=self._rescored,
            )

    def close(self) -> None:
        """Finishes the running batches and refuses the rest."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
        for thread in self._threads:
            thread.join()
        with self.changed:
            self.sharing.leave(self)
            for request in self._waiting:
                self._refuse(request, RuntimeError("the engine is stopping"))

    def bulk_turn(self) -> Turn | None:
        return self._waiting.bulk_turn()

    def bulk_cost_s(self) -> float:
        if self._item_s is None:
            return self.sharing.batch_s
        return min(items_in(self._waiting.bulk), self._bulk_places()) * self._item_s

    def _bulk_places(self) -> int:
        """Items of a bulk batch, at most: a single one until it is known how long they take."""
        if not self.sharing.exclusive:
            return self._max_batch
        if self._item_s is None:
            return 1
        return max(1, min(self._max_batch, int(self.sharing.batch_s / max(self._item_s, 1e-9))))

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            self._serve(batch)

    def _next(self) -> _Batch | None:
        """Waits for a batch that may run; None when closed."""
        with self.changed:
            while not self._closed:
                self._drop_expired()
                batch = self._take_alone() if self.sharing.exclusive else self._take_mixed()
                if batch.places:
                    return batch
                self.changed.wait(self._patience_s())
            return None

    def _patience_s(self) -> float | None:
        """Until bulk is admitted or expires; what else ends the wait tells so."""
        deadline = self._waiting.next_deadline()
        expires_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        admitted_s = None if self._bulk_runs else self.sharing.patience_s(self)
        return min((s for s in (expires_s, admitted_s) if s is not None), default=None)

    def _take_alone(self) -> _Batch:
        """Live or bulk, never both."""
        if self._bulk_runs or self.bulk_turn() is None or not self.sharing.admits(self):
            return _Batch(take(self._waiting.live, self._max_batch))
        charged_s = self.sharing.charge(self.bulk_cost_s())
        places = take(self._waiting.bulk, self._bulk_places())
        self._bulk_runs = True
        self.sharing.wake()
        return _Batch(places, charged_s)

    def _take_mixed(self) -> _Batch:
        """Live first, the places it leaves to bulk; bulk first in its share of the batches."""
        live, bulk = self._waiting.live, self._waiting.bulk
        if items_in(live) and items_in(bulk):
            self._owed_to_bulk += self.sharing.bulk_share
            if self._owed_to_bulk >= 1:
                self._owed_to_bulk -= 1
                return _Batch(take((*bulk, *live), self._max_batch))
        return _Batch(take((*live, *bulk), self._max_batch))

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for request in self._waiting:
            if request.deadline is not None and request.deadline <= now:
                self._refuse(request, DeadlinePassed())

    def _refuse(self, request: Request, error: Exception) -> None:
        self._forget(request)
        request.refuse(error)

    def _forget(self, request: Request) -> None:
        """Takes it out of its queue, if it is still there: somebody else may be first in line then."""
        if request in self._waiting:
            self.sharing.settle()
            self._waiting.remove(request)
            self.sharing.wake()

    def _ended(self, request: Request) -> None:
        """Whichever way its future was done, by us or by a caller that gives up."""
        with self.changed:
            self._forget(request)
            if request.live:
                self.sharing.live_ended()

    def _serve(self, batch: _Batch) -> None:
        started = self.sharing.clock()
        with self.changed:
            self._running_since.append(started)
        results, raised = self._predicted([request.items[index] for request, index in batch.places])
        with self.changed:
            took_s = self.sharing.clock() - started
            self._running_since.remove(started)
            self.sharing.refund(batch.charged_s, took_s)
            self._count(batch, results, raised, took_s)
            if batch.bulk:
                self._bulk_runs = False
                self.changed.notify_all()
            for (request, index), result in zip(batch.places, results, strict=True):
                request.put(index, result)

    def _count(self, batch: _Batch, results: Sequence[Result], raised: int, took_s: float) -> None:
        size = len(batch.places)
        self._batches += 1
        self._items += size
        self._bulk_items += batch.bulk
        self._failed += sum(isinstance(result, Failure) for result in results)
        self._rescored += sum(isinstance(result, Scores) and result.rescored for result in results)
        self._broken_in_row = self._broken_in_row + 1 if raised == size else 0
        self._busy_s += took_s
        self._bulk_busy_s += took_s * batch.bulk / size
        last_s = took_s / size
        self._item_s = last_s if self._item_s is None else NEWEST * last_s + (1 - NEWEST) * self._item_s

    def _predicted(self, items: Sequence[Item]) -> tuple[Sequence[Result], int]:
        """One result per item whatever happens, and of how many the model raised.

        A failing batch is halved until the culprit stands alone.
        """
        try:
            results = self._predict(items)
            if len(results) != len(items):
                raise ValueError(f"{len(results)} results for {len(items)} items")
        except Exception as error:  # noqa: BLE001  # whatever a model raises must not stop the loop
            if len(items) == 1:
                logger.warning("item failed error=%s", type(error).__name__)
                return [Failure(error=type(error).__name__)], 1
            middle = len(items) // 2
            (first, raised), (rest, more) = self._predicted(items[:middle]), self._predicted(items[middle:])
            return [*first, *rest], raised + more
        return results, 0
