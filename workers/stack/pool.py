"""The whole pool on one machine: services, engine and workers, started in order and kept alive.

Two workers: one for live segments, one for bulk. What a live segment runs on is never taken by a rescan.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from workers.config import Config
from workers.engine.client import EngineClient
from workers.engine.errors import EngineUnavailable
from workers.health import worker_problem
from workers.stack.connection import environment_of, write_connection, write_settings
from workers.stack.processes import Child, StackError
from workers.stack.services import Services
from workers.storage import Storage

RESTART_PAUSE_S = 1.0
HEALTHY_S = 30.0
"""A part that ran this long and then died is started again at once; one that keeps dying waits longer each time."""


class StartAbandoned(Exception):
    """The pool was told to end before it was ready; it has stopped."""


class LocalPool:
    """Broker, store, engine and workers as children of this process; a context manager."""

    def __init__(
        self,
        base: Config,
        *,
        concurrency: int | None = None,
        bulk_concurrency: int | None = None,
        report: Callable[[str], None] = lambda _: None,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        """`concurrency` children for live segments and as many, or `bulk_concurrency`, for reviews and rescans.

        `ending` is asked while starting, which may take minutes: `StartAbandoned` follows when it says so.
        """
        self._report = report
        self._ending = ending
        self.services = Services(base.state_directory)
        self.config = self.services.config(base)
        logs = self.config.state_directory / "logs"
        environment = {
            **os.environ,
            **environment_of(self.config),
            "LIVERISK_CONFIG": str(write_settings(self.config)),
            "LIVERISK__ENGINE__START": "external",
        }
        self.engine = Child(
            "engine", [sys.executable, "-m", "workers", "engine"], log=logs / "engine.log", environment=environment
        )
        served = self.config.worker.lanes
        children = concurrency or self.config.worker.concurrency
        self.live = _worker("live", served[: served.count("live")], children, logs, environment)
        bulk = tuple(lane for lane in served if lane != "live")
        self.bulk = _worker("bulk", bulk, bulk_concurrency or children, logs, environment)
        self._connection: Path | None = None
        self._restarts: dict[str, tuple[float, int]] = {}

    def start(self) -> None:
        """Returns when the pool takes segments."""
        started = time.monotonic()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        self._report(f"ready in {time.monotonic() - started:.1f} s")

    def _start(self) -> None:
        self._report("starting broker and store")
        self.services.start()
        self._go_on()
        storage = Storage(self.config.store)
        storage.make_bucket()
        storage.check_writes_once()
        self._connection = write_connection(self.config)
        self._report(f"broker ready: Valkey on 127.0.0.1:{self.services.valkey.port}")
        self._report(f"store ready: SeaweedFS S3 at {self.services.seaweedfs.endpoint_url}")
        self._report("starting the engine: models are built at the first start, loaded and warmed up")
        self.engine.start()
        client = EngineClient(self.config)
        self.engine.wait_until(self._telling(client), timeout_s=self.config.engine.start_timeout_s)
        slots = client.status().slots
        client.close()
        self._report("engine ready: " + ", ".join(f"{name} {slot.checkpoint.id}" for name, slot in slots.items()))
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            worker.wait_until(partial(self._answers, worker), timeout_s=60)
            self._report(f"{worker.name} ready")

    @property
    def workers(self) -> tuple[Child, ...]:
        """Those that serve a lane."""
        return tuple(worker for worker in (self.live, self.bulk) if worker is not None)

    def _telling(self, client: EngineClient) -> Callable[[], bool]:
        """Whether the engine is warm; reports its progress while it is not."""
        told = [""]

        def ready() -> bool:
            self._go_on()
            try:
                status = client.status()
            except EngineUnavailable:
                return False
            if status.progress not in (told[0], "ready", "starting"):
                told[0] = status.progress
                self._report(f"engine: {status.progress}")
            return status.ready

        return ready

    def _answers(self, worker: Child) -> bool:
        """Asked rather than looked up: what an earlier worker left in the broker looks like one that listens."""
        self._go_on()
        return worker_problem(self.config, name=f"liverisk-{worker.pid}", reply_s=1) is None

    def _go_on(self) -> None:
        if self._ending():
            raise StartAbandoned

    def tend(self) -> None:
        """One look at all parts: starts again what died, and says so. Call it about once a second."""
        parts: tuple[tuple[Child, Callable[[], None]], ...] = (
            (self.services.valkey.child, self.services.valkey.start),
            (self.services.seaweedfs.child, self.services.seaweedfs.start),
            (self.engine, self.engine.start),
            *((worker, worker.start) for worker in self.workers),
        )
        for child, start in parts:
            if child.running:
                continue
            last, deaths = self._restarts.get(child.name, (0.0, 0))
            now = time.monotonic()
            deaths = 0 if now - last > HEALTHY_S + RESTART_PAUSE_S * 2**deaths else deaths
            if now - last < min(30.0, RESTART_PAUSE_S * 2**deaths):
                continue
            self._restarts[child.name] = (now, deaths + 1)
            self._report(f"{child.name} died and is started again; its log: {child.log}")
            try:
                start()
            except StackError as error:
                self._report(str(error))

    def stop(self) -> None:
        """Workers first, so that running segments end; then engine, then services. Nothing stays behind."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.stop()
        self.engine.stop()
        if self._connection is not None:
            self._connection.unlink(missing_ok=True)
        self.services.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _worker(kind: str, lanes: Sequence[str], children: int, logs: Path, environment: Mapping[str, str]) -> Child | None:
    """The worker of these lanes; None when there are none. Only the one for bulk starts the feeder of its lanes."""
    if not lanes:
        return None
    feeder = {} if kind == "bulk" else {"LIVERISK__RUNS__START_FEEDER": "external"}
    return Child(
        f"{kind} worker",
        [sys.executable, "-m", "workers", "worker", f"--lanes={','.join(lanes)}", f"--concurrency={children}"],
        log=logs / f"worker-{kind}.log",
        environment={**environment, **feeder},
        grace_s=20,
    )
