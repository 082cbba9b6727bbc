"""Whether this host's engine or worker does its work: what a container's health check runs.

`python -m workers.health engine|worker` ends with 0, or with 1 and one line that says what is wrong. Asks
only, changes nothing; the whole pool's state is the business of `liverisk status`.
"""

from __future__ import annotations

import platform
from typing import Literal

import click
from celery.exceptions import CeleryError

from workers.app import make_app
from workers.broker.connecting import AWAY, in_a_line
from workers.config import Config, ConfigError, load_config
from workers.engine.client import EngineClient
from workers.engine.errors import EngineUnavailable

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


@click.command()
@click.argument("role", type=click.Choice(["engine", "worker"]))
def main(role: Literal["engine", "worker"]) -> None:
    """End with 0 if this host's ROLE is well."""
    try:
        config = load_config()
        problem = engine_problem(config) or (worker_problem(config) if role == "worker" else None)
    except ConfigError as error:
        problem = str(error)
    if problem:
        raise click.ClickException(problem)


if __name__ == "__main__":
    main()
