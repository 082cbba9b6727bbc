"""What sends segments into a pool that breaks, so many at a time: some twice, late, and out of order."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from random import Random

from celery import Celery

from tests.benchmarks.chaos_pool import ChaosPool
from tests.benchmarks.chaos_segments import ROUND, Sent, kinds, made
from workers.broker.connecting import AWAY, make_celery
from workers.lanes import CLASSIFY, LANES, Lane
from workers.publish import Publisher, PublishError
from workers.storage import StorageError

COPIES: Sequence[int] = (0, 0, 0, 0, 0, 1, 1, 2)
"""How many more times a segment is sent."""
OVERTAKING_S, COPY_S = 2.0, 20.0
"""The first message of a segment is sent within so many seconds, and each copy, unless told otherwise."""
LOOK_S = 0.3


class Load:
    """A thread that keeps so many segments under way and sees which have ended. Everybody may read its counts."""

    def __init__(
        self,
        pool: ChaosPool,
        seed: int,
        *,
        outstanding: int,
        rounds: int | None = None,
        mix: Mapping[str, int] = ROUND,
        copy_s: float = COPY_S,
    ) -> None:
        """`rounds` of segments of this mix at most; None: until `stop`. A copy is sent within `copy_s`."""
        self._pool, self._most, self.limited = pool, outstanding, rounds is not None
        self._chance = Random(f"copies {seed}")  # to be repeated, not to be hard to guess
        self._kinds = enumerate(kinds(seed, rounds, mix))
        self._copy_s = copy_s
        self._coming: tuple[int, str] | None = None
        self._due: list[tuple[float, int, Sent, Lane]] = []
        self._pushed = count()
        self._publisher: Publisher | None = None
        self._stranger: Celery | None = None
        self._no_more, self._ending = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.sent: dict[str, Sent] = {}
        self.open: dict[str, Sent] = {}
        self.messages = 0
        self.refused: Counter[str] = Counter()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No new segments from now on; what is still to be sent of the others is."""
        self._no_more.set()

    def over(self) -> bool:
        """Whether everything has been sent."""
        return self._no_more.is_set() and not self._due

    def check(self) -> None:
        """Raises what ended the thread."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ending.wait(LOOK_S):
                self._look()
                while len(self.open) < self._most and self._add():
                    pass
                self._send()
        except Exception as error:  # noqa: BLE001  # raised in the thread that waits for us
            self._failure = error
        finally:
            self._disconnect()

    def _look(self) -> None:
        """Which segments have ended; a store that is away says nothing."""
        with suppress(StorageError):
            for name, sent in list(self.open.items()):
                places = [place for place in (sent.record, sent.put_aside) if place is not None]
                if any(map(self._pool.storage.exists, places)):
                    del self.open[name]

    def _add(self) -> bool:
        """One more segment and its copies, if there is one and the store takes its media."""
        if self._no_more.is_set():
            return False
        self._coming = self._coming or next(self._kinds, None)
        if self._coming is None:
            self._no_more.set()
            return False
        number, kind = self._coming
        try:
            sent = made(self._pool.storage, kind, number)
        except StorageError:
            self.refused["media"] += 1
            return False
        self._coming = None
        self.sent[sent.name] = self.open[sent.name] = sent
        self._push(self._chance.uniform(0, OVERTAKING_S), sent, LANES[0])
        for _ in range(self._chance.choice(COPIES)):
            self._push(self._chance.uniform(0, self._copy_s), sent, self._chance.choice(LANES))
        return True

    def _push(self, in_s: float, sent: Sent, lane: Lane) -> None:
        heapq.heappush(self._due, (time.monotonic() + in_s, next(self._pushed), sent, lane))

    def _send(self) -> None:
        """What is due; what the broker does not take is sent again, as any producer would."""
        while self._due and self._due[0][0] <= time.monotonic():
            _, _, sent, lane = self._due[0]
            try:
                self._publish(sent, lane)
            except (PublishError, *AWAY):
                self.refused["messages"] += 1
                self._disconnect()
                return
            heapq.heappop(self._due)
            self.messages += 1

    def _publish(self, sent: Sent, lane: Lane) -> None:
        if sent.manifest is not None:
            self._publisher = self._publisher or Publisher(self._pool.config)
            self._publisher.send(sent.manifest, lane)
            return
        if self._stranger is None:
            self._stranger = make_celery("stranger", self._pool.config.broker)
        try:
            with self._stranger.connection_for_write() as connection:
                self._stranger.send_task(
                    CLASSIFY, args=[sent.message], queue=lane, ignore_result=True, connection=connection, retry=False
                )
        except AttributeError:  # kombu's, when a connection breaks at the wrong moment
            raise ConnectionResetError from None

    def _disconnect(self) -> None:
        with suppress(*AWAY):
            if self._publisher is not None:
                self._publisher.close()
            if self._stranger is not None:
                self._stranger.close()
        self._publisher = self._stranger = None
