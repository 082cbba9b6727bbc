"""Stopping a run at once: a hint in the broker's store that workers look at, and its messages taken back.

The marks in the store decide; the feeder asserts the hint from them for as long as it takes. A message that
was taken back, or found the run held, is lost without loss: the feeder sends what is still to be done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import redis

from workers.lanes import UNACKED, Lane
from workers.runs.messages import headers_of

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


def withdraw(client: redis.Redis, lane: Lane, run: str) -> int:
    """Takes the run's messages out of the lane; how many there were."""
    theirs = {raw for raw in _waiting(client, lane) if headers_of(raw).get("run") == run}
    return sum(int(client.lrem(lane, 0, raw)) for raw in theirs)


def under_way(client: redis.Redis, lane: Lane, run: str) -> frozenset[str]:
    """Task ids of the run's messages that wait in the lane or are with a worker."""
    unacked = client.hvals(UNACKED)
    assert isinstance(unacked, list)
    envelopes = (*_waiting(client, lane), *_envelopes(map(_text, unacked)))
    headers = [headers_of(raw) for raw in envelopes]
    return frozenset(str(header["id"]) for header in headers if header.get("run") == run and "id" in header)


def tell(client: redis.Redis) -> None:
    """Has the feeder look now instead of at its next turn."""
    with client.pipeline() as pipe:
        pipe.lpush(NEWS_KEY, 1)
        pipe.ltrim(NEWS_KEY, 0, 0)
        pipe.expire(NEWS_KEY, NEWS_TTL_S)
        pipe.execute()


def _waiting(client: redis.Redis, lane: Lane) -> list[str]:
    found = client.lrange(lane, 0, -1)
    assert isinstance(found, list)
    return [_text(raw) for raw in found]


def _text(raw: object) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def _envelopes(unacked: Iterable[str]) -> Iterator[str]:
    """The messages out of the transport's entries, each `[message, exchange, routing key]`."""
    for entry in unacked:
        try:
            yield json.dumps(json.loads(entry)[0])
        except (ValueError, LookupError, TypeError):
            continue
