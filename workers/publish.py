"""Sends segments to a lane. Knows the message, not the workers: nothing of the pool is imported."""

from __future__ import annotations

import uuid
from datetime import datetime
from types import TracebackType
from typing import Self

from pydantic import JsonValue

from pipelines.manifest import SegmentManifest
from workers.broker.clock import BrokerClock
from workers.broker.connecting import AWAY, RETRIES, BrokerError, in_a_line, make_celery, place_of
from workers.broker.sending import send
from workers.config import Config
from workers.lanes import CLASSIFY, CONCLUDE, REEXAMINE, REVIEW, Lane
from workers.runs.messages import batch_task, segment_task

Headers = dict[str, str | bool]


class PublishError(BrokerError):
    """The broker did not take the message; one line. Worth a retry."""


class Publisher:
    """One connection to the broker, for one thread at a time."""

    def __init__(self, config: Config) -> None:
        """`PublishError` when no broker is configured that can be spoken to; connects with the first message."""
        if config.broker.url is None:
            raise PublishError("no broker; run `liverisk up` or set LIVERISK__BROKER__URL")
        self._broker = f"broker at {place_of(config.broker.url)}"
        self._clock = BrokerClock(config.broker)
        self._app = make_celery("liverisk-publisher", config.broker)
        self._app.conf.broker_transport_options |= RETRIES

    def check(self) -> None:
        """Connects; `PublishError` when the broker does not answer."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(**RETRIES)
        except AWAY as error:
            raise self._silent(error) from None

    def send(self, manifest: SegmentManifest, lane: Lane = "live", *, live: bool = False) -> None:
        """Puts one segment into a lane; the same segment of the same run always has the same task id.

        The header `queued_at`, in epoch seconds of the broker's clock, tells how long the segment has waited. `live`:
        it happens now, so that under overload it may be examined in less depth, or not at all; a recording waits as
        long as it takes.
        """
        task_id = f"{manifest.stream_id}/{manifest.segment_id}/{manifest.run}"
        self._send(CLASSIFY, [manifest.as_message()], task_id, lane, {"run": manifest.run, "live": live})

    def send_reexamine(self, run: str, batch: int, index: int, lane: Lane) -> None:
        """Asks for one segment of a run to be looked at again."""
        self._send(REEXAMINE, [run, batch, index], segment_task(run, batch, index), lane, {"run": run})

    def send_conclude(self, run: str, batch: int, lane: Lane) -> None:
        """Asks for one batch of a run to be fused and recorded."""
        self._send(CONCLUDE, [run, batch], batch_task(run, batch), lane, {"run": run})

    def send_review(
        self, stream_id: str, *, since: datetime | None = None, until: datetime | None = None, reason: str = ""
    ) -> None:
        """Asks for a deep review of the stream, as other services do."""
        asked: dict[str, JsonValue] = {"stream_id": stream_id, "reason": reason}
        asked |= {name: moment.isoformat() for name, moment in (("since", since), ("until", until)) if moment}
        self._send(REVIEW, [asked], f"review/{stream_id}/{uuid.uuid4().hex[:8]}", "review", {})

    def _send(self, task: str, arguments: list[JsonValue], task_id: str, lane: Lane, headers: Headers) -> None:
        try:
            told = {"queued_at": round(self._clock.now(), 3), **headers}
            send(self._app, task, arguments, task_id=task_id, lane=lane, headers=told)
        except AWAY as error:
            raise self._silent(error) from None

    def close(self) -> None:
        self._app.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _silent(self, error: Exception) -> PublishError:
        return PublishError(
            f"{self._broker} takes no messages ({in_a_line(error)}); is it running, and is its URL right?"
        )
