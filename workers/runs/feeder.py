"""Carries open runs forward: plans requested reviews, feeds messages, finishes what is done, honours the marks.

One feeder works at a time. All that must last is in the store, so it may be killed at any moment, and another
goes on from there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import redis

from workers.broker.connecting import BrokerError
from workers.broker.dead import bury
from workers.broker.queues import queues_of
from workers.config import Config
from workers.logs import raised_at
from workers.metrics.counting import count_quarantined
from workers.publish import Publisher
from workers.runs import finish
from workers.runs.feeding import Feeding
from workers.runs.hold import NEWS_KEY, Held, held, hold, release
from workers.runs.lease import FEEDER_KEY, Lease
from workers.runs.progress import put_hint
from workers.runs.run import Plan, Request
from workers.runs.served import waits_for_checkpoints
from workers.runs.store import NoSuchRun, RunError, Runs
from workers.state import connect
from workers.storage import Storage, StorageError

logger = logging.getLogger(__name__)

LEASE_S = 10
OPEN_S, IDLE_S = 1.0, 2.0
"""Between two looks, with open runs and without, unless there is news."""
LEAST_S = 0.5
"""From look to look: one costs some requests to the store, and what came meanwhile is seen together."""
RETRY_S = 3.0
"""Between two tries at planning a review, and at what failed."""
AWAY = (StorageError, redis.RedisError, BrokerError)


class PlanReview(Protocol):
    def __call__(self, request: Request, config: Config, storage: Storage) -> Plan | None: ...


class Finish(Protocol):
    def __call__(self, runs: Runs, plan: Plan, config: Config) -> None: ...


def _plan_review(request: Request, config: Config, storage: Storage) -> Plan | None:
    from workers.runs.reviews import plan_review

    return plan_review(request, config, storage)


class Feeder:
    """`tick` is one look at everything; a process calls it for ever. Use from one thread."""

    def __init__(
        self,
        config: Config,
        *,
        plan_review: PlanReview = _plan_review,
        finish: Finish = finish.finish,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """`alive` is called before each look, and before each run in it."""
        self._config = config
        self._alive = alive
        self._plan_review = plan_review
        self._finish = finish
        self._client = connect(config)
        self._runs = Runs(Storage(config.store))
        self._publisher = Publisher(config)
        self._queues = queues_of(config)
        self._lease = Lease(self._client, FEEDER_KEY, LEASE_S)
        self._feedings: dict[str, Feeding] = {}
        self._not_before: dict[str, float] = {}

    def tick(self) -> int | None:
        """One look; how many runs are open, or None while another feeder works."""
        if not self._lease.hold():
            self._feedings.clear()
            return None
        with self._lease.kept():
            return self._looked()

    def _looked(self) -> int:
        """Planning a long stretch and reporting many changes take their time."""
        self._queues.look()
        self._bury()
        found = list(self._runs.open())
        for gone in set(self._feedings) - set(found):
            del self._feedings[gone]
        ready: list[Feeding] = []
        for run in found:
            self._alive()
            if time.monotonic() >= self._not_before.get(run, 0):
                self._not_before.pop(run, None)
                with self._apart(run):
                    ready += self._tend(run)
        self._feed(ready)
        return len(found)

    def _bury(self) -> None:
        """Messages that are nothing for this pool, or came too often, go to quarantine."""

        def count(reason: str) -> None:
            with suppress(redis.RedisError):
                count_quarantined(self._client, reason)

        bury(self._queues, self._runs.storage, delivery_limit=self._config.broker.delivery_limit, count=count)

    def run_forever(self, stop: threading.Event) -> None:
        """Until `stop` is set. Outlives the absence of broker and store."""
        while not stop.is_set():
            self._alive()
            began = time.monotonic()
            try:
                found = self.tick()
                self._pause(found, began, stop)
            except AWAY as error:
                logger.warning("feeder waits error=%s", type(error).__name__)
                stop.wait(RETRY_S)

    def close(self) -> None:
        with suppress(redis.RedisError):
            self._lease.give_up()
        self._publisher.close()
        self._queues.close()
        self._client.close()

    def _pause(self, found: int | None, began: float, stop: threading.Event) -> None:
        """Until there is news, but not long; whoever does not work takes no news. `began`: when it last looked."""
        if found is None:
            stop.wait(IDLE_S)
        else:
            self._client.blpop([NEWS_KEY], timeout=OPEN_S if found else IDLE_S)
            stop.wait(began + LEAST_S - time.monotonic())

    @contextmanager
    def _apart(self, run: str) -> Iterator[None]:
        """What goes wrong with one run holds up no other: it is said, and tried again."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it was, the other runs go on
            what = str(error) if isinstance(error, RunError) else f"{type(error).__name__} at {raised_at(error)}"
            logger.error("run not carried on run=%s error=%s", run, what)
            self._not_before[run] = time.monotonic() + RETRY_S
            if run in self._feedings:
                with suppress(redis.RedisError):
                    put_hint(self._client, run, self._feedings[run].hint(f"failing: {what}"))

    def _feed(self, ready: Iterable[Feeding]) -> None:
        """The window is that of a lane: the run that was planned first is fed first, and so ends first."""
        oldest_first = sorted(ready, key=lambda one: (one.plan.created_at, one.plan.run))
        for feeding in oldest_first:
            lane = feeding.plan.lane
            out = sum(one.outstanding for one in self._feedings.values() if one.plan.lane == lane)
            with self._apart(feeding.plan.run):
                feeding.feed(self._config.runs.window - out)

    def _tend(self, run: str) -> tuple[Feeding, ...]:
        """Moves the run as its state wants; the feeding that may have messages, if any."""
        try:
            state = self._runs.state(run)
        except NoSuchRun:
            self._runs.close(run)
            return ()
        if state == "requested" and self._planned(run):
            state = "running"
        match state:
            case "running":
                return self._carried(run)
            case "paused":
                self._stop(run, "paused")
            case "cancelled":
                if not self._stop(run, "cancelled"):
                    self._runs.close(run)
            case "finished":
                self._runs.close(run)
        return ()

    def _planned(self, run: str) -> bool:
        """Plans a requested review once its segments are there; one that can have none is ended."""
        request = self._runs.request(run)
        try:
            plan = self._plan_review(request, self._config, self._runs.storage) if request is not None else None
        except RunError as error:
            logger.warning("review ended run=%s error=%s", run, error)
            self._runs.mark(run, "cancelled", finish.FEEDER)
            self._runs.close(run)
            return False
        if plan is None:
            self._not_before[run] = time.monotonic() + RETRY_S
            return False
        self._runs.put_plan(plan)
        logger.info("review planned run=%s selected=%d", run, plan.selected)
        return True

    def _carried(self, run: str) -> tuple[Feeding, ...]:
        if held(self._client, run):
            if self._runs.state(run) != "running":
                return ()  # whoever moves it leaves the mark before the hold
            release(self._client, run)
        feeding = self._feedings.get(run)
        if feeding is None:
            plan = self._runs.plan(run)
            feeding = self._feeding(plan)
            self._feedings[run] = feeding
        feeding.look()
        if feeding.finished:
            self._end(feeding)
            return ()
        waits = waits_for_checkpoints(feeding.plan, self._client)
        put_hint(self._client, run, feeding.hint(waits))
        if waits:
            feeding.recall()
            return ()
        feeding.audit()
        return (feeding,)

    def _end(self, feeding: Feeding) -> None:
        put_hint(self._client, feeding.plan.run, feeding.hint("writing the report"))
        self._finish(self._runs, feeding.plan, self._config)
        del self._feedings[feeding.plan.run]

    def _stop(self, run: str, state: Held) -> bool:
        """Asserts the hold and takes messages back; whether any are still with a worker."""
        self._feedings.pop(run, None)
        hold(self._client, run, state)
        try:
            lane = self._runs.plan(run).lane
        except NoSuchRun:
            return False
        self._queues.withdraw(lane, run)
        return state == "cancelled" and bool(self._queues.under_way(lane, run))

    def _feeding(self, plan: Plan) -> Feeding:
        window = self._config.runs.window
        return Feeding(plan, self._runs, self._client, self._queues, self._publisher, window)
