"""How a message that could not be worked off yet goes back into its lane."""

from __future__ import annotations

import logging
from typing import NoReturn

from celery import Celery
from celery.exceptions import Ignore, Reject

from workers.broker.connecting import AWAY
from workers.broker.letters import SAID_OF_IT
from workers.broker.sending import send
from workers.broker.settings import Broker
from workers.lanes import Lane

logger = logging.getLogger(__name__)


def put_back_same(error: Exception, lane: Lane) -> NoReturn:
    """The broker puts back the very message."""
    del lane
    raise Reject(type(error).__name__, requeue=True) from None


def put_back(app: Celery, broker: Broker, error: Exception, lane: Lane) -> NoReturn:
    """The running task's message goes back. On RabbitMQ it is sent anew, and the one at hand is done.

    RabbitMQ would count putting it back as a failed delivery, and put it aside for a store that was away for a
    minute. Between sending and acknowledging there may be two of them, which is harmless.
    """
    if not broker.is_rabbit:
        put_back_same(error, lane)
    request = app.current_task.request
    told = {name: value for name in SAID_OF_IT if (value := request.get(name)) is not None}
    try:
        send(app, app.current_task.name, request.args, request.kwargs, task_id=request.id, lane=lane, headers=told)
    except AWAY as away:
        logger.warning("message put back as it is lane=%s error=%s", lane, type(away).__name__)
        put_back_same(error, lane)
    raise Ignore(type(error).__name__) from None  # acknowledges it
