"""Whether this host's engine, worker or feeder does its work: what a container's health check runs.

`python -m workers.health engine|worker|feeder` ends with 0, or with 1 and one line that says what is wrong. Asks
only, changes nothing; the whole pool's state is the business of `liverisk status`. To answer is not enough: a worker
that leaves messages lie while it has nothing to do, or whose child outlives its time limit, is not well. It is a
question of readiness: a store that is full makes workers unready, and starting them again would not make room.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from typing import Any, Literal

import click
import redis
from celery import Celery
from celery.exceptions import CeleryError

from workers.app import make_app
from workers.broker.connecting import AWAY, BrokerError, in_a_line
from workers.broker.queues import open_queues
from workers.config import Config, ConfigError, load_config
from workers.engine.client import EngineClient
from workers.engine.errors import EngineUnavailable
from workers.lanes import CONCLUDE, LANES, REEXAMINE, Lane
from workers.runs.lease import FEEDER_KEY
from workers.state import connect
from workers.store_watch import store_troubles

REPLY_S = 5.0
LIMIT_PASSED_S = 30.0
"""A child that has passed its time limit is killed at once: one that is there for so much longer was not."""
LEFT_LYING_S = 60.0
"""A message that waits for so long while its worker has nothing to do is not going to be taken."""


def engine_problem(config: Config) -> str | None:
    """What keeps the engine from answering this host's workers; null when it is warm."""
    client = EngineClient(config)
    try:
        status = client.status()
    except EngineUnavailable as error:
        return str(error)
    finally:
        client.close()
    return None if status.ready else f"the engine is not ready: {status.progress}"


def worker_problem(config: Config, *, host: str | None = None, name: str = "*", reply_s: float = REPLY_S) -> str | None:
    """What keeps a worker of this host, or the one of that name, from its work; null when one answers and gets on.

    Its main process answers, also while every child is busy. Workers of other hosts are not woken.
    """
    host = host or platform.node()
    app = make_app(config)
    try:
        answered = _ask(app, "active", f"{name}@{host}", reply_s)
        if answered is None:
            return f"no worker of {host} answered within {reply_s:.0f} s"
        worker, active = answered
        return _overdue(active, config) or (None if active else _left_lying(app, worker, config, reply_s))
    except (*AWAY, BrokerError, CeleryError, redis.RedisError) as error:
        return f"the broker could not be asked: {in_a_line(error)}"
    finally:
        app.close()


def feeder_problem(config: Config) -> str | None:
    """Null while somebody carries reviews and rescans forward, on whichever host."""
    try:
        with connect(config) as client:
            works = bool(client.exists(FEEDER_KEY))
    except redis.RedisError as error:
        return f"the state store could not be asked: {type(error).__name__}"
    return None if works else "no feeder works"


def _ask(app: Celery, question: str, pattern: str, reply_s: float) -> tuple[str, Sequence[dict[str, Any]]] | None:
    """The name of the worker that answered first, and what it said; None when none did."""
    replies = app.control.broadcast(question, reply=True, limit=1, timeout=reply_s, pattern=pattern, matcher="glob")
    return next(((name, said) for reply in replies or () for name, said in reply.items()), None)


def _overdue(active: Sequence[dict[str, Any]], config: Config) -> str | None:
    """A worker measures by the clock of its host, which is ours."""
    patient = dict.fromkeys((REEXAMINE, CONCLUDE), config.bulk_time_limit_s)
    for task in active:
        limit_s = patient.get(str(task.get("name")), config.worker.time_limit_s)
        taken_s = time.time() - float(task.get("time_start") or time.time())
        if taken_s > limit_s + LIMIT_PASSED_S:
            return f"a child has been at one message for {taken_s:.0f} s, beyond its limit of {limit_s} s"
    return None


def _left_lying(app: Celery, worker: str, config: Config, reply_s: float) -> str | None:
    """A message that this idle worker could have taken long ago; asked twice, as it may just be about to."""
    queues = _ask(app, "active_queues", worker, reply_s)
    serves = {str(queue.get("name")) for queue in queues[1]} if queues else set()
    if (late := _late(serves, config)) is None:
        return None
    answered = _ask(app, "active", worker, reply_s)
    if answered is None or answered[1] or (late := _late(serves, config)) is None:
        return None
    lane, waited_s = late
    return f"it has nothing to do and takes nothing, though a message of {lane} has waited for {waited_s:.0f} s"


def _late(serves: set[str], config: Config) -> tuple[Lane, float] | None:
    with open_queues(config) as queues:
        for lane in LANES:
            if lane in serves and (waited_s := queues.oldest_s(lane) or 0.0) > LEFT_LYING_S:
                return lane, waited_s
    return None


def store_problem(config: Config, *, host: str | None = None) -> str | None:
    """What this host's workers lately could not do with the store; null when they could. The store is not asked."""
    with connect(config) as client:
        try:
            problem = store_troubles(client).get(host or platform.node())
        except redis.RedisError as error:
            return f"the state store could not be asked: {type(error).__name__}"
    return problem and f"the store does not work: {problem}"


@click.command()
@click.argument("role", type=click.Choice(["engine", "worker", "feeder"]))
def main(role: Literal["engine", "worker", "feeder"]) -> None:
    """End with 0 if this host's ROLE is well."""
    try:
        config = load_config()
        problem = feeder_problem(config) if role == "feeder" else engine_problem(config)
        if role == "worker":
            problem = problem or worker_problem(config) or store_problem(config)
    except ConfigError as error:
        problem = str(error)
    if problem:
        raise click.ClickException(problem)


if __name__ == "__main__":
    main()
