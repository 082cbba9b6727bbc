"""The queues as they are declared: one a lane and, on RabbitMQ, one for messages that were delivered too often."""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from workers.broker.settings import Broker
from workers.lanes import LANES

DEAD = "dead"
"""The queue of messages that reached the delivery limit."""

DEAD_EXCHANGE = Exchange("liverisk.dead", type="direct", durable=True)
ANONYMOUS = Exchange("")
"""RabbitMQ's own: it brings a message to the queue that has the name of its routing key."""

QUORUM = {"x-queue-type": "quorum"}


def lane_queues(broker: Broker) -> list[Queue]:
    """One a lane, most urgent first. Whoever declares them must do so with these very arguments."""
    if not broker.is_rabbit:
        return [Queue(lane) for lane in LANES]
    return [Queue(lane, ANONYMOUS, routing_key=lane, queue_arguments=_lane_arguments(broker)) for lane in LANES]


def dead_queue() -> Queue:
    return Queue(DEAD, DEAD_EXCHANGE, routing_key=DEAD, queue_arguments=dict(QUORUM))


def _lane_arguments(broker: Broker) -> dict[str, Any]:
    """Replicated, and nothing is ever dropped: a message that reaches the limit stays until the dead queue has it."""
    return {
        **QUORUM,
        "x-delivery-limit": broker.delivery_limit,
        "x-dead-letter-exchange": DEAD_EXCHANGE.name,
        "x-dead-letter-routing-key": DEAD,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
