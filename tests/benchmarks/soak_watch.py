"""What a running pool holds, looked at again and again: memory, handles, threads, connections, keys, files."""

from __future__ import annotations

import csv
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psutil
import redis

from tests.benchmarks.bench import Bench
from workers.stack.pool import LocalPool

OURS = ("worker", "child", "helper", "feeder", "engine")
SERVERS = ("valkey", "seaweedfs")
SETTLED_S = 60.0
"""A process counts for the memory of its kind from this age on: what it begins with is not growth."""
NOT_TEMPORARY = ("logs", "seaweedfs", "valkey")
_NUMBER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}")
_ASK = 500

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One look, `at_s` seconds after the first."""

    at_s: float
    values: Values


class Watch:
    """Looks every few seconds, in a thread of its own, and writes each look to a CSV file with a row a value."""

    def __init__(
        self, bench: Bench, temporary: Path, out: Path, every_s: float, more: Callable[[], Values] = dict
    ) -> None:
        self._bench, self._temporary, self._out, self._every_s, self._more = bench, temporary, out, every_s, more
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._began = time.monotonic()
        self.samples: list[Sample] = []
        self.seen: dict[str, set[psutil.Process]] = {}
        self.lasting: set[str] = set()
        """Kinds of keys that were seen without a time to live."""
        self.begun_with: frozenset[Path] | None = None
        """Files that were there at the first look: libraries keep some for as long as a process runs."""
        self.missed = 0

    def __enter__(self) -> Self:
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(60)

    def now_s(self) -> float:
        """On the clock of the samples."""
        return time.monotonic() - self._began

    def left(self) -> list[psutil.Process]:
        """Processes that were seen and still run."""
        return [one for found in self.seen.values() for one in found if one.is_running()]

    def _run(self) -> None:
        with self._out.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("at_s", "what", "value"))
            while not self._stopping.wait(self._every_s):
                try:
                    sample = Sample(self.now_s(), self._look())
                except (psutil.Error, redis.RedisError, OSError):  # a process that ended in between, mostly
                    self.missed += 1
                    continue
                self.samples.append(sample)
                rows.writerows((f"{sample.at_s:.1f}", name, f"{value:g}") for name, value in sample.values.items())
                file.flush()

    def _look(self) -> Values:
        pool = self._bench.pool
        found = dict(_processes(pool))
        values: dict[str, float] = {}
        for kind in (*OURS, *SERVERS):
            known = self.seen.setdefault(kind, set())
            known.update(found.get(kind, ()))
            values |= _held(kind, found.get(kind, ()), pool)
            values[f"{kind}.started"] = len(known)
        values |= self._keys()
        files = frozenset(self._files())
        self.begun_with = files if self.begun_with is None else self.begun_with
        values["files"] = float(len(files))
        return {**values, **self._more()}

    def _keys(self) -> Values:
        """How many keys there are of each kind, what they hold, and what all of it takes."""
        client, found, entries = self._bench.client, Counter[str](), Counter[str]()
        keys = list(client.scan_iter(count=_ASK))
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.type(key)
                pipe.ttl(key)
            said = pipe.execute()
        for key, content, ttl_s in zip(keys, said[::2], said[1::2], strict=True):
            kind = kind_of(key.decode())
            found[kind] += 1
            entries[kind] += _size(client, key, content)
            if ttl_s == -1:
                self.lasting.add(kind)
        used = client.info("memory")
        assert isinstance(used, dict)
        return (
            {"keys.memory_mb": used["used_memory"] / 2**20}
            | {f"keys.{kind}": count for kind, count in found.items()}
            | {f"entries.{kind}": count for kind, count in entries.items()}
        )

    def _files(self) -> Iterator[Path]:
        """Temporary files of all processes, and what they keep in the state directory beside logs and servers' data."""
        for root in (self._temporary, self._bench.config.state_directory):
            for path in root.rglob("*"):
                if not path.is_dir() and not set(NOT_TEMPORARY) & set(path.relative_to(root).parts):
                    yield path


def kind_of(key: str) -> str:
    """The key without what it is about."""
    return ":".join(key.split(":")[:2]) if key.startswith("liverisk:") else _NUMBER.sub("*", key)


def _size(client: redis.Redis, key: bytes, content: bytes) -> int:
    asked = {b"list": client.llen, b"hash": client.hlen, b"set": client.scard, b"zset": client.zcard}
    with suppress(redis.ResponseError):  # another kind by now
        return int(asked[content](key)) if content in asked else 1
    return 0


def _processes(pool: LocalPool) -> Iterator[tuple[str, Sequence[psutil.Process]]]:
    """What the pool runs on, by kind."""
    workers, children, helpers, feeders = (list[psutil.Process]() for _ in range(4))
    for worker in (psutil.Process(one.pid) for one in pool.workers if one.running):
        workers.append(worker)
        for child in worker.children():
            (feeders if "feeder" in _command(child) else children).append(child)
            helpers += [one for one in child.children() if "workers.decoder.helper" in _command(one)]
    yield from (("worker", workers), ("child", children), ("helper", helpers), ("feeder", feeders))
    services = pool.services
    for kind, one in (
        ("engine", pool.engine),
        ("valkey", services.valkey.child),
        ("seaweedfs", services.seaweedfs.child),
    ):
        yield kind, [psutil.Process(one.pid)] if one.running else []


def _command(child: psutil.Process) -> Sequence[str]:
    with suppress(psutil.Error):
        return child.cmdline()
    return ()


def _held(kind: str, processes: Sequence[psutil.Process], pool: LocalPool) -> Values:
    """Memory is that of one process of the kind on average, handles and threads are of the one that has most."""
    memory, handles, threads, connections = list[float](), [0], [0], Counter[int | None]()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if time.time() - process.create_time() >= SETTLED_S:
                memory.append(process.memory_full_info().uss / 2**20)
            handles.append(process.num_fds())
            threads.append(process.num_threads())
            connections.update(one.raddr.port for one in process.net_connections("tcp") if len(one.raddr))
    store = urlsplit(pool.services.seaweedfs.endpoint_url).port
    values = {
        f"{kind}.processes": float(len(processes)),
        f"{kind}.handles": float(max(handles)),
        f"{kind}.threads": float(max(threads)),
        f"{kind}.to_store": float(connections[store]),
        f"{kind}.to_broker": float(connections[pool.services.valkey.port]),
    }
    return values | ({f"{kind}.memory_mb": fmean(memory)} if memory else {})


@dataclass(frozen=True, slots=True)
class Course:
    """How one value went: medians of the first and the last third, the slope of all, and the most."""

    first: float
    last: float
    per_hour: float
    most: float

    @property
    def growth(self) -> float:
        return self.last - self.first


def course(samples: Sequence[Sample], name: str, otherwise: float | None = None) -> Course | None:
    """None of a value with too few looks. `otherwise` is what it was where it is not among what was seen."""
    seen = [(one.at_s, one.values.get(name, otherwise)) for one in samples]
    points = [(at_s, value) for at_s, value in seen if value is not None]
    if len(points) < 6:
        return None
    third = len(points) // 3
    values = [value for _, value in points]
    return Course(median(values[:third]), median(values[-third:]), 3600 * _slope(points), max(values))


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares, a second."""
    x, y = fmean(at for at, _ in points), fmean(value for _, value in points)
    over = sum((at - x) * (value - y) for at, value in points)
    return over / max(1e-9, sum((at - x) ** 2 for at, _ in points))
