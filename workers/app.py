"""The Celery application: lanes, delivery promises, and the one task that other services send.

Nothing here imports a model library: children fetch, decode, fuse and store; models live in the engine.
"""

from __future__ import annotations

import logging
import random
import signal
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from celery import Celery
from celery.exceptions import Reject
from celery.signals import setup_logging, worker_process_init
from kombu import Queue
from pydantic import JsonValue

from workers.classify import AWAY, Bench, classify, place_of
from workers.config import Config, ConfigError
from workers.engine.bootstep import EngineStep
from workers.lanes import CLASSIFY, LANES, Lane
from workers.parenthood import end_with_parent

logger = logging.getLogger(__name__)

PAUSE_S = (1.0, 3.0)
"""How long a slot rests, at random, before a message goes back because something it needs is away."""


@setup_logging.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def _keep_our_logging(**_: object) -> None:
    """Celery configures logging unless somebody listens here."""


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery ships no types
def _end_with_the_worker(**_: object) -> None:
    """A child whose worker was killed would wait for work for ever: the kernel ends it instead."""
    end_with_parent(signal.SIGKILL)


def make_app(config: Config) -> Celery:
    """The application of one deployment; `ConfigError` when there is no broker."""
    if config.broker.url is None:
        raise ConfigError("no broker: run `liverisk up` here, or set LIVERISK__BROKER__URL")
    app = Celery("liverisk", broker=config.broker.url.get_secret_value(), set_as_current=False)
    app.conf.update(_settings(config))
    app.steps["worker"].add(EngineStep)
    app.liverisk_config = config
    app.liverisk_exit_code = 0
    _register(app, config)
    return app


def _settings(config: Config) -> dict[str, Any]:
    return {
        # JSON is the only content: a message can never carry code.
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_queues": [Queue(lane) for lane in LANES],
        "task_default_queue": LANES[0],
        # A message is acknowledged after its record is durable, and comes back when a worker dies with it.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_timeout": False,
        # Whatever waits in a worker waits behind a running segment; so nothing waits there.
        "worker_prefetch_multiplier": 1,
        "task_soft_time_limit": config.worker.soft_time_limit_s,
        "task_time_limit": config.worker.time_limit_s,
        "worker_proc_alive_timeout": 60,
        "worker_hijack_root_logger": False,
        "worker_send_task_events": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A running segment whose connection broke would be delivered again while it still runs; both would
        # end in the same record, so it is left to finish.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_transport_options": {
            "visibility_timeout": config.broker.visibility_timeout_s,
            # kombu looks for messages of dead workers every 100 s unless told otherwise.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "queue_order_strategy": "priority",
            "socket_timeout": config.broker.socket_timeout_s,
            "socket_connect_timeout": config.broker.socket_timeout_s,
            "socket_keepalive": True,
            "health_check_interval": 5,
        },
    }


def _register(app: Celery, config: Config) -> None:
    opened = cache(lambda: Bench.open(config))

    @app.task(name=CLASSIFY, shared=False)  # type: ignore[untyped-decorator]  # Celery ships no types
    def liverisk_classify(*arguments: JsonValue, **named: JsonValue) -> None:
        run_once(message_in(arguments, named), current_lane(app), opened)


def message_in(arguments: tuple[JsonValue, ...], named: dict[str, JsonValue]) -> JsonValue:
    """The manifest, sent as the one argument. Anything else is passed on whole: it is put aside, not dropped."""
    if len(arguments) == 1 and not named:
        return arguments[0]
    if not arguments and set(named) == {"manifest"}:
        return named["manifest"]
    return {"args": list(arguments), "kwargs": named}


def current_lane(app: Celery) -> Lane:
    """The lane that the running task's message came through."""
    lane = (app.current_task.request.delivery_info or {}).get("routing_key")
    return next((known for known in LANES if known == lane), LANES[0])


def run_once(message: JsonValue, lane: Lane, opened: Callable[[], Bench]) -> None:
    """One delivery. `Reject` puts the message back; how often that happens is `classify`'s to count.

    `opened` gives the process's bench: made in the child at its first segment, as connections must not
    cross a fork.
    """
    try:
        classify(message, opened(), lane=lane)
    except AWAY as error:
        logger.warning("segment put back lane=%s error=%s", lane, type(error).__name__)
        time.sleep(random.uniform(*PAUSE_S))  # noqa: S311  # spreads retries, guards nothing
        raise Reject(type(error).__name__, requeue=True) from None
    except Exception as error:  # noqa: BLE001  # whatever it was, the message must come back
        # The traceback's lines are ours; the message could quote content, so only the class is logged.
        logger.error("segment failed lane=%s error=%s at=%s", lane, type(error).__name__, place_of(error))
        time.sleep(random.uniform(*PAUSE_S))  # noqa: S311  # spreads retries, guards nothing
        raise Reject(type(error).__name__, requeue=True) from None
