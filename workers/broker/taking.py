"""How a worker takes messages. From RabbitMQ: one for each free child, always out of the most urgent lane that has any.

RabbitMQ pushes to consumers, and counts what it pushed queue by queue: a worker of three lanes would be given three
times what its children can begin, and bulk that lies there waits behind live work while other workers are idle. So
nothing is pushed here; whoever has a free child looks into the lanes in their order and gets one message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import amqp
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.control import Control
from celery.worker.consumer.tasks import Tasks
from kombu import Consumer as Subscription
from kombu import Queue
from kombu.common import QoS

logger = logging.getLogger(__name__)

BUSY_S = 0.02
"""Between two looks for a free child, which cost nothing."""
IDLE_S = 0.1
"""Between two looks into empty lanes: a question for each, which RabbitMQ answers without touching its log."""


class LaneTaker(Subscription):  # type: ignore[misc]  # kombu ships no types
    """Stands where Celery's subscription to the queues stands. `room` is how many messages may be taken just now."""

    def __init__(self, connection: Any, queues: Sequence[Queue], *, hub: Any, room: Callable[[], int], **named: Any):
        self._hub, self._room = hub, room
        self._next: Any = None
        super().__init__(connection, list(queues), **named)

    def consume(self, no_ack: bool | None = None) -> None:
        """Begins to look; from within the event loop, as everything that speaks to this connection."""
        if self._next is None:
            self._next = self._hub.call_later(0, self._look)

    def cancel(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    close = cancel

    def _look(self) -> None:
        taken = self.take()
        self._next = self._hub.call_later(IDLE_S if taken is None else BUSY_S, self._look)

    def take(self) -> int | None:
        """As many messages as there is room for; how many, or None when there was room and nothing to take."""
        taken = 0
        while self._room() > 0:
            try:
                message = self._most_urgent()
            except amqp.exceptions.ChannelError as error:
                # Celery connects anew, and declares its queues anew, for connection errors only.
                raise ConnectionResetError(f"lane lost: {type(error).__name__}") from None
            if message is None:
                return taken or None
            self._receive_callback(message)
            taken += 1
        return taken

    def _most_urgent(self) -> Any:
        for queue in self.queues:
            if self.channel.queue_declare(queue.name, passive=True).message_count:
                message = self.channel.basic_get(queue.name, no_ack=False)
                if message is not None:
                    message.delivery_info["routing_key"] = queue.name  # the lane, whatever its sender called it
                    return message
        return None


class LaneTasks(Tasks):  # type: ignore[misc]  # Celery ships no types
    """Celery's step that starts taking tasks, with the lanes' order on RabbitMQ; kombu keeps it on Redis by itself."""

    def start(self, c: Any) -> None:
        if c.connection.transport.driver_type != "amqp":
            super().start(c)
            return
        c.update_strategies()
        c.qos_global = False
        c.task_consumer = LaneTaker(
            c.connection,
            list(c.app.amqp.queues.consume_from.values()),
            hub=c.hub,
            room=lambda: c.pool.num_processes - len(state.reserved_requests),
            accept=c.app.conf.accept_content,
            on_decode_error=c.on_decode_error,
        )
        c.qos = QoS(_unlimited, c.initial_prefetch_count)


class LaneControl(Control):  # type: ignore[misc]  # Celery ships no types
    """Celery's step for remote control, which follows the one for tasks."""

    requires = (LaneTasks,)


class PoolConsumer(Consumer):  # type: ignore[misc]  # Celery ships no types
    """Celery's consumer of a worker, which puts no content into its log when it is sent what is no task."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]  # Celery ships no types
        """Without the 28 queues that Celery would declare for tasks with a date, which this pool does not have."""

        default_steps: ClassVar[list[Any]] = [
            {"Tasks": LaneTasks, "Control": LaneControl}.get(step.rpartition(":")[2], step)
            for step in Consumer.Blueprint.default_steps
            if not step.endswith(":DelayedDelivery")
        ]

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        _refuse(message, type(exc).__name__)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        _refuse(message, "no task")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        _refuse(message, "unknown task")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        _refuse(message, "invalid task")


def _refuse(message: Any, why: str) -> None:
    """RabbitMQ brings it to the dead queue, from where it goes to quarantine; on Redis it is gone."""
    logger.error("message refused error=%s bytes=%d", why, len(message.body or b""))
    message.reject_log_error(logger, (OSError,))


def _unlimited(prefetch_count: int) -> None:
    """There is nothing to limit: nothing is pushed."""
