"""The Celery application: lanes, delivery promises, and the tasks that other services and the feeder send.

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

from workers import quarantine
from workers.classify import Bench, classify
from workers.config import Config, ConfigError
from workers.decoder.contained import Contained
from workers.engine.bootstep import EngineStep
from workers.lanes import CLASSIFY, CONCLUDE, LANES, REEXAMINE, REVIEW, Lane
from workers.lexicon_step import LexiconStep
from workers.lexicons import Lexicons
from workers.logs import raised_at
from workers.parenthood import end_with_parent
from workers.runs.bootstep import FeederStep
from workers.runs.conclude import conclude
from workers.runs.messages import MessageError, batch_call, segment_call
from workers.runs.reexamination import PUT_BACK, reexamine_segment
from workers.runs.reviews import RequestError, review_asked
from workers.runs.store import RunError, Runs

logger = logging.getLogger(__name__)

PAUSE_S = (1.0, 3.0)
"""How long a slot rests, at random, before a message goes back because something it needs is away."""
MOST_AHEAD_S, MOST_WAITED_S = 300.0, 366 * 86400.0
"""A message that says to be queued further in the future, or longer ago, does not know the time."""


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
    app.steps["worker"].add(FeederStep)
    app.steps["worker"].add(LexiconStep)
    app.liverisk_config = config
    app.liverisk_lexicons = Lexicons(config.lexicons_directory)
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
            # Who dies while looking, or whose broker does, keeps the others from it this long; 300 s by default.
            "unacked_mutex_expire": 10,
            "queue_order_strategy": "priority",
            "socket_timeout": config.broker.socket_timeout_s,
            "socket_connect_timeout": config.broker.socket_timeout_s,
            "socket_keepalive": True,
            "health_check_interval": 5,
        },
    }


def _register(app: Celery, config: Config) -> None:
    # Made in the child at its first message, as connections must not cross a fork.
    opened = cache(lambda: Bench.open(config, app.liverisk_lexicons, Contained(config.decode_limits).started()))
    runs = cache(lambda: Runs(opened().storage))
    patient = {"soft_time_limit": config.bulk_soft_time_limit_s, "time_limit": config.bulk_time_limit_s}

    @app.task(name=CLASSIFY, shared=False)  # type: ignore[untyped-decorator]  # Celery ships no types
    def liverisk_classify(*arguments: JsonValue, **named: JsonValue) -> None:
        request, lane = app.current_task.request, current_lane(app)
        # Only what its sender calls live may be looked at less for having waited.
        waited = waited_s(request.get("queued_at"), time.time()) if request.get("live") is True else None
        run_once(lambda: classify(message_in(arguments, named), opened(), lane=lane, waited_s=waited), lane)

    @app.task(name=REEXAMINE, shared=False, **patient)  # type: ignore[untyped-decorator]
    def liverisk_reexamine(*arguments: JsonValue, **named: JsonValue) -> None:
        def work() -> None:
            call = segment_call(arguments, named)
            reexamine_segment(call.run, call.batch, call.index, opened(), runs())

        run_once(dropping(work), current_lane(app))

    @app.task(name=CONCLUDE, shared=False, **patient)  # type: ignore[untyped-decorator]
    def liverisk_conclude(*arguments: JsonValue, **named: JsonValue) -> None:
        def work() -> None:
            call = batch_call(arguments, named)
            conclude(call.run, call.batch, opened(), runs())

        run_once(dropping(work), current_lane(app))

    @app.task(name=REVIEW, shared=False)  # type: ignore[untyped-decorator]
    def liverisk_review(*arguments: JsonValue, **named: JsonValue) -> None:
        lane = current_lane(app)
        run_once(lambda: review_or_put_aside(message_in(arguments, named, name="request"), opened(), lane), lane)


def message_in(arguments: tuple[JsonValue, ...], named: dict[str, JsonValue], *, name: str = "manifest") -> JsonValue:
    """The manifest, sent as the one argument. Anything else is passed on whole: it is put aside, not dropped."""
    if len(arguments) == 1 and not named:
        return arguments[0]
    if not arguments and set(named) == {name}:
        return named[name]
    return {"args": list(arguments), "kwargs": named}


def current_lane(app: Celery) -> Lane:
    """The lane that the running task's message came through."""
    lane = (app.current_task.request.delivery_info or {}).get("routing_key")
    return next((known for known in LANES if known == lane), LANES[0])


def waited_s(queued_at: object, now: float) -> float | None:
    """How long a message has waited since `queued_at`, both in epoch seconds; None when that says nothing.

    A sender's clock may be somewhat ahead of ours: then it has not waited.
    """
    if isinstance(queued_at, bool) or not isinstance(queued_at, int | float):
        return None
    waited = now - queued_at
    return max(0.0, waited) if -MOST_AHEAD_S <= waited <= MOST_WAITED_S else None


def review_or_put_aside(message: JsonValue, bench: Bench, lane: Lane) -> None:
    """Asks for the review; a message that is no request for one is kept in quarantine."""
    try:
        review_asked(message, bench)
    except RequestError as error:
        key = quarantine.put_aside(bench.storage, message, reason="review_request", detail=str(error), lane=lane)
        logger.warning("review request quarantined key=%s", key)


def dropping(work: Callable[[], None]) -> Callable[[], None]:
    """The work, its message dropped when it means nothing here: the feeder sends again what is still to be done."""

    def attempt() -> None:
        try:
            work()
        except (MessageError, RunError) as error:
            logger.warning("message dropped error=%s", type(error).__name__)

    return attempt


def run_once(work: Callable[[], object], lane: Lane) -> None:
    """One delivery. `Reject` puts the message back; how often that happens is the work's to count."""
    try:
        work()
    except PUT_BACK as error:
        logger.warning("segment put back lane=%s error=%s", lane, type(error).__name__)
        time.sleep(random.uniform(*PAUSE_S))  # noqa: S311  # spreads retries, guards nothing
        raise Reject(type(error).__name__, requeue=True) from None
    except Exception as error:  # noqa: BLE001  # whatever it was, the message must come back
        # The traceback's lines are ours; the message could quote content, so only the class is logged.
        logger.error("segment failed lane=%s error=%s at=%s", lane, type(error).__name__, raised_at(error))
        time.sleep(random.uniform(*PAUSE_S))  # noqa: S311  # spreads retries, guards nothing
        raise Reject(type(error).__name__, requeue=True) from None
