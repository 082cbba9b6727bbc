"""Resident memory of a pool of two workers with four children each: one engine holds the only copy of each model.

`python -m tests.benchmarks.resident_memory` prints a line a process, and ends with 3 unless there is one engine.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.conftest import wait_for
from tests.e2e.conftest import Pool
from tests.segments import store_segment
from workers.stack.services import Services

SEGMENTS = 40


@contextmanager
def pool_of_two() -> Iterator[Pool]:
    directory = Path(tempfile.mkdtemp(prefix="liverisk-memory-"))
    try:
        with Services(directory / "services") as services:
            pool = Pool(services, directory)
            try:
                pool.storage.make_bucket()
                pool.start_worker(children=4)
                pool.start_worker(children=4)
                wait_for(pool.ready, "the pool is ready", timeout_s=600)
                yield pool
            finally:
                pool.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def line(name: str, process: psutil.Process) -> str:
    """`uss` is what would be freed if the process ended; `rss` counts shared pages in every process anew."""
    memory = process.memory_full_info()
    return f"{name:<28} pid {process.pid:>7}   rss {memory.rss >> 20:>5} MiB   uss {memory.uss >> 20:>5} MiB"


def main() -> int:
    with pool_of_two() as pool:
        manifests = [
            store_segment(pool.storage, "memory", number, chat=[f"hello {number}"]) for number in range(SEGMENTS)
        ]
        pool.send(manifests)
        pool.records(manifests, timeout_s=300)
        engine = pool.engine()
        assert engine is not None
        for slot, status in engine.slots.items():
            sys.stdout.write(f"{slot}: {status.checkpoint.id} ({status.checkpoint.session})\n")
        sys.stdout.write(line("engine", psutil.Process(engine.pid)) + "\n")
        for number, worker in enumerate(pool.workers):
            sys.stdout.write(line(f"worker {number}", psutil.Process(worker.pid)) + "\n")
            for child in pool.children(worker):
                sys.stdout.write(line("  child", child) + "\n")
        engines = pool.engines()
        sys.stdout.write(f"engines running: {len(engines)}; workers attached to it: {engine.attached}\n")
        return 0 if engines == [engine.pid] else 3


if __name__ == "__main__":
    sys.exit(main())
