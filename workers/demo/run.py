"""Runs the demo: a pool of its own, the bundled stream as fast as it goes, and every segment's record."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

from pipelines.manifest import Context
from pipelines.record import Record
from workers import quarantine
from workers.config import Broker, Config, Worker
from workers.demo.check import above_watch
from workers.demo.programme import CHAT_FILE, STREAM_FILE, Planted
from workers.demo.reviews import ReviewStalled, carry_reviews, deep_records, packets, save_pages, settled
from workers.lanes import LANES, Lane
from workers.publish import Publisher
from workers.records import RecordError, read_records, record_keys
from workers.runs.reviewed import Packet
from workers.runs.run import Progress as RunProgress
from workers.sampler.report import SampleSummary, SegmentReport
from workers.sampler.run import Order, sample
from workers.stack.pool import LocalPool
from workers.storage import Storage

STREAM_ID = "demo"
POLL_S = 0.5
PATIENCE_S = 120
"""The whole stream is queued at once, and a slow or busy machine shall still examine all of it."""
STALLED_S = 600.0
"""Longer than a segment that is tried again may take."""


class DemoError(Exception):
    """The demo cannot go on; one line."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: segments queued, segments with a record, and how often each policy was above watch."""

    total: int
    sampled: int
    done: int
    flagged: tuple[tuple[str, int], ...]
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """All records by time. `start` is the wall clock at the stream's first instant."""

    records: tuple[Record, ...]
    start: datetime
    startup_s: float
    wall_s: float
    reviews: Reviews | None = None


@dataclass(frozen=True, slots=True)
class Reviews:
    """What the deep reviews found. `records` are theirs, `pages` says where each one's packet lies."""

    packets: tuple[Packet, ...]
    records: tuple[Record, ...]
    pages: Mapping[str, Path]
    wall_s: float


def demonstrate(
    config: Config,
    planted: Planted,
    *,
    concurrency: int,
    say: Callable[[str], None],
    tell: Callable[[Progress], None],
    pages: Path | None = None,
) -> Outcome:
    """Starts a pool in the state directory of `config`, which must be fresh, and stops it at the end.

    With a folder for `pages`, findings start deep reviews, whose packets are written there.

    Raises `DemoError`, or what starting and sampling raise: `StackError`, `StorageError`, `PublishError`,
    `SampleError`.
    """
    began = time.monotonic()
    settings = _patient(config, reviewing=pages is not None)
    with LocalPool(settings, concurrency=concurrency, report=say) as pool, Publisher(pool.config) as publisher:
        ready = time.monotonic()
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=planted.duration_s)
        segment_s = pool.config.sampler.tiers["default"].segment_s
        watch = _Watch(Storage(pool.config.store), ceil(planted.duration_s / segment_s))
        with _sampling(pool.config, publisher, start, watch) as sampling:
            while not watch.complete(sampling):
                pool.tend()
                watch.look()
                tell(watch.progress())
                watch.check_stall(pool.config)
                time.sleep(POLL_S)
        tell(watch.progress())
        wall_s = time.monotonic() - ready
        reviews = _reviewed(pool, pages, say) if pages is not None else None
    records = sorted(watch.records.values(), key=lambda record: record.captured_at)
    if not records:
        raise DemoError(f"no segment of {STREAM_FILE.name} got a record; logs: {config.state_directory / 'logs'}")
    return Outcome(tuple(records), start, round(ready - began, 2), round(wall_s, 2), reviews)


def _reviewed(pool: LocalPool, pages: Path, say: Callable[[str], None]) -> Reviews:
    """Carries the reviews that the findings asked for to their ends."""
    began, storage = time.monotonic(), Storage(pool.config.store)
    while not settled(pool.config):
        pool.tend()
        time.sleep(POLL_S)
    try:
        runs = carry_reviews(pool.config, tend=pool.tend, tell=lambda one: say(_in_words(one)), stalled_s=STALLED_S)
    except ReviewStalled as error:
        raise DemoError(f"{error}; the logs: {pool.config.state_directory / 'logs'}") from None
    found = packets(storage, runs)
    return Reviews(found, deep_records(storage, runs), save_pages(storage, found, pages), time.monotonic() - began)


