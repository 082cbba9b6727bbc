"""Whether this host's engine or worker can do its work: what a container's health check runs.

`python -m workers.health engine|worker` ends with 0, or with 1 and one line that says what is wrong. Asks
only, changes nothing; the whole pool's state is the business of `liverisk status`. It is a question of readiness: a
store that is full makes workers unready, and starting them again would not make room.
"""

from __future__ import annotations

import platform
from typing import Literal

import click
import redis
from celery.exceptions import CeleryError

from workers.app import make_app
from workers.broker.connecting import AWAY, in_a_line
from workers.config import Config, ConfigError, load_config
from workers.engine.client import EngineClient
from workers.engine.errors import EngineUnavailable
from workers.state import connect
from workers.store_watch import store_troubles

REPLY_S = 5.0


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
    """What keeps a worker of this host from hearing the broker; null when one, or the one of that name, answers.

    Its main process answers, also while every child is busy. Workers of other hosts are not woken.
    """
    host = host or platform.node()
    app = make_app(config)
    try:
        replies = app.control.broadcast(
            "ping", reply=True, limit=1, timeout=reply_s, pattern=f"{name}@{host}", matcher="glob"
        )
    except (*AWAY, CeleryError) as error:
        return f"the broker could not be asked: {in_a_line(error)}"
    finally:
        app.close()
    return None if replies else f"no worker of {host} answered within {reply_s:.0f} s"


def store_problem(config: Config, *, host: str | None = None) -> str | None:
    """What this host's workers lately could not do with the store; null when they could. The store is not asked."""
    with connect(config) as client:
        try:
            problem = store_troubles(client).get(host or platform.node())
        except redis.RedisError as error:
            return f"the state store could not be asked: {type(error).__name__}"
    return problem and f"the store does not work: {problem}"


@click.command()
@click.argument("role", type=click.Choice(["engine", "worker"]))
def main(role: Literal["engine", "worker"]) -> None:
    """End with 0 if this host's ROLE is well."""
    try:
        config = load_config()
        problem = engine_problem(config)
        if role == "worker":
            problem = problem or worker_problem(config) or store_problem(config)
    except ConfigError as error:
        problem = str(error)
    if problem:
        raise click.ClickException(problem)


if __name__ == "__main__":
    main()
