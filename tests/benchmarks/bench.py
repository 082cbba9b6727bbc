"""A pool of its own for a proof, kept alive while the proof waits, and what can be asked of it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import boto3
import psutil
import redis

from pipelines.manifest import SegmentManifest
from pipelines.policies import Policies, read_policies
from pipelines.record import Record
from tests.benchmarks.corpus import Corpus, sampled
from workers.broker.queues import RedisQueues
from workers.config import Config, load_config
from workers.engine.client import EngineClient
from workers.engine.wire import EngineStatus
from workers.publish import Publisher
from workers.records import read_record, record_key_of
from workers.runs.progress import progress
from workers.runs.run import Plan, Progress
from workers.runs.store import Runs
from workers.stack.pool import LocalPool
from workers.state import connect
from workers.storage import Storage

LOOK_S = 0.25
OVER = ("finished", "cancelled")


def say(line: str = "") -> None:
    """At once, also into a log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass
class Bench:
    """A running pool. Waiting starts again what died in it."""

    pool: LocalPool
    config: Config
    storage: Storage
    runs: Runs
    client: redis.Redis
    publisher: Publisher
    _engine: EngineClient = field(repr=False)

    def wait(
        self, ready: Callable[[], object], what: str, *, timeout_s: float = 1800, every_s: float = LOOK_S
    ) -> float:
        """Seconds until it was so; `SystemExit` names what never came. While the broker is away, it is not so."""
        began = time.monotonic()
        while not _so(ready):
            if time.monotonic() - began > timeout_s:
                raise SystemExit(f"waited {timeout_s:.0f} s until {what}; logs: {self.config.state_directory / 'logs'}")
            self.pool.tend()
            time.sleep(every_s)
        return time.monotonic() - began

    def engine(self) -> EngineStatus:
        return self._engine.status(timeout_s=30)

    def busy_s(self, kind: str = "") -> float:
        """Seconds that the engine's models have worked, of all slots or those of one kind."""
        slots = self.engine().slots
        return sum(slot.busy_s for name, slot in slots.items() if name.partition(".")[0].startswith(kind))

    def progress(self, run: str) -> Progress:
        """From the store alone, so that it can be asked while the broker is away."""
        return progress(self.runs, run, None)

    def over(self, run: str) -> bool:
        return self.runs.state(run) in OVER

    def finish(self, plan: Plan, *, timeout_s: float = 7200) -> float:
        """Waits until the run is over; seconds from now."""
        return self.wait(lambda: self.over(plan.run), f"{plan.run} is over", timeout_s=timeout_s)

    def feeder(self) -> psutil.Process | None:
        """The feeder that the worker for bulk runs, while there is one."""
        bulk = self.pool.bulk
        with suppress(psutil.Error):
            children = psutil.Process(bulk.pid).children(recursive=True) if bulk is not None and bulk.running else []
            return next((child for child in children if "feeder" in child.cmdline()), None)
        return None

    def etags(self) -> Iterator[tuple[str, str]]:
        """Every object's key and the store's digest of its content."""
        settings = self.config.store
        assert settings.access_key is not None
        assert settings.secret_key is not None
        client = boto3.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key.get_secret_value(),
            aws_secret_access_key=settings.secret_key.get_secret_value(),
        )
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=settings.bucket):
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["ETag"]

    def idle(self) -> bool:
        """Whether no message waits and none is with a worker."""
        queues = RedisQueues(self.client)
        return not queues.in_work() and not any(map(queues.waiting, self.config.worker.lanes))

    def records(self, manifests: Sequence[SegmentManifest], *, timeout_s: float = 1800) -> tuple[Record, ...]:
        """The records of these segments, once all are there."""
        keys = [record_key_of(manifest) for manifest in manifests]
        missing = set(keys)

        def there() -> bool:
            missing.difference_update([key for key in missing if self.storage.exists(key)])
            return not missing

        self.wait(there, f"{len(keys)} segments have their record", timeout_s=timeout_s)
        return tuple(read_record(self.storage, key) for key in keys)

    def corpus(self, *, limit: int | None = None) -> Corpus:
        """Samples the bundled stream and has the pool examine it."""
        manifests = sampled(self.config, self.storage, limit=limit)
        for manifest in manifests:
            self.publisher.send(manifest)
        corpus = Corpus(manifests, self.records(manifests))
        say(f"corpus: {len(manifests)} segments of the bundled stream, sampled and examined")
        return corpus


def _so(ready: Callable[[], object]) -> bool:
    try:
        return bool(ready())
    except redis.RedisError:
        return False


@contextmanager
def running(config: Config, *, concurrency: int, bulk_concurrency: int | None = None) -> Iterator[Bench]:
    """A pool on these settings while the block runs."""
    with LocalPool(
        config, concurrency=concurrency, bulk_concurrency=bulk_concurrency, report=lambda line: say(f"  {line}")
    ) as pool:
        storage = Storage(pool.config.store)
        with connect(pool.config) as client, Publisher(pool.config) as publisher:
            engine = EngineClient(pool.config)
            try:
                yield Bench(pool, pool.config, storage, Runs(storage), client, publisher, engine)
            finally:
                engine.close()


@contextmanager
def place(name: str) -> Iterator[Path]:
    """A directory for a pool's state. Its path is short, as those of sockets must be."""
    with tempfile.TemporaryDirectory(prefix=f"liverisk-{name}-") as directory:
        yield Path(directory)


def settings(directory: Path) -> Config:
    """The shipped settings, but that no review starts by itself."""
    config = load_config(environment={})
    return config.model_copy(
        update={
            "state_directory": directory / "state",
            "review": config.review.model_copy(update={"auto": False}),
        }
    )


def milder(config: Config) -> Policies:
    """The policies of the configuration with every threshold far nearer to certainty: much less is shown to people."""
    content = read_policies(config.policies_file).model_dump(mode="json")
    for policy in content["policies"].values():
        policy["thresholds"] = {name: 1 - (1 - limit) / 50 for name, limit in policy["thresholds"].items()}
    return Policies.model_validate(content)


def conclude(wrong: Sequence[str]) -> NoReturn:
    """Says what is not as it must be, if anything, and ends with 3 for it."""
    for line in wrong:
        say(f"NOT AS IT MUST BE: {line}")
    say(f"{'not all holds' if wrong else 'all of it holds'}; {machine()}")
    sys.exit(3 if wrong else 0)


def machine() -> str:
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
