"""A pool of real processes: two workers of two children each, one engine, tiny models, real servers.

Its broker is Valkey, or RabbitMQ where the environment says `LIVERISK_TEST_BROKER=rabbitmq`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from pydantic import JsonValue, SecretStr

from pipelines.manifest import SegmentManifest
from pipelines.record import Record
from pipelines.text.lexicon_file import LEXICONS_DIRECTORY
from tests.conftest import wait_for
from tests.cuts import Wire
from tests.rabbitmq import RabbitMQ
from tests.tiny_stock import Stock
from workers.broker.queues import UNACKED
from workers.broker.settings import Broker, State
from workers.config import Config, load_config
from workers.engine.client import EngineClient
from workers.engine.errors import EngineUnavailable
from workers.engine.wire import EngineStatus
from workers.lanes import LANES
from workers.publish import Publisher
from workers.records import read_record, record_key_of
from workers.stack.connection import environment_of
from workers.stack.services import Services
from workers.state import connect
from workers.status import read_status
from workers.storage import Storage

CHILDREN = 2
BROKER = os.environ.get("LIVERISK_TEST_BROKER", "valkey")
SETTINGS: Mapping[str, JsonValue] = {
    # Crash recovery takes as long as a message stays invisible; short, so that tests of it are, and yet long enough
    # for a machine that has other things to do.
    "broker": {"visibility_timeout_s": 24},
    "worker": {"deadline_s": 12, "soft_time_limit_s": 18, "time_limit_s": 21, "max_attempts": 8},
    "registry": {"poll_s": 0.5},
    "examination": {"keep_embeddings": True},
    "sampler": {"tiers": {"short": {"segment_s": 3, "frame_interval_s": 1}}},
}


class Pool:
    """Starts workers as a deployment would, and finds their processes."""

    program = "workers"

    def __init__(
        self,
        services: Services,
        directory: Path,
        rabbitmq: RabbitMQ | None = None,
        settings: Mapping[str, JsonValue] = SETTINGS,
    ) -> None:
        """Its broker is Valkey unless there is a `rabbitmq`; it is reached by a wire that can be cut."""
        self._services, self.rabbitmq = services, rabbitmq
        self.wire = Wire(services.valkey.port if rabbitmq is None else rabbitmq.port)
        file = directory / "liverisk.yaml"
        self.lexicons = directory / "lexicons"
        self.lexicons.mkdir()
        for lexicon in LEXICONS_DIRECTORY.glob("scam.*"):
            shutil.copy(lexicon, self.lexicons)
        file.write_text(yaml.safe_dump({**settings, "lexicons_directory": str(self.lexicons)}))
        base = services.config(
            load_config(file, environment={}),
            bucket="pool-under-test" if rabbitmq is None else "rabbitmq-pool-under-test",
        )
        self.config: Config = base.model_copy(update={"state_directory": directory, **self._places(base)})
        self.environment = {**os.environ, **environment_of(self.config), "LIVERISK_CONFIG": str(file)}
        self.directory = directory
        self.workers: list[subprocess.Popen[bytes]] = []
        self.storage = Storage(self.config.store)

    def _places(self, base: Config) -> dict[str, Broker | State]:
        """Where broker and state store are for this pool: everything that is said to the broker passes the wire."""
        valkey, port = self._services.valkey, self.wire.port
        if self.rabbitmq is None:
            wired = valkey.url.replace(f":{valkey.port}/", f":{port}/")
            return {"broker": base.broker.model_copy(update={"url": SecretStr(wired)})}
        wired = self.rabbitmq.url.replace(f":{self.rabbitmq.port}/", f":{port}/")
        return {
            "broker": base.broker.model_copy(update={"url": SecretStr(wired)}),
            "state": base.state.model_copy(update={"url": SecretStr(valkey.url)}),
        }

    def settled(self) -> bool:
        """Whether no message waits in a lane, and none is with a worker."""
        if self.rabbitmq is not None:
            found = read_status(self.config)  # only the workers know what they are at
            answering = len(found.workers or ()) == len(self.workers)
            return answering and found.in_work == 0 and not any(lane.waiting for lane in found.lanes)
        with connect(self.config) as client:
            return not client.hlen(UNACKED) and not any(map(client.llen, LANES))

    def kill_broker(self) -> None:
        """SIGKILL, and another start."""
        if self.rabbitmq is not None:
            self.rabbitmq.kill()
            self.rabbitmq.start()
        else:
            self._services.valkey.child.kill()
            self._services.valkey.start()

    def start_worker(self, *, children: int = CHILDREN) -> subprocess.Popen[bytes]:
        self.workers.append(worker := self.started_worker(len(self.workers), children))
        return worker

    def started_worker(self, number: int, children: int) -> subprocess.Popen[bytes]:
        """One more worker process, which is not yet the pool's; its log goes on where one of this number wrote."""
        with (self.directory / f"worker-{number}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", self.program, "worker", f"--concurrency={children}"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

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
        self._end_workers()
        self.wire.close()

    def _end_workers(self) -> None:
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
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Real models are for `liverisk demo`: what dies and comes back here is the same with tiny ones."""
    return Stock(tmp_path_factory.mktemp("stock"))


@pytest.fixture(scope="session")
def pool(services: Services, stock: Stock, request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Two workers of two children and their engine."""
    directory = Path(tempfile.mkdtemp(prefix="liverisk-pool-"))
    rabbitmq = request.getfixturevalue("rabbitmq") if BROKER == "rabbitmq" else None
    running = Pool(services, directory, rabbitmq, {**SETTINGS, **stock.settings})
    try:
        running.storage.make_bucket()
        running.start_worker()
        running.start_worker()
        wait_for(running.ready, f"the pool is ready (logs: {directory})", timeout_s=280)
        yield running
    finally:
        running.stop()
        shutil.rmtree(directory, ignore_errors=True)
