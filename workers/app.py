"""The Celery application: lanes, delivery promises, and the tasks that other services and the feeder send.

Nothing here imports a model library: children fetch, decode, fuse and store; models live in the engine.
"""

from __future__ import annotations

import logging
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any, Literal, NoReturn

import redis
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import setup_logging, worker_process_init
from pydantic import JsonValue

from workers import quarantine
from workers.broker.clock import BrokerClock
from workers.broker.connecting import make_celery
from workers.broker.putting_back import put_back, put_back_same
from workers.broker.queues import note_lane
from workers.child import Child
from workers.classify import Bench, classify
from workers.config import Config, ConfigError
from workers.engine.bootstep import EngineStep
from workers.lanes import CLASSIFY, CONCLUDE, LANES, REEXAMINE, REVIEW, Lane, epoch_s, message_in
from workers.lexicon_step import LexiconStep
from workers.lexicons import Lexicons
from workers.logs import raised_at
from workers.loop_step import LoopStep
from workers.metrics.counting import Tally, count_quarantined
from workers.parenthood import end_with_parent
from workers.runs.bootstep import FeederStep
from workers.runs.conclude import conclude
from workers.runs.messages import MessageError, batch_call, segment_call
from workers.runs.reexamination import PUT_BACK, reexamine_segment
from workers.runs.reviews import RequestError, review_asked
from workers.runs.store import RunError, Runs
from workers.store_watch import StoreStillAway

logger = logging.getLogger(__name__)

PAUSE_S = (1.0, 3.0)
"""How long a slot rests, at random, before a message goes back because something it needs is away."""
CHILD_START_S = 180.0
"""When a child that is not up yet is replaced: it hangs."""
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
    app = make_celery("liverisk", config.broker)
    app.conf.update(_settings(config))
    app.steps["worker"].add(EngineStep)
    app.steps["worker"].add(FeederStep)
    app.steps["worker"].add(LexiconStep)
    app.steps["consumer"].add(LoopStep)
    app.liverisk_config = config
    app.liverisk_lexicons = Lexicons(config.lexicons_directory)
    app.liverisk_exit_code = 0
    _register(app, config)
    return app


