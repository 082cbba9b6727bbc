"""Starts a feeder with every worker that is told to, and brings it back when it dies.

Feeders agree among themselves which one works, so it does not matter how many there are. Each ends with its worker.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from typing import Any

from celery import bootsteps

from workers.config import Config
from workers.parenthood import end_with_parent

logger = logging.getLogger(__name__)

WATCH_S = 1.0
LONGEST_PAUSE_S = 60.0
MOST_DOUBLINGS = 16
"""Of the pause between two starts; after a day of deaths their number would be no float any more."""
GRACE_S = 5.0


class FeederSupervisor:
    """Keeps a feeder process running for as long as this worker lives."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once. Does nothing where the feeder is started by somebody else."""
        if self._config.runs.start_feeder == "worker":
            self._thread = threading.Thread(target=self._tend, name="feeder-supervisor", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * GRACE_S)

    def _tend(self) -> None:
        """The kernel ends the feeder with this very thread, so it lasts until the worker stops."""
        deaths = 0
        while not self._stopping.is_set():
            try:
                self.process = _started()
                if self._lasted(self.process):
                    deaths = 0
            except OSError as error:
                logger.warning("feeder not started error=%s", type(error).__name__)
            if not self._stopping.wait(min(LONGEST_PAUSE_S, WATCH_S * 2 ** min(deaths, MOST_DOUBLINGS))):
                deaths += 1

    def _lasted(self, process: subprocess.Popen[bytes]) -> bool:
        """Waits for its end, or ends it with the worker; whether it had run for long."""
        seconds = 0.0
        while not self._stopping.wait(WATCH_S):
            seconds += WATCH_S
            if (code := process.poll()) is not None:
                logger.warning("feeder ended exit_code=%d", code)
                return seconds > LONGEST_PAUSE_S
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return True


def _started() -> subprocess.Popen[bytes]:
    """It reads the same settings as this worker: file and environment are inherited."""
    return subprocess.Popen(
        [sys.executable, "-m", "workers", "feeder"],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_worker,  # prctl only: takes no lock
    )


def _end_with_worker() -> None:
    # Without grace: it gives way to all others, so on a busy machine a last word of its own could take minutes.
    end_with_parent(signal.SIGKILL)


class FeederStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """A worker takes segments whether or not its feeder runs."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._supervisor = FeederSupervisor(worker.app.liverisk_config)

    def start(self, worker: Any) -> None:
        self._supervisor.start()

    def stop(self, worker: Any) -> None:
        self._supervisor.stop()

    def terminate(self, worker: Any) -> None:
        self._supervisor.stop()
