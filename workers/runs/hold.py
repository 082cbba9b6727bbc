"""Stopping a run at once: a hint in the state store that workers look at; the feeder takes its messages back.

The marks in the store decide; the feeder asserts the hint from them for as long as it takes. A message that
was taken back, or found the run held, is lost without loss: the feeder sends what is still to be done.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Literal, get_args

import redis

from workers.config import Config, ConfigError
from workers.state import connect

Held = Literal["paused", "cancelled"]
HELD_KEY = "liverisk:held:"
HELD_TTL_S = 24 * 3600
"""Messages that a dead worker had come back long before."""
NEWS_KEY = "liverisk:news"
"""A list with at most one entry: something of some run was done or decided, so the feeder looks at once."""
NEWS_TTL_S = 60


def hold(client: redis.Redis, run: str, state: Held) -> None:
    """Workers drop the run's messages from now on."""
    client.set(f"{HELD_KEY}{run}", state, ex=HELD_TTL_S)


def release(client: redis.Redis, run: str) -> None:
    client.delete(f"{HELD_KEY}{run}")


def held(client: redis.Redis, run: str) -> Held | None:
    """Whether a worker may go on with the run, and if not, why."""
    value = client.get(f"{HELD_KEY}{run}")
    said = value.decode() if isinstance(value, bytes) else None
    return next((known for known in get_args(Held) if known == said), None)


def tell(client: redis.Redis) -> None:
    """Has the feeder look now instead of at its next turn."""
    with client.pipeline() as pipe:
        pipe.lpush(NEWS_KEY, 1)
        pipe.ltrim(NEWS_KEY, 0, 0)
        pipe.expire(NEWS_KEY, NEWS_TTL_S)
        pipe.execute()


def wake(config: Config) -> None:
    """As `tell`, for one word only; without a broker the feeder looks by itself, a little later."""
    with suppress(redis.RedisError, ConfigError), connect(config) as client:
        tell(client)