def _in_words(review: RunProgress) -> str:
    return f"{review.run}: {review.state}, {review.done + review.examined} of {review.selected} segments"


def _patient(config: Config, *, reviewing: bool) -> Config:
    """Everything is queued at once and shall be examined in full; without reviews there is no bulk work to serve."""
    lanes: tuple[Lane, ...] = LANES if reviewing else LANES[:1]
    worker = {
        "deadline_s": PATIENCE_S,
        "soft_time_limit_s": PATIENCE_S + 20,
        "time_limit_s": PATIENCE_S + 30,
        "lanes": lanes,
    }
    broker = {"visibility_timeout_s": PATIENCE_S + 120}
    return config.model_copy(
        update={
            "review": config.review.model_copy(update={"auto": reviewing}),
            "runs": config.runs.model_copy(update={"start_feeder": "external"}),
            "worker": Worker.model_validate({**config.worker.model_dump(), **worker}),
            "broker": Broker.model_validate({**config.broker.model_dump(), **broker}),
        }
    )


@contextmanager
def _sampling(config: Config, publisher: Publisher, start: datetime, watch: _Watch) -> Iterator[Future[SampleSummary]]:
    """Samples beside the caller; leaving early stops it."""
    order = Order(
        str(STREAM_FILE),
        STREAM_ID,
        start=start,
        chat=CHAT_FILE,
        context=Context(language="en", region="SG", viewers=1200),
    )
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="sampler") as executor:
        storage = Storage(config.store)
        try:
            yield executor.submit(
                sample, order, config=config, storage=storage, publisher=publisher, report=watch.sampled, stop=stop
            )
        finally:
            stop.set()


@dataclass
class _Watch:
    """What has come out so far."""

    storage: Storage
    total: int
    records: dict[str, Record] = field(default_factory=dict)
    _queued: int = 0
    _began: float = field(default_factory=time.monotonic)
    _moved: float = field(default_factory=time.monotonic)

    def sampled(self, _: SegmentReport) -> None:
        """Called by the sampler's thread only."""
        self._queued += 1
        self._moved = time.monotonic()

    def look(self) -> None:
        """Reads the records that are new."""
        fresh = [key for key in record_keys(self.storage, stream_id=STREAM_ID) if key not in self.records]
        for key, found in zip(fresh, read_records(self.storage, fresh), strict=True):
            if isinstance(found, RecordError):
                raise DemoError(str(found))
            self.records[key] = found
            self._moved = time.monotonic()

    def complete(self, sampling: Future[SampleSummary]) -> bool:
        """Whether every queued segment came to its end; raises what sampling raised."""
        if not sampling.done():
            return False
        queued = sampling.result().segments
        return len(self.records) >= queued or len(self.records) + self._set_aside() >= queued

    def _set_aside(self) -> int:
        return sum(1 for _ in self.storage.keys(quarantine.PREFIX))

    def check_stall(self, config: Config) -> None:
        if time.monotonic() - self._moved > STALLED_S:
            logs = config.state_directory / "logs"
            raise DemoError(
                f"{len(self.records)} of {self.total} segments are done and nothing has moved for "
                f"{STALLED_S:.0f} s; the logs: {logs}"
            )

    def progress(self) -> Progress:
        flagged = Counter(
            verdict.policy
            for record in self.records.values()
            for verdict in record.verdicts
            if above_watch(verdict.action)
        )
        return Progress(
            total=self.total,
            sampled=self._queued,
            done=len(self.records),
            flagged=tuple(sorted(flagged.items())),
            elapsed_s=time.monotonic() - self._began,
        )
