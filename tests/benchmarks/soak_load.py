"""Steady, mixed load for a soak: streams that come and go, hostile media and messages among them, and askers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, cycle
from types import TracebackType
from typing import Self

from prometheus_client import generate_latest
from pydantic import JsonValue

from pipelines.manifest import AudioRef, FrameRef, SegmentManifest
from tests import hostile
from tests.benchmarks.bench import Bench, milder
from tests.benchmarks.corpus import Corpus, ending_now
from workers.broker.connecting import make_celery
from workers.health import engine_problem, worker_problem
from workers.lanes import CLASSIFY
from workers.metrics.reading import pool_registry
from workers.records import record_key_of
from workers.runs.planning import RescanOrder, plan_rescan
from workers.runs.run import Plan
from workers.runs.selection import Selection

SEGMENT_S = 10.0
HOSTILE_EVERY = 8
"""Of so many segments one holds a medium made to hurt."""
POISON_EVERY = 12
"""And one is no segment at all, or names what is not there or not to be read."""
ASK_S = 30.0
RESCAN_S = 120.0
LIKE_NOTHING: Mapping[str, JsonValue] = {"schema": "nothing", "version": 99}


class Load:
    """Sends `rate` segments a second. Each stream lasts for `stream_s`, then another one takes its place.

    `before` are streams that the pool has met already.
    """

    def __init__(self, bench: Bench, corpus: Corpus, rate: float, stream_s: float, before: Sequence[str]) -> None:
        self._bench, self._corpus, self._rate, self._stream_s = bench, corpus, rate, stream_s
        self._streams = max(2, round(rate * SEGMENT_S))
        self._hostile = cycle(_hostile(bench))
        self._poison = cycle((self._missing, self._outside, self._unreadable))
        self._app = make_celery("soak", bench.config.broker)
        self._last = dict.fromkeys(before, time.monotonic())
        self._unreadables = count()
        self.sent: list[str] = []
        """Keys of the records that are to come."""
        self.poisoned = 0
        """Messages that are to end in quarantine."""

    def run(self, seconds: float, tick: Callable[[], None]) -> None:
        """`tick` is called several times a second."""
        began = time.monotonic()
        for number in count():
            due_s = number / self._rate
            while (elapsed_s := time.monotonic() - began) < min(due_s, seconds):
                time.sleep(min(0.2, max(0.0, due_s - elapsed_s)))
                tick()
            if elapsed_s >= seconds:
                return
            self._send(number, elapsed_s)

    def streams_since(self, seconds: float) -> int:
        """How many streams have had a segment lately."""
        since = time.monotonic() - seconds
        return sum(at >= since for at in list(self._last.values()))

    def ended(self) -> str | None:
        """A stream that had its last segment a while ago."""
        before = time.monotonic() - 2 * self._stream_s
        return max(((at, name) for name, at in self._last.items() if at < before), default=(0.0, None))[1]

    def close(self) -> None:
        self._app.close()

    def _send(self, number: int, elapsed_s: float) -> None:
        place = number % self._streams
        generation = int(elapsed_s / self._stream_s + place / self._streams)
        stream_id = f"soak-{place}-{generation}"
        manifest = ending_now(self._corpus.manifests[number % len(self._corpus.manifests)], stream_id)
        if number % POISON_EVERY == POISON_EVERY - 1:
            next(self._poison)(manifest)
            return
        self._last[stream_id] = time.monotonic()
        self._publish(next(self._hostile)(manifest) if number % HOSTILE_EVERY == 0 else manifest)

    def _publish(self, manifest: SegmentManifest) -> None:
        self._bench.publisher.send(manifest, live=True)
        self.sent.append(record_key_of(manifest))

    def _missing(self, manifest: SegmentManifest) -> None:
        """What is not there is named in the record."""
        self._last[manifest.stream_id] = time.monotonic()
        self._publish(_with_picture(manifest, "media/soak/nothing.jpg"))

    def _outside(self, manifest: SegmentManifest) -> None:
        self._bench.publisher.send(_with_picture(manifest, "records/nothing.jpg"), live=True)
        self.poisoned += 1

    def _unreadable(self, manifest: SegmentManifest) -> None:
        message = {**LIKE_NOTHING, "number": next(self._unreadables)}
        self._app.send_task(CLASSIFY, args=[message], queue="live", ignore_result=True)
        self.poisoned += 1


def _hostile(bench: Bench) -> Iterator[Callable[[SegmentManifest], SegmentManifest]]:
    """Stores each medium once; what puts it into a segment."""
    for number, make in enumerate(hostile.PICTURES.values()):
        bench.storage.put(f"media/soak/picture-{number}", make())
        yield lambda manifest, key=f"media/soak/picture-{number}": _with_picture(manifest, key)  # type: ignore[misc]
    for number, make in enumerate((*hostile.SOUNDS.values(), *hostile.CLAIMS.values())):
        bench.storage.put(f"media/soak/sound-{number}", make())
        yield lambda manifest, key=f"media/soak/sound-{number}": manifest.model_copy(  # type: ignore[misc]
            update={"audio": AudioRef(key=key)}
        )


def _with_picture(manifest: SegmentManifest, key: str) -> SegmentManifest:
    """In the place of the first, or beside none."""
    return manifest.model_copy(update={"frames": (FrameRef(at_s=0, key=key), *manifest.frames[1:])})


class Askers:
    """What a deployment has running beside: health checks, metrics, and a small rescan now and then."""

    def __init__(self, bench: Bench, load: Load) -> None:
        self._bench, self._load = bench, load
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="askers", daemon=True)
        self._planner = ThreadPoolExecutor(1, thread_name_prefix="planner")
        self._next: Future[Plan] | None = None
        self._planned_at = time.monotonic()
        self.plans: list[Plan] = []
        self.problems: list[str] = []
        """What the health checks had to say."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(60)
        self._planner.shutdown(wait=True)
        if self._next is not None:
            self.plans.append(self._next.result())

    def keep_up(self) -> None:
        """One look, and at times a rescan of a stream that has ended. From the load's thread."""
        if self._next is not None and self._next.done():
            self.plans.append(self._next.result())
            self._next = None
        if self._next is None and time.monotonic() - self._planned_at > RESCAN_S and (name := self._load.ended()):
            self._planned_at = time.monotonic()
            bench = self._bench
            order = RescanOrder(
                Selection(streams=(name,)), policies=milder(bench.config), reason="prove-soak", by="prove-soak"
            )
            self._next = self._planner.submit(plan_rescan, bench.config, bench.storage, order)

    def _ask(self) -> None:
        config, registry = self._bench.config, pool_registry(self._bench.config)
        while not self._stopping.wait(ASK_S):
            found = (engine_problem(config), worker_problem(config))
            self.problems += [line for line in found if line is not None]
            generate_latest(registry)