def _settings(config: Config) -> dict[str, Any]:
    return {
        "task_default_queue": LANES[0],
        # A message is acknowledged after its record is durable, and comes back when a worker dies with it.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_timeout": False,
        # Whatever waits in a worker waits behind a running segment; so nothing waits there.
        "worker_prefetch_multiplier": config.worker.prefetch,
        "worker_consumer": "workers.broker.taking:PoolConsumer",
        "task_soft_time_limit": config.worker.soft_time_limit_s,
        "task_time_limit": config.worker.time_limit_s,
        # A child opens what it works with before it is up, and a machine may be slow.
        "worker_proc_alive_timeout": CHILD_START_S,
        "worker_max_memory_per_child": memory_mb * 1024 if (memory_mb := config.worker.memory_limit_mb) else None,
        "worker_hijack_root_logger": False,
        "worker_send_task_events": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A running segment whose connection broke would be delivered again while it still runs; both would
        # end in the same record, so it is left to finish.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }


def _register(app: Celery, config: Config) -> None:
    child = Child(config, app.liverisk_lexicons)
    child.open_first()
    runs = cache(lambda: Runs(child.bench.storage))
    clock = BrokerClock(config.broker)
    delivered = partial(_delivered, app, config, child)
    patient = {"soft_time_limit": config.bulk_soft_time_limit_s, "time_limit": config.bulk_time_limit_s}

    @app.task(name=CLASSIFY, shared=False)  # type: ignore[untyped-decorator]  # Celery ships no types
    def liverisk_classify(*arguments: JsonValue, **named: JsonValue) -> None:
        request = app.current_task.request
        # Only what its sender calls live may be looked at less for having waited.
        waited = waited_s(request.get("queued_at"), clock.now()) if request.get("live") is True else None
        message = message_in(arguments, named)
        delivered(CLASSIFY, lambda lane: classify(message, child.bench, lane=lane, waited_s=waited))

    @app.task(name=REEXAMINE, shared=False, **patient)  # type: ignore[untyped-decorator]
    def liverisk_reexamine(*arguments: JsonValue, **named: JsonValue) -> None:
        def work() -> str:
            call = segment_call(arguments, named)
            return reexamine_segment(call.run, call.batch, call.index, child.bench, runs())

        delivered(REEXAMINE, lambda _: dropping(work)())

    @app.task(name=CONCLUDE, shared=False, **patient)  # type: ignore[untyped-decorator]
    def liverisk_conclude(*arguments: JsonValue, **named: JsonValue) -> None:
        def work() -> str:
            call = batch_call(arguments, named)
            return conclude(call.run, call.batch, child.bench, runs())

        delivered(CONCLUDE, lambda _: dropping(work)())

    @app.task(name=REVIEW, shared=False)  # type: ignore[untyped-decorator]
    def liverisk_review(*arguments: JsonValue, **named: JsonValue) -> None:
        request = message_in(arguments, named, name="request")
        delivered(REVIEW, lambda lane: review_or_put_aside(request, child.bench, lane))


def _delivered(app: Celery, config: Config, child: Child, task: str, work: Callable[[Lane], object]) -> None:
    """Works off the message at hand, which came through the lane that `work` is told, and counts how it ended."""
    lane = current_lane(app)

    def noted() -> object:
        bench = child.ready()
        if config.broker.is_rabbit:
            _note_taken(app, bench.redis, lane)
        with bench.watch.watched():
            return work(lane)

    again = partial(put_back, app, config.broker)
    Tally(lambda: child.bench.redis, task, lane).count(lambda: run_once(noted, lane, again))


def _note_taken(app: Celery, state: redis.Redis, lane: Lane) -> None:
    """For whoever asks how long the lane's messages wait: RabbitMQ does not show them."""
    queued_at = epoch_s(app.current_task.request.get("queued_at"))
    if queued_at is not None and waited_s(queued_at, time.time()) is not None:
        with suppress(redis.RedisError):
            note_lane(state, lane, "taken", queued_at)


def current_lane(app: Celery) -> Lane:
    """The lane that the running task's message came through."""
    lane = (app.current_task.request.delivery_info or {}).get("routing_key")
    return next((known for known in LANES if known == lane), LANES[0])


def waited_s(queued_at: object, now: float) -> float | None:
    """How long a message has waited since `queued_at`, both in epoch seconds; None when that says nothing.

    A sender's clock may be somewhat ahead of ours: then it has not waited.
    """
    if (said := epoch_s(queued_at)) is None:
        return None
    waited = now - said
    return max(0.0, waited) if -MOST_AHEAD_S <= waited <= MOST_WAITED_S else None


def review_or_put_aside(message: JsonValue, bench: Bench, lane: Lane) -> Literal["asked", "quarantined"]:
    """Asks for the review; a message that is no request for one is kept in quarantine."""
    try:
        review_asked(message, bench)
    except RequestError as error:
        key = quarantine.put_aside(bench.storage, message, reason="review_request", detail=str(error), lane=lane)
        logger.warning("review request quarantined key=%s", key)
        with suppress(redis.RedisError):
            count_quarantined(bench.redis, "review_request")
        return "quarantined"
    return "asked"


def dropping(work: Callable[[], str | None]) -> Callable[[], str | None]:
    """The work, its message dropped when it means nothing here: the feeder sends again what is still to be done."""

    def attempt() -> str | None:
        try:
            return work()
        except (MessageError, RunError) as error:
            logger.warning("message dropped error=%s", type(error).__name__)
            return "dropped"

    return attempt


def run_once(
    work: Callable[[], object], lane: Lane, again: Callable[[Exception, Lane], NoReturn] = put_back_same
) -> object:
    """One delivery; what came out. `again` puts the message back; how often that happens is the work's to count."""
    try:
        return work()
    except PUT_BACK as error:
        said = logging.DEBUG if isinstance(error, StoreStillAway) else logging.WARNING  # that was said when it began
        logger.log(said, "segment put back lane=%s error=%s", lane, type(error).__name__)
        _later(error, lane, again)
    except Exception as error:  # noqa: BLE001  # whatever it was, the message must come back
        # The traceback's lines are ours; the message could quote content, so only the class is logged.
        logger.error("segment failed lane=%s error=%s at=%s", lane, type(error).__name__, raised_at(error))
        _later(error, lane, again)


def _later(error: Exception, lane: Lane, again: Callable[[Exception, Lane], NoReturn]) -> NoReturn:
    """Puts the message back after a pause. The soft time limit may pass meanwhile: a task that ends with that is
    acknowledged, and its segment would be lost.
    """
    try:
        time.sleep(random.uniform(*PAUSE_S))  # noqa: S311  # spreads retries, guards nothing
        again(error, lane)
    except SoftTimeLimitExceeded as late:
        put_back_same(late, lane)
