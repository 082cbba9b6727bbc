"""What keeps a worker from hanging, growing and leaving work behind: real processes, models that are functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from pipelines.items import Item, Result
from pipelines.manifest import SegmentManifest
from pipelines.policies import POLICY_IDS
from tests import engines
from tests.conftest import WaitUntil
from tests.segments import store_segment
from workers.broker.queues import UNACKED
from workers.config import Config, Worker
from workers.engine.engine import Engine
from workers.publish import Publisher
from workers.records import read_record, record_key_of
from workers.runs.feeder import Feeder
from workers.stack.connection import environment_of, write_settings
from workers.storage import Storage
from workers.watchdog import STUCK_EXIT_CODE

HANGS = """
import ctypes
from celery.signals import worker_ready
from workers.app import make_app
from workers.config import load_config

app = make_app(load_config())

@worker_ready.connect
def hang(sender, **_):
    sender.hub.call_later(0.1, ctypes.PyDLL(None).sleep, 600)

app.worker_main(["worker", "--pool=prefork", "--concurrency=1", "--without-gossip", "--without-mingle"])
"""
"""A worker whose event loop calls what never comes back and lets no other thread run."""

SLOW_TO_OPEN = """
import time
from workers.cli.main import main
from workers.decoder.contained import Contained

real = Contained.started

def started(self):
    time.sleep(0 if self.pid else 5)
    return real(self)

Contained.started = started
main()
"""
"""A worker on a machine where a child takes longer to open what it works with than a segment may take."""

calm = engines.calm(dict.fromkeys(POLICY_IDS, 0.001))


@pytest.fixture
def settings(config: Config, storage: Storage) -> Config:
    """Nothing but the worker is started by it; its log is JSON."""
    return config.model_copy(
        update={
            "engine": config.engine.model_copy(update={"start": "external"}),
            "runs": config.runs.model_copy(update={"start_feeder": "external"}),
            "log": config.log.model_copy(update={"format": "json"}),
        }
    )


def with_worker(settings: Config, **changed: float) -> Config:
    return settings.model_copy(
        update={"worker": Worker.model_validate({**settings.worker.model_dump(), "concurrency": 1, **changed})}
    )


def loaded(predict: engines.Predict = calm) -> Engine:
    return engines.engine(
        {
            "vision.nudity": ("open-nsfw", engines.calm({"nsfw": 0.01, "sfw": 0.99})),
            "speech": ("whisper-base", engines.silent),
            "ocr": ("pp-ocrv6", engines.textless),
            "text.risk": ("e5-small-risk", predict),
        }
    )


@contextmanager
def worker(settings: Config, log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **environment_of(settings), "LIVERISK_CONFIG": str(write_settings(settings))}
    with log.open("wb") as lines, log.with_suffix(".out").open("wb") as said:
        running = subprocess.Popen(
            [sys.executable, *(command or ("-m", "workers", "worker", "--concurrency=1"))],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=lines,
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def gone(process: psutil.Process) -> bool:
    """Also one that nobody has buried yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def send(settings: Config, storage: Storage, number: int = 0) -> SegmentManifest:
    manifest = store_segment(storage, "room", number, frames=(), chat=["hello"])
    with Publisher(settings) as publisher:
        publisher.send(manifest)
    return manifest


def test_told_to_end_a_worker_finishes_what_it_is_at(
    settings: Config, storage: Storage, broker: redis.Redis, tmp_path: Path, wait_until: WaitUntil
) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(items: Sequence[Item]) -> Sequence[Result]:
        begun.set()
        assert release.wait(60)
        return calm(items)

    log = tmp_path / "worker.log"
    with engines.serving(settings, lambda: loaded(slow)), worker(settings, log) as running:
        manifest = send(settings, storage)
        assert begun.wait(60)
        running.terminate()
        wait_until(lambda: b"Warm shutdown" in log.with_suffix(".out").read_bytes(), "the worker knows of it")
        release.set()
        assert running.wait(60) == 0
    assert storage.exists(record_key_of(manifest))
    assert broker.hlen(UNACKED) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert "segment done" in {line["event"] for line in lines}


def test_a_segment_pays_nothing_for_a_child_that_is_slow_to_open(
    settings: Config, storage: Storage, tmp_path: Path, wait_until: WaitUntil
) -> None:
    short = with_worker(settings, deadline_s=2, soft_time_limit_s=3, time_limit_s=4, max_attempts=1)
    slow = ("-c", SLOW_TO_OPEN, "worker", "--concurrency=1", "--lanes=live")
    with engines.serving(short, loaded), worker(short, tmp_path / "worker.log", *slow):
        manifest = send(short, storage)
        wait_until(lambda: storage.exists(record_key_of(manifest)), "the segment has its record", timeout_s=60)
    assert read_record(storage, record_key_of(manifest)).processing.attempt == 1


def test_a_child_that_took_too_much_memory_is_replaced_after_its_segment(
    settings: Config, storage: Storage, tmp_path: Path, wait_until: WaitUntil
) -> None:
    small = with_worker(settings, memory_limit_mb=128)
    with engines.serving(small, loaded), worker(small, tmp_path / "worker.log") as running:
        process = psutil.Process(running.pid)
        wait_until(process.children, "the worker has its child", timeout_s=60)
        (first,) = process.children()
        manifest = send(small, storage)
        wait_until(lambda: gone(first), "the child that was too large is gone", timeout_s=60)
        assert storage.exists(record_key_of(manifest))
        wait_until(lambda: process.children() not in ([], [first]), "another one has its place", timeout_s=60)


def test_a_worker_whose_loop_stands_still_ends_with_its_children(
    settings: Config, tmp_path: Path, wait_until: WaitUntil
) -> None:
    short = with_worker(settings, stuck_s=3)
    log = tmp_path / "worker.log"
    with engines.serving(short, loaded), worker(short, log, "-c", HANGS) as running:
        process = psutil.Process(running.pid)
        wait_until(process.children, "the worker has its child", timeout_s=60)
        children = process.children()
        assert running.wait(90) == STUCK_EXIT_CODE
        wait_until(lambda: all(map(gone, children)), "its children are gone")
    assert "Timeout" in log.read_text()


def test_a_feeder_says_that_it_is_alive_with_every_look(config: Config, storage: Storage) -> None:
    looks: list[int] = []
    stop = threading.Event()

    def alive() -> None:
        looks.append(1)
        if len(looks) == 2:
            stop.set()

    feeder = Feeder(config, alive=alive)
    try:
        feeder.run_forever(stop)
    finally:
        feeder.close()
    assert len(looks) == 2
