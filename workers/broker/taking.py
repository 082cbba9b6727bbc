"""How Celery's worker is told to take its messages as this pool does, and to keep content out of its log."""

from __future__ import annotations

from typing import Any, ClassVar

from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.control import Control
from celery.worker.consumer.tasks import Tasks
from kombu.common import QoS

from workers.broker.takers import RabbitTaker, RedisTaker


class LaneTasks(Tasks):  # type: ignore[misc]  # Celery ships no types
    """Celery's step that starts taking tasks; nothing is pushed, so there is no prefetch to set."""

    def start(self, c: Any) -> None:
        c.update_strategies()
        c.qos_global = False
        taker = RabbitTaker if c.connection.transport.driver_type == "amqp" else RedisTaker
        c.task_consumer = taker(
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
        self.task_consumer.refuse(message, type(exc).__name__)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self.task_consumer.refuse(message, "no task")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self.task_consumer.refuse(message, "unknown task")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self.task_consumer.refuse(message, "invalid task")


def _unlimited(prefetch_count: int) -> None:
    """There is nothing to limit: nothing is pushed."""
