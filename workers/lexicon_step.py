"""Has every worker keep an eye on the lexicons and say which are in force, also when no segment comes."""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from typing import Any

import redis
from celery import bootsteps

from workers.config import Config
from workers.lexicons import LOOK_S, Lexicons, tell
from workers.state import connect

logger = logging.getLogger(__name__)

TELL_S = 5.0


class LexiconWatch:
    """A thread of a worker's main process. Its children look for themselves, between segments."""

    def __init__(self, config: Config, lexicons: Lexicons) -> None:
        self._config = config
        self._lexicons = lexicons
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._told_at = float("-inf")

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="lexicon-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def look(self) -> None:
        """One look at the files; says what is in force when that is due."""
        standing = self._lexicons.standing(f"{platform.node()}:{os.getpid()}")
        if time.monotonic() - self._told_at >= TELL_S:
            self._told_at = time.monotonic()
            with connect(self._config) as client:
                tell(client, standing)

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except redis.RedisError as error:
                logger.warning("lexicons not told error=%s", type(error).__name__)
            except Exception as error:  # noqa: BLE001  # the watcher must outlive whatever it meets
                logger.warning("lexicon watch failed error=%s", type(error).__name__)
            if self._stopping.wait(LOOK_S):
                return


class LexiconStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
    """Starts after the children forked, so that none of them inherits a thread's half-done work."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._watch = LexiconWatch(worker.app.liverisk_config, worker.app.liverisk_lexicons)

    def start(self, worker: Any) -> None:
        self._watch.start()

    def stop(self, worker: Any) -> None:
        self._watch.stop()

    def terminate(self, worker: Any) -> None:
        self._watch.stop()
