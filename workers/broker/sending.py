"""How a task is sent into a lane, so that a sender learns when nobody has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import amqp
from celery import Celery

from workers.broker.connecting import AWAY, RETRIES
from workers.lanes import Lane


def send(
    app: Celery,
    task: str,
    arguments: Sequence[Any],
    named: Mapping[str, Any] | None = None,
    *,
    task_id: str,
    lane: Lane,
    headers: Mapping[str, Any],
) -> None:
    """Returns when the broker has the message; raises one of `AWAY` when it may not, which is worth a retry."""
    told = partial(_send, app, task, arguments, named or {}, task_id, lane, headers)
    try:
        try:
            told()
        except AttributeError:  # kombu, when a connection breaks just as it is renewed; what it renews next works
            told()
    except AttributeError:
        raise ConnectionResetError from None


def _send(
    app: Celery,
    task: str,
    arguments: Sequence[Any],
    named: Mapping[str, Any],
    task_id: str,
    lane: Lane,
    headers: Mapping[str, Any],
) -> None:
    with app.producer_or_acquire() as producer:
        try:
            app.send_task(
                task,
                args=list(arguments),
                kwargs=dict(named),
                task_id=task_id,
                queue=lane,
                headers=dict(headers),
                ignore_result=True,
                retry=True,
                retry_policy=RETRIES,
                # RabbitMQ confirms, too, what has no queue to go to, unless it is told to give that back.
                mandatory=True,
                producer=producer,
                # Celery would put the manifest's text, chat included, into a header that monitors show.
                argsrepr=f"({task_id!r},)",
                kwargsrepr="{}",
            )
        except amqp.exceptions.ChannelError:
            # What was given back is confirmed all the same, which the next message would take for its own; and only
            # a new connection declares anew a lane that was deleted.
            with suppress(*AWAY):
                producer.connection.connection.close()
            raise
