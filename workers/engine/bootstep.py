"""Starts the engine with the first worker of a host and brings it back when it dies.

A step of the Celery worker: consumption begins when the models are warm, and stays on while a dead engine
is being replaced, as running segments wait for the next one. Several workers of a host share one engine:
whoever asks first starts it, the others find it by its address.
"""

from __future__ import annotations

import json
import logging
import platform
import subprocess
import sys
import threading
import time
from typing import Any

import redis
from celery import bootsteps

from workers.config import Config
from workers.engine import heartbeat
from workers.engine.client import EngineClient
from workers.engine.errors import EngineUnavailable
from workers.engine.wire import EngineStatus
from workers.state import connect

logger = logging.getLogger(__name__)

WATCH_S = 0.5
FAILED_STARTS = 2
"""So many starts in a row that ended before the engine was warm: the next would end so too."""
START_FAILED_EXIT_CODE = 3
LONGEST_PAUSE_S = 30.0
HEARTBEAT_S = 5


class EngineSupervisor:
    """Keeps an engine answering at the configured address for as long as this worker lives."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client = EngineClient(config)
        self._started: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._heartbeat_at = 0.0
        self._failed_starts = 0
        self._exit_code = 0
        self._progress = "it does not answer"
        self._next_start_at = 0.0

    def start(self) -> None:
        """Returns when the engine is warm; raises `EngineUnavailable` when it cannot start, or not in time."""
        deadline = time.monotonic() + self._config.engine.start_timeout_s
        while not self._look():
            if self._failed_starts >= FAILED_STARTS:
                raise EngineUnavailable(
                    f"the engine ended {self._failed_starts} times before it was ready, with exit code "
                    f"{self._exit_code}; its own lines above say why"
                )
            if time.monotonic() > deadline:
                raise EngineUnavailable(
                    f"engine not ready after {self._config.engine.start_timeout_s:.0f} s: {self._progress}"
                )
            if self._stopping.wait(WATCH_S):
                return
        self._thread = threading.Thread(target=self._watch, name="engine-supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Detaches; the engine ends by itself when no worker is left."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_S):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001  # the watcher must outlive whatever it meets
                logger.warning("engine watch failed error=%s", type(error).__name__)
        self._client.close()

    def _look(self) -> bool:
        """One look at the engine, which is started when there is none; whether it is ready."""
        self._reap()
        try:
            status = self._client.status(attach=True)
        except EngineUnavailable:
            if self._config.engine.start == "worker":
                self._start_engine()
            return False
        self._progress = status.progress
        if status.ready:
            self._failed_starts = 0
        if time.monotonic() - self._heartbeat_at > HEARTBEAT_S:
            self._heartbeat_at = time.monotonic()
            self._publish(status)
        return status.ready

    def _reap(self) -> None:
        """Takes note of how ours ended. It ends well when it lost the race to another worker's."""
        if self._started is None or (code := self._started.poll()) is None:
            return
        self._started = None
        if code != 0:
            self._failed_starts += 1
            self._exit_code = code
            pause_s = min(LONGEST_PAUSE_S, WATCH_S * 2 ** (self._failed_starts - 1))
            self._next_start_at = time.monotonic() + pause_s
            logger.warning("engine ended exit_code=%d next_start_in_s=%.1f", code, pause_s)

    def _start_engine(self) -> None:
        """Starts one unless ours is still coming up. Losing the race to another worker is no failure.

        It reads the same settings as this worker: file and environment are inherited.
        """
        if self._started is not None or time.monotonic() < self._next_start_at:
            return
        logger.info("engine starting")
        self._started = subprocess.Popen(
            [sys.executable, "-m", "workers", "engine", "--for-workers"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _publish(self, status: EngineStatus) -> None:
        """Tells the pool how the engine is; `liverisk status` reads it."""
        said = {"host": platform.node(), **status.model_dump(mode="json")}
        try:
            with connect(self._config) as client:
                heartbeat.beat(client, platform.node(), json.dumps(said))
        except redis.RedisError as error:
            logger.warning("engine heartbeat not published error=%s", type(error).__name__)


class EngineStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Runs before the consumer, so that no message is taken before the models are warm.

    When they cannot become so, the worker ends with one line; the app's `liverisk_exit_code` then says so.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._app = worker.app
        self._supervisor = EngineSupervisor(worker.app.liverisk_config)

    def start(self, worker: Any) -> None:
        try:
            self._supervisor.start()
        except EngineUnavailable as error:
            logger.critical("worker ends: %s", error)
            self._app.liverisk_exit_code = START_FAILED_EXIT_CODE
            raise SystemExit(START_FAILED_EXIT_CODE) from None

    def stop(self, worker: Any) -> None:
        self._supervisor.stop()

    def terminate(self, worker: Any) -> None:
        self._supervisor.stop()
