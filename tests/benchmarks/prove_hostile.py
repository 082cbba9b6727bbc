"""What hostile media get from a real worker, how long they take, and what they take of memory; ends with 3 above a bar.

    python -m tests.benchmarks.prove_hostile

Each input is sent through broker and store to one worker child, as one frame among ordinary ones or as the sound of an
ordinary segment. Beside the whole table it shows that the child is the same process from the first to the last, and
that every frame beside a hostile one was examined. The models are functions: what is measured is decoding. What no
input can be made to do on purpose (hang, crash, starve) is done by a stand-in for a broken library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipelines import coverage as why
from pipelines.media import Allowance, DecodeError, DecodeLimits
from pipelines.policies import POLICY_IDS
from pipelines.record import Coverage
from tests import broken_helper, engines, hostile
from tests.conftest import wait_for
from tests.segments import store_segment
from workers.config import Config, load_config
from workers.decoder.contained import Contained
from workers.engine.engine import Engine
from workers.publish import Publisher
from workers.records import read_record, record_key_of
from workers.stack.connection import environment_of, write_settings
from workers.stack.services import Services
from workers.storage import Storage

LOOK_S = 0.005
MAX_TAKEN_S = 8.0
"""The wall clock of one medium is 5 s; beyond it a new helper may have to start."""
MAX_CHILD_MB = 100
"""That a worker child may grow by over the whole table."""
MAX_HELPER_MB = DecodeLimits().memory_mb + 150

BREAKING: Mapping[bytes, str] = {
    b"hang": why.DECODE_TIMEOUT,
    b"sleep": why.DECODE_TIMEOUT,
    b"crash": why.DECODE_CRASH,
    b"starve": why.DECODE_MEMORY,
    b"lie": why.DECODE_CRASH,
}
NAMED = (why.UNDECODABLE, *BREAKING.values())
LARGE: Mapping[str, Callable[[], bytes]] = {"PNG of 25 megapixels, within the budget": hostile.png_within_the_limit}
LONG: Mapping[str, Callable[[], bytes]] = {"FLAC of an hour in few bytes": hostile.flac_of_an_hour}


@dataclass
class Memory:
    """Most resident megabytes seen of a process and of what it started, while watched."""

    process: psutil.Process
    own_mb: int = 0
    helper_mb: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            with suppress(psutil.Error):
                self.own_mb = max(self.own_mb, self.process.memory_info().rss >> 20)
                for helper in self.process.children():
                    self.helper_mb = max(self.helper_mb, helper.memory_info().rss >> 20)


@dataclass(frozen=True)
class Got:
    """A row: what became of an input, the seconds it took, and the memory meanwhile."""

    name: str
    size: int
    got: str
    taken_s: float
    memory: Memory

    def line(self) -> str:
        return (
            f"{self.name:<42} {self.size:>9} B  {self.got:<74} {self.taken_s:6.2f} s "
            f"{self.memory.own_mb:>5} MB {self.memory.helper_mb:>5} MB"
        )


class Pool:
    """One worker with one child, an engine of functions, and a store."""

    def __init__(self, config: Config, storage: Storage, child: psutil.Process) -> None:
        self._config = config
        self._storage = storage
        self._child = child
        self._number = 0

    @property
    def child(self) -> psutil.Process:
        return self._child

    def send(self, name: str, *, picture: bytes | None = None, sound: bytes | None = None) -> tuple[Got, Coverage]:
        """The row and the coverage of what was hostile, once the record is there."""
        ordinary = [hostile.picture(), hostile.picture()]
        frames = ordinary if picture is None else [ordinary[0], picture, ordinary[1]]
        self._number += 1
        manifest = store_segment(self._storage, "hostile", self._number, frames=frames, audio=sound)
        memory = Memory(self._child)
        began = time.monotonic()
        with memory.watched():
            with Publisher(self._config) as publisher:
                publisher.send(manifest)
            key = record_key_of(manifest)
            wait_for(lambda: self._storage.exists(key), f"{name} has its record", timeout_s=60)
        taken_s = time.monotonic() - began
        record = read_record(self._storage, key)
        seen = record.observations.coverage["frames" if sound is None else "speech"]
        got = f"{seen.status}: {seen.reason} ({seen.detail}), {seen.examined:g} of {seen.total:g}"
        return Got(name, len(picture or sound or b""), got, taken_s, memory), seen


def _calm() -> Engine:
    return engines.engine(
        {
            "vision.nudity": ("open-nsfw", engines.calm({"nsfw": 0.01, "sfw": 0.99})),
            "speech": ("whisper-base", engines.silent),
            "ocr": ("pp-ocrv6", engines.textless),
            "text.risk": ("e5-small-risk", engines.calm(dict.fromkeys(POLICY_IDS, 0.001))),
        }
    )


@contextmanager
def running() -> Iterator[Pool]:
    """A worker whose child has decoded one ordinary segment."""
    directory = Path(tempfile.mkdtemp(prefix="liverisk-hostile-"))
    try:
        with Services(directory / "services") as services:
            shipped = services.config(load_config(environment={}), bucket="hostile")
            engine = shipped.engine.model_copy(update={"start": "external"})
            runs = shipped.runs.model_copy(update={"start_feeder": "external"})
            config = shipped.model_copy(update={"state_directory": directory, "engine": engine, "runs": runs})
            storage = Storage(config.store)
            storage.make_bucket()
            with engines.serving(config, _calm), _worker(config) as worker:
                process = psutil.Process(worker.pid)
                wait_for(process.children, "the worker has its child", timeout_s=60)
                pool = Pool(config, storage, process.children()[0])
                pool.send("ordinary")
                yield pool
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _worker(config: Config) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **environment_of(config), "LIVERISK_CONFIG": str(write_settings(config))}
    command = [sys.executable, "-m", "workers", "worker", "--concurrency=1", "--log-level=WARNING"]
    worker = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(60)


def through_a_pool(pool: Pool) -> Iterator[tuple[Got, str | None]]:
    """Each row, and what is wrong with it."""
    for name, make in hostile.PICTURES.items():
        row, seen = pool.send(name, picture=make())
        wrong = seen.reason not in NAMED or (seen.examined, seen.total) != (2, 3)
        yield row, "not named, or its neighbours not examined" if wrong else None
    for name, make in hostile.SOUNDS.items():
        row, seen = pool.send(name, sound=make())
        yield row, None if (seen.status, seen.reason) == ("not", why.UNDECODABLE) else "not named"
    for name, make in hostile.CLAIMS.items():
        row, seen = pool.send(name, sound=make())
        heard = (seen.status, seen.reason) == ("partly", why.UNDECODABLE) and 0.9 < seen.examined < 1.1
        yield row, None if heard else "heard other than the second that is there"
    for name, make in LARGE.items():
        row, seen = pool.send(name, picture=make())
        yield row, None if seen.examined == seen.total else "not decoded"
    for name, make in LONG.items():
        row, seen = pool.send(name, sound=make())
        yield row, None if seen.examined == hostile.SEGMENT_S + 1 else "not cut off where the segment ends"


def by_a_broken_library() -> Iterator[tuple[Got, str | None]]:
    limits = DecodeLimits()
    for does, reason in BREAKING.items():
        with Contained(limits, broken_helper.PROGRAM) as decoder:
            decoder.image(hostile.picture(size=(64, 48)), max_side_px=64)
            memory, began = Memory(psutil.Process()), time.monotonic()
            with memory.watched():
                try:
                    decoder.image(does, max_side_px=64, allowance=Allowance.of(limits, 1))
                    got, named = "decoded", ""
                except DecodeError as error:
                    got, named = f"{error.reason} ({error})", error.reason
                taken_s = time.monotonic() - began
            decoder.image(hostile.picture(size=(64, 48)), max_side_px=64)
        row = Got(f"a library made to {does.decode()}", len(does), got, taken_s, memory)
        yield row, None if named == reason else f"not {reason}"


def shown(rows: Iterator[tuple[Got, str | None]]) -> Iterator[str]:
    """Prints each row as it comes and yields what is not as it must be."""
    for row, wrong in rows:
        sys.stdout.write(row.line() + "\n")
        sys.stdout.flush()
        if wrong:
            yield f"{row.name}: {wrong}"
        if row.taken_s > MAX_TAKEN_S:
            yield f"{row.name}: {row.taken_s:.1f} s, more than {MAX_TAKEN_S:.0f}"
        if row.memory.helper_mb > MAX_HELPER_MB:
            yield f"{row.name}: the helper took {row.memory.helper_mb} MB, more than {MAX_HELPER_MB}"


def prove() -> Iterator[str]:
    sys.stdout.write(f"{'input':<42} {'size':>11}  {'got':<74} {'time':>8} {'child':>8} {'helper':>8}\n")
    with running() as pool:
        before_mb = pool.child.memory_info().rss >> 20
        yield from shown(through_a_pool(pool))
        if not pool.child.is_running():
            yield "the worker child did not survive"
            return
        grown_mb = (pool.child.memory_info().rss >> 20) - before_mb
        sys.stdout.write(f"worker child pid {pool.child.pid}: {before_mb} MB before, {grown_mb:+d} MB after all\n")
        if grown_mb > MAX_CHILD_MB:
            yield f"the worker child grew by {grown_mb} MB"
    yield from shown(by_a_broken_library())


def main() -> int:
    wrong = list(prove())
    sys.stdout.write("".join(f"FAILED {one}\n" for one in wrong) or "every input ended as it must\n")
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
