"""A pool to break: every part can be killed or cut off, what dies is started again, and what is left can be listed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from pydantic import JsonValue

from tests.conftest import wait_for
from tests.cuts import Wire
from tests.e2e.conftest import Pool
from tests.rabbitmq import RabbitMQ
from workers.broker.declared import DEAD
from workers.broker.queues import UNACKED, open_queues
from workers.lanes import LANES
from workers.stack.connection import environment_of
from workers.stack.processes import Child
from workers.stack.services import Services
from workers.state import connect

WORKERS, CHILDREN = 2, 2
REAL: Mapping[str, JsonValue] = {}
STARTING_S = 60.0
"""A worker that ends sooner after its start than this was still waiting for what was away."""


def settings(deadline_s: int) -> Mapping[str, JsonValue]:
    """The shipped number of attempts, and all that waits for a time limit as short as this deadline lets it be."""
    soft_s = deadline_s + 5
    return {
        "broker": {"visibility_timeout_s": max(2 * deadline_s, soft_s + 5)},
        "worker": {"deadline_s": deadline_s, "soft_time_limit_s": soft_s, "time_limit_s": soft_s + 3},
        "review": {"auto": False},
    }


class ChaosPool(Pool):
    """What workers say to broker and store passes wires; the proof itself asks the store without one."""

    program = "tests.poisoned_worker"

    def __init__(
        self, services: Services, directory: Path, rabbitmq: RabbitMQ | None, settings: Mapping[str, JsonValue]
    ) -> None:
        super().__init__(services, directory, rabbitmq, settings)
        endpoint = urlsplit(services.seaweedfs.endpoint_url)
        assert endpoint.port is not None
        self.store_wire = Wire(endpoint.port)
        store = self.config.store.model_copy(update={"endpoint_url": f"http://127.0.0.1:{self.store_wire.port}"})
        self.config = self.config.model_copy(update={"store": store})
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        self._mark = str(directory / "mark")
        self.environment |= {
            **environment_of(self.config),
            "TMPDIR": str(self.temporary),
            # All that a decode helper knows of its pool.
            "PATH": f"{self.environment['PATH']}:{self._mark}",
        }
        self.ended: Counter[str] = Counter()
        self._started_at: dict[int, float] = {}

    def server(self, part: str) -> Child:
        """The process of `broker`, `store` or `state`."""
        valkey = self._services.valkey.child
        rabbitmq = valkey if self.rabbitmq is None else self.rabbitmq.child
        return {"broker": rabbitmq, "store": self._services.seaweedfs.child, "state": valkey}[part]

    def started_worker(self, number: int, children: int) -> subprocess.Popen[bytes]:
        self._started_at[number] = time.monotonic()
        return super().started_worker(number, children)

    def tend(self) -> None:
        """Starts again the workers that are gone, as a supervisor would, and notes those that nobody had killed."""
        for number, worker in enumerate(self.workers):
            if (code := worker.poll()) is None:
                continue
            if code != -signal.SIGKILL:
                young = time.monotonic() - self._started_at[number] < STARTING_S
                self.ended[f"exit code {code} {'while starting' if young else 'at work'}"] += 1
            self.workers[number] = self.started_worker(number, CHILDREN)

    def forked(self, number: int) -> list[psutil.Process]:
        """The children of a worker that work; not its feeder, nor an engine that it started."""
        with suppress(psutil.Error):
            worker = psutil.Process(self.workers[number].pid)
            command = worker.cmdline()
            return [child for child in worker.children() if _command(child) == command]
        return []

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this pool: workers, children, decode helpers, feeders, engines."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                known = process.environ()
                ours = known.get("LIVERISK__STATE_DIRECTORY") == str(self.directory)
                if ours or self._mark in known.get("PATH", "").split(":"):
                    found.append(process)
        return found

    def orphans(self) -> list[str]:
        """What runs for this pool and below none of its workers, nor an engine, which belongs to all of them."""
        roots = {worker.pid for worker in self.workers} | set(self.engines())
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                above = {process.pid, *(parent.pid for parent in process.parents())}
                if not above & roots:
                    found.append(f"{process.pid} {' '.join(process.cmdline()[2:5])}")
        return found

    def messages(self) -> dict[str, int]:
        """What the broker still has, by where; replies to questions of somebody who is gone included."""
        if self.rabbitmq is not None:
            with open_queues(self.config) as queues:
                found = {lane: queues.waiting(lane) for lane in LANES} | {DEAD: queues.put_aside()}
            return {name: count for name, count in found.items() if count}
        with connect(self.config) as client:
            found = {UNACKED: int(client.hlen(UNACKED)), f"{UNACKED}_index": int(client.zcard(f"{UNACKED}_index"))}
            for key in client.scan_iter(count=1000, _type="list"):
                if not key.startswith(b"liverisk:"):  # what is remembered is no message
                    found[key.decode()] = int(client.llen(key))
        return {name: count for name, count in found.items() if count}

    def files(self) -> set[str]:
        """Every file, folder and socket in the pool's directories."""
        return {str(path.relative_to(self.directory)) for path in self.directory.rglob("*")}

    def stop(self) -> None:
        super().stop()
        self.store_wire.close()


@contextmanager
def chaos_pool(
    services: Services,
    directory: Path,
    rabbitmq: RabbitMQ | None = None,
    *,
    deadline_s: int,
    models: Mapping[str, JsonValue] = REAL,
) -> Iterator[ChaosPool]:
    """Two workers of two children each, and their engine, ready to take segments. Its path must be short.

    `models` are settings that name other checkpoints than the shipped ones.
    """
    directory.mkdir(parents=True)
    pool = ChaosPool(services, directory, rabbitmq, {**settings(deadline_s), **models})
    try:
        pool.storage.make_bucket()
        for _ in range(WORKERS):
            pool.start_worker(children=CHILDREN)
        wait_for(pool.ready, f"the pool is ready (logs: {directory})", timeout_s=280)
        yield pool
    finally:
        pool.stop()


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.cmdline()
    return []
