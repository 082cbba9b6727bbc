"""What a worker child works with, opened before the child takes its first message.

Opening it may take long where processors are short. Within a task it would run on the segment's time limit, and who
starts a segment without time to finish it blames the segment.
"""

from __future__ import annotations

import logging
import time
from functools import cached_property

from celery.signals import worker_process_init

from workers.classify import Bench, NotReady
from workers.config import Config
from workers.decoder.contained import Contained
from workers.lexicons import Lexicons
from workers.logs import raised_at

logger = logging.getLogger(__name__)


class Child:
    """Made before the fork, used after it: connections and the decode helper must not cross it."""

    def __init__(self, config: Config, lexicons: Lexicons) -> None:
        self._config = config
        self._lexicons = lexicons
        worker, bulk_s = config.worker, config.bulk_soft_time_limit_s - config.bulk_deadline_s
        self._patience_s = min(worker.soft_time_limit_s - worker.deadline_s, bulk_s) / 2

    @cached_property
    def bench(self) -> Bench:
        return Bench.open(self._config, self._lexicons, self._decoder)

    @cached_property
    def _decoder(self) -> Contained:
        return Contained(self._config.decode_limits)

    def open_first(self) -> None:
        """For every child that is forked from here on: Celery hands it no message before this is done."""
        worker_process_init.connect(lambda **_: self._open(), weak=False)

    def ready(self) -> Bench:
        """The bench, its decode helper running; `NotReady` when that took time that the message at hand lacks now."""
        began = time.monotonic()
        bench = self.bench
        self._decoder.started()
        if time.monotonic() - began > self._patience_s:
            raise NotReady
        return bench

    def _open(self) -> None:
        try:
            self._decoder.started()
            self.bench  # noqa: B018  # opens it
        except Exception as error:  # noqa: BLE001  # whatever it was, the first message meets it again and goes back
            logger.error("child not ready error=%s at=%s", type(error).__name__, raised_at(error))
